//! Where tokens come from: a seam, so that a decision is a function of what it is given.

/// A source of bytes that nobody can guess.
pub trait Entropy {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The kernel's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel gives random bytes once it has started");
    }
}

/// Always the same byte: for golden tests and for `inject --explain`, whose output should not change.
#[derive(Debug, Clone, Copy)]
pub struct FixedEntropy(pub u8);

impl Entropy for FixedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

/// 128 bits as 32 hexadecimal digits.
pub(crate) fn token(entropy: &dyn Entropy) -> String {
    use std::fmt::Write as _;
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let mut text = String::with_capacity(32);
    for byte in bytes {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
