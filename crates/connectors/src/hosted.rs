//! What the exchange itself provides: lists that others fetch, what people add by hand, and buckets that others push to.
//! The engine runs all of them; here is only what they are called and which parameters they take.

use kit::manifest::Manifest;
use kit::{Connection, Connector, ConnectorError, Cx};
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn list() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(Hosted { manifest: Manifest::parse(include_str!("list.toml"))? }))
}

pub(crate) fn manual() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(Hosted { manifest: Manifest::parse(include_str!("manual.toml"))? }))
}

pub(crate) fn api_source() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(Hosted { manifest: Manifest::parse(include_str!("api-source.toml"))? }))
}

struct Hosted {
    manifest: Manifest,
}

impl Connector for Hosted {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        match settings.as_object().and_then(|given| given.keys().next()) {
            Some(key) => Err(format!("{key}: {} has no settings", self.manifest.name)),
            None => Ok(Box::new(Here)),
        }
    }
}

struct Here;

impl Connection for Here {
    fn check(&self, _cx: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }
}
