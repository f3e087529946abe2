//! The doors, tried from outside: the router, served lists, configuration files, the binary.

mod api;
mod browser;
mod cli;
mod code;
#[cfg(unix)]
mod collections;
mod config;
mod demo;
mod doors;
#[cfg(target_os = "linux")]
mod endless;
mod forms;
mod hostile;
#[cfg(unix)]
mod hostile_formats;
mod indicators;
mod ingest;
mod kill;
mod kill_taxii;
mod lists;
mod live;
mod mistakes;
mod notify;
mod nouns;
mod oidc;
mod openapi;
mod outputs;
mod overload;
mod peers;
mod people;
#[cfg(unix)]
mod receiver;
mod restore;
#[cfg(all(unix, feature = "rig"))]
mod rig;
mod security;
mod server;
mod settings;
mod sharing;
mod shown;
#[cfg(all(unix, feature = "rig"))]
mod stories;
mod support;
mod tlp;
mod web;
