//! The loader against files that are right, wrong, and malicious.

mod loader {
    pub mod elf_cases;
    pub mod files;
    pub mod flips;
    pub mod good;
    #[path = "../common/sample.rs"]
    pub mod sample;
    pub mod section_cases;
    pub mod trailer_cases;
}
