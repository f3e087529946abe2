//! The console.

pub(crate) mod builder;
pub(crate) mod fields;
