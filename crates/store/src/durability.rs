//! What survives a power cut: an option of each engine, which its callers need not know.

/// What survives a power cut. A crash of the process loses nothing that was acknowledged either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Every commit that was acknowledged, and every blob that is finished.
    #[default]
    Full,
    /// Everything but about the last second (D8).
    Relaxed,
}
