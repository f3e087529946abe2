//! Everything `intel` promises to its callers, in one binary.

mod extract;
mod keys;
