//! Builds a guest crate into a WebAssembly component.
