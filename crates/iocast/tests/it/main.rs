//! The doors, tried from outside: the router, served lists, configuration files, the binary.

mod api;
mod cli;
mod config;
mod demo;
mod hostile;
mod ingest;
mod kill;
mod lists;
mod server;
mod support;
