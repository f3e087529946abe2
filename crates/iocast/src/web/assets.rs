//! The files a browser is given: few, part of the program, never changed under their address.
//!
//! Each address holds the hash of what is behind it, so that a browser may keep it for ever. Nothing is loaded from
//! elsewhere. What others wrote lies below `assets/vendor` as it was published, with its licence.
//!
//! Files go out packed to whoever takes that. Pages never do: a page carries the token of its forms beside what an address
//! says, and how long a packed answer is would tell one from the other bit by bit (BREACH). They are some ten kilobytes.

use crate::api::lists::accepts_gzip;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::sync::LazyLock;

/// A file of the program.
pub(crate) struct Asset {
    /// The last part of its address.
    pub(crate) name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
    /// The digest it was published with, where somebody else wrote it.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the bytes"))]
    pub(crate) sha256: Option<&'static str>,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file.
pub(crate) static TABLE: &[Asset] = &[
    Asset {
        name: "console.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/console.css"),
        sha256: None,
    },
    Asset { name: "builder.js", media: SCRIPT, bytes: include_bytes!("../../assets/builder.js"), sha256: None },
    Asset { name: "console.js", media: SCRIPT, bytes: include_bytes!("../../assets/console.js"), sha256: None },
    Asset { name: "trusted.js", media: SCRIPT, bytes: include_bytes!("../../assets/trusted.js"), sha256: None },
    Asset { name: "icon.svg", media: "image/svg+xml", bytes: include_bytes!("../../assets/icon.svg"), sha256: None },
    Asset {
        name: "htmx.js",
        media: SCRIPT,
        bytes: include_bytes!("../../assets/vendor/htmx-2.0.11.min.js"),
        sha256: Some("d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"),
    },
    Asset {
        name: "idiomorph.js",
        media: SCRIPT,
        bytes: include_bytes!("../../assets/vendor/idiomorph-0.8.0.min.js"),
        sha256: Some("5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e"),
    },
    Asset {
        name: "sse.js",
        media: SCRIPT,
        bytes: include_bytes!("../../assets/vendor/htmx-ext-sse-2.2.4.min.js"),
        sha256: Some("98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136"),
    },
];

/// The digest of each file, in hex, in the order of the table.
static DIGESTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let digest = |asset: &Asset| {
        let digest: [u8; 32] = Sha256::digest(asset.bytes).into();
        kit::render::hex(&digest)
    };
    TABLE.iter().map(digest).collect()
});

/// Digits of the digest in an address.
const DIGITS: usize = 16;

/// The address of a file. One that is not in the table has none, which a test would find.
pub(crate) fn address(name: &str) -> String {
    let at = TABLE.iter().position(|asset| asset.name == name);
    let hash = at.and_then(|at| DIGESTS.get(at)).and_then(|digest| digest.get(..DIGITS));
    hash.map_or_else(String::new, |hash| format!("/static/{hash}/{name}"))
}

/// Each file packed, in the order of the table. Text of a megabyte or so, packed once.
static PACKED: LazyLock<Vec<Option<Vec<u8>>>> = LazyLock::new(|| {
    let pack = |asset: &Asset| {
        let mut out = GzEncoder::new(Vec::new(), Compression::new(9));
        out.write_all(asset.bytes).and_then(|()| out.finish()).ok()
    };
    TABLE.iter().map(pack).collect()
});

/// Gives a file.
pub(super) async fn serve(headers: HeaderMap, Path((hash, name)): Path<(String, String)>) -> Response {
    let at = TABLE.iter().position(|asset| asset.name == name);
    let found = at.and_then(|at| Some((TABLE.get(at)?, DIGESTS.get(at)?, PACKED.get(at)?)));
    match found.filter(|(_, digest, _)| digest.get(..DIGITS) == Some(&hash)) {
        Some((asset, _, packed)) => {
            let common = [
                (header::CONTENT_TYPE, HeaderValue::from_static(asset.media)),
                (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
                (header::VARY, HeaderValue::from_static("Accept-Encoding")),
            ];
            match packed {
                Some(packed) if accepts_gzip(&headers) => {
                    (common, [(header::CONTENT_ENCODING, "gzip")], packed.as_slice()).into_response()
                }
                _ => (common, asset.bytes).into_response(),
            }
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_as_they_published_it() {
        for (asset, digest) in TABLE.iter().zip(DIGESTS.iter()) {
            if let Some(expect) = asset.sha256 {
                assert_eq!(digest, expect, "{}", asset.name);
            }
        }
    }

    #[test]
    fn what_goes_out_packed_is_what_is_packed() {
        for (asset, packed) in TABLE.iter().zip(PACKED.iter()) {
            let packed = packed.as_deref().unwrap();
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
            assert!(text == asset.bytes && packed.len() < asset.bytes.len(), "{}", asset.name);
        }
    }

    #[test]
    fn files_are_small() {
        let bytes =
            |media: &str| TABLE.iter().filter(|a| a.media.starts_with(media)).map(|a| a.bytes.len()).sum::<usize>();
        assert!(bytes("text/javascript") <= 350 << 10, "{}", bytes("text/javascript"));
        assert!(bytes("text/css") <= 60 << 10, "{}", bytes("text/css"));
    }
}
