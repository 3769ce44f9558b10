//! c
#[derive(Debug)]
pub struct ChildOptions;
