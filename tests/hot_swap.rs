//! Replacing modules while requests run: who gets which version, what is refused, and that what was
//! replaced goes. Each test is alone in its process, because it counts what belongs to all of it.

mod common;
#[allow(dead_code)]
#[path = "hostile/kit.rs"]
mod kit;

#[path = "hot_swap/going.rs"]
mod going;
#[path = "hot_swap/load.rs"]
mod load;
#[path = "hot_swap/refused.rs"]
mod refused;
#[path = "hot_swap/versions.rs"]
mod versions;
