//! From a path that a guest wrote to a file beneath a directory, and never to anything else.

/// How the way to a file is found. Both ways refuse the same; tests run everything through both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Resolution {
    /// By the kernel, and by walking where it cannot.
    #[default]
    Automatic,
    /// By walking component by component, as on kernels before 5.6 or under system-call filters.
    Walk,
}
