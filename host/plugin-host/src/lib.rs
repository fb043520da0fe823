//! Loads and calls plugins: the only user of wasmtime.
