//! TAXII 2.1 and 2.0, as source and as destination.
//!
//! `wire` speaks HTTP as the standards want it and as servers do it, and finds the collections; `envelope` reads a page as a
//! stream; `source` walks pages and keeps the place; `share` puts objects there and takes them back. What a STIX object
//! means is `kit::stix`'s business.

mod cursor;
mod envelope;
mod share;
mod source;
mod status;
mod wire;

#[cfg(test)]
mod tests;

use kit::http::Http;
use kit::manifest::Manifest;
use kit::{Connection, Connector, ConnectorError, Cx, Destination, Secret, Source};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use wire::{Client, host_of};

pub(crate) fn connector() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(Taxii { manifest: Manifest::parse(include_str!("manifest.toml"))? }))
}

struct Taxii {
    manifest: Manifest,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default)]
    version: Wanted,
    collection: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    api_key: Option<Secret>,
    #[serde(default = "api_key_header")]
    api_key_header: String,
    #[serde(default = "page_size")]
    page_size: u64,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    trusted_origins: Vec<String>,
}

/// The version of TAXII that is spoken, as set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum Wanted {
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "2.1")]
    V21,
    #[serde(rename = "2.0")]
    V20,
}

fn api_key_header() -> String {
    "X-Api-Key".into()
}

fn page_size() -> u64 {
    1_000
}

impl Connector for Taxii {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let settings: Settings = Settings::deserialize(settings).map_err(|error| error.to_string())?;
        if settings.username.is_some() != settings.password.is_some() {
            return Err("username and password: one is given without the other".into());
        }
        if settings.username.is_some() && settings.token.is_some() {
            return Err(
                "token: a user is given as well, and only one of them fits into the Authorization header".into()
            );
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !settings.api_key_header.chars().all(is_name) {
            return Err("api_key_header: is no name of a header".into());
        }
        if let Some(origin) = settings.trusted_origins.iter().find(|origin| wire::origin_of(origin).is_none()) {
            return Err(format!("trusted_origins: {origin:?} is no origin such as \"https://taxii.example\""));
        }
        Ok(Box::new(Link { settings }))
    }
}

/// A server with credentials.
struct Link {
    settings: Settings,
}

impl Link {
    fn client<'a>(&'a self, http: &'a Http) -> Client<'a> {
        Client::new(&self.settings, http)
    }
}

impl Connection for Link {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        self.client(cx.http).places()?.usable(self.settings.collection.as_deref())
    }

    fn lists_everything(&self) -> Option<bool> {
        Some(false)
    }

    fn hosts(&self) -> Vec<String> {
        let all = std::iter::once(&self.settings.url).chain(&self.settings.trusted_origins);
        all.filter_map(|address| host_of(address)).collect()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}
