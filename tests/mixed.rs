//! Features together: what each of them promises must hold while the others are in use. Single
//! cases that went wrong or could, and a walk through all operations by chance, beside a model.

mod common;

mod mixed {
    pub mod cases;
    pub mod kit;
    pub mod walk;
}
