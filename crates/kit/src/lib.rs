//! What a connector author sees: the contract, the manifest, HTTP, files, feeds without code, and the test kit.

pub mod connection;
pub mod decode;
pub mod error;
pub mod feed;
pub mod files;
pub mod http;
pub mod manifest;
pub mod misp;
pub mod openioc;
pub mod render;
pub mod secret;
pub mod stix;
pub mod stix1;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod xml;

pub use connection::{
    Connection, Connector, Cursor, Cx, Destination, ItemOutcome, Outgoing, Placed, Presence, Pulled, Reading, Remote,
    Rows, Source, TargetSpec, Written, accepts,
};
pub use error::ConnectorError;
pub use secret::Secret;
