//! Which connectors exist. The engine is told; it does not know.

use kit::Connector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Connectors by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn Connector>>);

impl Registry {
    /// From a list; a later connector of the same name replaces an earlier one.
    pub fn new(connectors: impl IntoIterator<Item = Arc<dyn Connector>>) -> Registry {
        Registry(connectors.into_iter().map(|c| (c.manifest().name.clone(), c)).collect())
    }

    /// A connector by name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.0.get(name).cloned()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All connectors, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.0.values()
    }
}
