//! The doors, tried from outside: the router, served lists, configuration files, the binary.

mod api;
mod cli;
mod config;
mod demo;
mod hostile;
mod kill;
mod lists;
mod nouns;
mod openapi;
mod server;
mod support;
