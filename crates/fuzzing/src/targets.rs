//! The targets, by room.

pub(crate) mod api;
pub(crate) mod config;
pub(crate) mod feeds;
pub(crate) mod formats;
pub(crate) mod guard;
pub(crate) mod keys;
pub(crate) mod rules;
pub(crate) mod sources;
