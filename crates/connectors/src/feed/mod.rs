//! A feed of any kind, described by its settings: an address, a file or a pattern of files. All of it is `kit::feed`.

use kit::Connector;
use kit::feed::FeedConnector;
use std::sync::Arc;

pub(crate) fn connector() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(FeedConnector::from_toml(include_str!("manifest.toml"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::feed::FeedSpec;
    use std::collections::BTreeSet;

    /// What the parser takes and what the manifest explains is the same; fetching has five settings of its own.
    #[test]
    fn every_setting_is_declared() {
        let error = FeedSpec::from_settings(&serde_json::json!({"no_such": 1})).unwrap_err();
        let mut known: BTreeSet<&str> =
            error.split_once("expected one of").unwrap().1.split('`').skip(1).step_by(2).collect();
        known.extend(["url", "token", "token_header", "packing", "member"]);
        let connector = connector().unwrap();
        let declared: BTreeSet<&str> = connector.manifest().settings.iter().map(|s| s.key.as_str()).collect();
        assert_eq!(known, declared);
    }
}
