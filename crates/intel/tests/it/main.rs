//! Everything `intel` promises to its callers, in one binary.

mod broad;
mod decision;
mod extract;
mod fold;
mod keys;
mod record;
