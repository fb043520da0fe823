//! How much of a document is read. Each limit is far above what people write and low enough that a
//! hostile document costs nobody anything.

/// Bytes of a YAML text. Kubernetes takes objects of up to 1.5 MiB, and a file may hold several.
pub const DOCUMENT_BYTES: usize = 8 << 20;

/// Bytes of a profile: what a ConfigMap may hold.
pub const PROFILE_BYTES: usize = 1 << 20;

/// Mappings and lists inside one another. The deepest Kubernetes object has about 15.
pub const DEPTH: usize = 48;

/// Values of one text, those that aliases repeat included.
pub const NODES: usize = 200_000;

/// Bytes that aliases may add by repetition.
pub const ALIAS_BYTES: usize = 1 << 20;
