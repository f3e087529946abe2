//! The binary's rooms: the doors of an exchange (API, served lists, commands) and the wiring behind them.
//!
//! One router is the only way in: a server mounts it on a socket, a command with `--data` mounts it in its own process,
//! a command with `--url` talks to a server. [`app`] is the only caller of engine and store; what is asynchronous ends
//! there, because everything below blocks. The library exists so that the tests open the same doors.

pub mod api;
pub mod app;
pub(crate) mod audit;
pub mod cli;
pub mod configfile;
pub mod demo;
mod notify;
pub mod people;
#[cfg(feature = "rig")]
pub mod rig;
pub mod schema;
pub mod seal;
pub mod serve;
pub(crate) mod tls;
pub mod tokens;
pub mod web;
pub mod world;
