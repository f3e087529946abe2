//! Feeds as connections: where the body is, whether it changed, and the parser behind it.
//!
//! What did not change is not parsed: a 304, the same bytes, the same file by time and length, each under the same
//! settings. A body is received whole before the first row is handed over, so that one cut short gives no rows.

use super::{FeedSpec, Format, parse};
use crate::connection::{Connection, Connector, Cursor, Cx, Pulled, Rows, Source};
use crate::decode::{Body, Limits, Packing, Unpack, unpack};
use crate::error::ConnectorError;
use crate::manifest::{Manifest, Setting, SettingType};
use crate::render::hex;
use crate::secret::Secret;
use intel::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// The connector of a manifest with a `[feed]` table, or of feeds in general.
///
/// The table holds what settings would: those a connection gives go before it. `terms` says under what terms the feed
/// may be used; `when.NAME` is merged where the setting NAME is true.
#[derive(Debug, Clone)]
pub struct FeedConnector {
    manifest: Manifest,
    defaults: Map<String, Value>,
    when: Vec<(String, Map<String, Value>)>,
    terms: Option<String>,
}

impl FeedConnector {
    /// Reads a manifest. Where the `[feed]` table names a `url` and no setting does, a setting to override it is added.
    ///
    /// # Errors
    /// A sentence: what is wrong with the manifest, or with the feed it describes.
    pub fn from_toml(text: &str) -> Result<FeedConnector, String> {
        let mut manifest = Manifest::parse(text)?;
        let mut defaults = match manifest.feed.clone() {
            None => Map::new(),
            Some(Value::Object(table)) => table,
            Some(_) => return Err(format!("{}: feed must be a table", manifest.name)),
        };
        let terms = match defaults.remove("terms") {
            None => None,
            Some(Value::String(terms)) => Some(terms),
            Some(_) => return Err(format!("{}: terms must be a text", manifest.name)),
        };
        let mut when = Vec::new();
        if let Some(Value::Object(tables)) = defaults.remove("when") {
            for (name, table) in tables {
                let Value::Object(table) = table else {
                    return Err(format!("{}: feed.when.{name} must be a table", manifest.name));
                };
                when.push((name, table));
            }
        }
        if let Some(url) = defaults.get("url").filter(|_| !manifest.settings.iter().any(|s| s.key == "url")) {
            manifest.settings.insert(0, url_setting(url.clone()));
        }
        let connector = FeedConnector { manifest, defaults, when, terms };
        if connector.defaults.contains_key("url") {
            connector.open(&Value::Null).map_err(|error| format!("{}: {error}", connector.manifest.name))?;
        }
        Ok(connector)
    }

    /// Under what terms the publisher gives the feed, where the manifest says.
    pub fn terms(&self) -> Option<&str> {
        self.terms.as_deref()
    }
}

fn url_setting(default: Value) -> Setting {
    Setting {
        key: "url".into(),
        value_type: SettingType::Text,
        label: "Address".into(),
        help: "Where the list is: https://, http://, file:// or a path. For a mirror of your own.".into(),
        required: false,
        default: Some(default),
        choices: Vec::new(),
        min: None,
        max: None,
        example: None,
    }
}

impl Connector for FeedConnector {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let mut merged = self.defaults.clone();
        let mut given = settings.as_object().cloned().unwrap_or_default();
        given.retain(|_, value| !value.is_null());
        for (name, table) in &self.when {
            if given.remove(name).is_some_and(|value| value == Value::Bool(true)) {
                merged.extend(table.clone());
            }
        }
        if let Some(key) = given.keys().find(|key| !self.manifest.settings.iter().any(|setting| setting.key == **key)) {
            return Err(format!("{key}: {} has no such setting", self.manifest.name));
        }
        merged.extend(given);
        Ok(Box::new(FeedConnection::from_settings(Value::Object(merged))?))
    }
}

/// Where a body is.
#[derive(Debug, Clone)]
enum Place {
    Http { url: String, token: Option<(String, Secret)> },
    File(String),
    Glob(String),
}

/// A feed with its settings.
#[derive(Debug, Clone)]
pub struct FeedConnection {
    place: Place,
    spec: FeedSpec,
    packing: Option<Vec<Packing>>,
    member: Option<String>,
    /// Of the settings: another way to read a body makes it another one.
    fingerprint: String,
}

/// The settings about fetching.
#[derive(Debug, Default, Deserialize)]
struct Fetch {
    #[serde(default)]
    url: String,
    token: Option<String>,
    token_header: Option<String>,
    packing: Option<Vec<String>>,
    member: Option<String>,
}

const FETCH_KEYS: [&str; 5] = ["url", "token", "token_header", "packing", "member"];

/// What the cursor remembers of a body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Seen {
    /// The fingerprint of the settings.
    spec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    /// Hash (XXH3, 128 bits) of the body as it came, or of a file, by its path.
    hash: BTreeMap<String, String>,
    /// Time (microseconds) and length of a file, where the time can be relied on.
    stat: BTreeMap<String, (i64, u64)>,
}

/// A file changed so recently may be changed again without its time telling.
const RACY: Duration = Duration::from_secs(2);
/// A body up to this size waits in memory, a longer one in a nameless temporary file.
const SPOOL_BYTES: usize = 8 << 20;

impl FeedConnection {
    /// Reads all settings of a feed: those of [`FeedSpec::from_settings`], and `url`, `token`, `token_header`,
    /// `packing`, `member`.
    ///
    /// # Errors
    /// A sentence that names the setting and what was expected.
    pub fn from_settings(settings: Value) -> Result<FeedConnection, String> {
        let Value::Object(mut settings) = settings else { return Err("settings must be a table".into()) };
        let mut fetch = Map::new();
        for key in FETCH_KEYS {
            fetch.extend(settings.remove_entry(key));
        }
        let mut named = settings.clone();
        named.extend(fetch.clone().into_iter().filter(|(key, _)| key != "token"));
        let fingerprint = hex(&Sha256::digest(Value::Object(named).to_string().as_bytes())[..8]);
        let fetch: Fetch = serde_json::from_value(Value::Object(fetch)).map_err(|error| error.to_string())?;
        let spec = FeedSpec::from_settings(&Value::Object(settings))?;
        let url = fetch.url.trim();
        if url.is_empty() {
            return Err("url: expected the address of the feed".into());
        }
        let web = ["http://", "https://"].iter().any(|scheme| {
            url.len() > 8 && url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let place = if web {
            let parsed = url::Url::parse(url).map_err(|error| format!("url: {error}"))?;
            if !parsed.username().is_empty() || parsed.password().is_some() {
                return Err("url: credentials do not belong in an address; use token".into());
            }
            let header = fetch.token_header.unwrap_or_else(|| "Authorization".into());
            let token = fetch.token.filter(|token| !token.is_empty()).map(|token| (header, Secret::new(token)));
            Place::Http { url: url.to_owned(), token }
        } else if url.contains("://") && !url.starts_with("file://") {
            return Err("url: expected https://, http://, file:// or a path".into());
        } else if url.contains(['*', '?']) {
            Place::Glob(url.to_owned())
        } else {
            Place::File(url.to_owned())
        };
        let layer = |name: &String| {
            Packing::from_name(name)
                .ok_or_else(|| format!("packing: expected plain, gzip, zip or zstd, found `{name}`"))
        };
        let packing = fetch.packing.map(|names| names.iter().map(layer).collect::<Result<Vec<_>, _>>()).transpose()?;
        Ok(FeedConnection { place, spec, packing, member: fetch.member, fingerprint })
    }

    fn read(&self, body: Body, rows: &mut dyn Rows) -> Result<(), ConnectorError> {
        let how = Unpack { layers: self.packing.clone(), member: self.member.clone(), limits: Limits::default() };
        let body = BufReader::with_capacity(256 << 10, unpack(body, &how)?);
        parse(&self.spec, body, rows).map(drop)
    }

    fn pull_http(
        &self,
        (url, token): (&str, Option<&(String, Secret)>),
        before: &Seen,
        cx: &Cx<'_>,
        rows: &mut dyn Rows,
    ) -> Result<Pulled, ConnectorError> {
        let mut request = request(cx, url, token);
        if let Some(etag) = &before.etag {
            request = request.if_none_match(etag);
        }
        if let Some(date) = &before.last_modified {
            request = request.if_modified_since(date);
        }
        let mut response = request.send()?;
        if response.not_modified() {
            return Ok(Pulled::NotModified(None));
        }
        self.judge_type(&response.content_type())?;
        let mut spool = tempfile::SpooledTempFile::new(SPOOL_BYTES);
        let hash = copy(&mut response.body, Some(&mut spool))?;
        let now = Seen {
            spec: self.fingerprint.clone(),
            etag: response.etag().map(str::to_owned),
            last_modified: response.last_modified().map(str::to_owned),
            hash: BTreeMap::from([(String::new(), hash)]),
            stat: BTreeMap::new(),
        };
        let cursor = serde_json::to_value(&now).ok();
        if now.hash == before.hash {
            return Ok(Pulled::NotModified(cursor));
        }
        spool.seek(SeekFrom::Start(0)).map_err(|error| disk(&error))?;
        self.read(Box::new(spool), rows)?;
        Ok(Pulled::Whole(cursor))
    }

    fn pull_files(
        &self,
        paths: &[String],
        before: &Seen,
        cx: &Cx<'_>,
        rows: &mut dyn Rows,
    ) -> Result<Pulled, ConnectorError> {
        let mut now = Seen { spec: self.fingerprint.clone(), ..Seen::default() };
        let mut same = before.hash.len() == paths.len();
        for path in paths {
            let mut file = cx.files.open(path)?;
            let settled = |time: &Timestamp| cx.now.since(*time) > RACY;
            let stat = file.modified.filter(settled).map(|time| (time.micros(), file.len));
            let hash = match (stat, before.hash.get(path)) {
                (Some(stat), Some(known)) if before.stat.get(path) == Some(&stat) => known.clone(),
                _ => copy(&mut file, None)?,
            };
            same &= before.hash.get(path) == Some(&hash);
            now.hash.insert(path.clone(), hash);
            now.stat.extend(stat.map(|stat| (path.clone(), stat)));
        }
        let cursor = serde_json::to_value(&now).ok();
        if same {
            return Ok(Pulled::NotModified(cursor.filter(|_| now != *before)));
        }
        for path in paths {
            let named = |error| match error {
                ConnectorError::Unexpected(why) if paths.len() > 1 => {
                    ConnectorError::Unexpected(format!("{path}: {why}"))
                }
                other => other,
            };
            self.read(Box::new(cx.files.open(path)?), rows).map_err(named)?;
            let after = copy(&mut cx.files.open(path)?, None)?;
            if now.hash.get(path) != Some(&after) {
                let why = format!("{path} was changed while it was read");
                return Err(ConnectorError::Later { wait: None, why });
            }
        }
        Ok(Pulled::Whole(cursor))
    }

    fn judge_type(&self, content_type: &str) -> Result<(), ConnectorError> {
        let is_page = matches!(content_type, "text/html" | "application/xhtml+xml");
        if is_page && self.spec.format() != Format::Extract {
            let why = format!("HTML page where a list was expected (its content type is {content_type})");
            return Err(ConnectorError::Unexpected(why));
        }
        let is_no_text = ["image/", "audio/", "video/", "font/"].iter().any(|sort| content_type.starts_with(sort));
        if is_no_text || content_type == "application/pdf" {
            let why = format!("{content_type} where a list was expected: check the address");
            return Err(ConnectorError::Unexpected(why));
        }
        Ok(())
    }
}

fn request<'a>(cx: &Cx<'a>, url: &str, token: Option<&(String, Secret)>) -> crate::http::Request<'a> {
    let request = cx.http.get(url);
    match token {
        None => request,
        Some((header, token)) if header.eq_ignore_ascii_case("authorization") => request.bearer(token),
        Some((header, token)) => request.secret_header(header, token),
    }
}

/// Reads to the end, hashes, and keeps a copy where one is wanted.
fn copy(from: &mut dyn Read, mut into: Option<&mut dyn Write>) -> Result<String, ConnectorError> {
    // To tell the same body from another: whoever could make two alike would only keep their own feed from being read.
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(format!("{:032x}", hash.digest128())),
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(super::io_error(&error)),
        };
        hash.update(&buffer[..n]);
        if let Some(into) = &mut into {
            into.write_all(&buffer[..n]).map_err(|error| disk(&error))?;
        }
    }
}

fn disk(error: &std::io::Error) -> ConnectorError {
    ConnectorError::Later { wait: None, why: format!("the body cannot be kept while it is read: {error}") }
}

impl Connection for FeedConnection {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        match &self.place {
            Place::Http { url, token } => {
                let response = request(cx, url, token.as_ref()).send()?;
                self.judge_type(&response.content_type())
            }
            Place::File(path) => cx.files.open(path).map(drop),
            Place::Glob(pattern) => found(pattern, cx).map(drop),
        }
    }

    fn lists_everything(&self) -> Option<bool> {
        matches!(self.place, Place::Glob(_)).then_some(false)
    }

    fn hosts(&self) -> Vec<String> {
        match &self.place {
            Place::Http { url, .. } => {
                url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}

fn found(pattern: &str, cx: &Cx<'_>) -> Result<Vec<String>, ConnectorError> {
    let paths: Vec<String> =
        cx.files.glob(pattern)?.into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
    if paths.is_empty() {
        return Err(ConnectorError::Later { wait: None, why: format!("no file matches {pattern}") });
    }
    Ok(paths)
}

impl Source for FeedConnection {
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        // A cursor of other settings, or one we cannot read, says nothing about this body.
        let before: Seen = after
            .and_then(|cursor| Seen::deserialize(cursor).ok())
            .filter(|seen| seen.spec == self.fingerprint)
            .unwrap_or_default();
        match &self.place {
            Place::Http { url, token } => self.pull_http((url, token.as_ref()), &before, cx, rows),
            Place::File(path) => self.pull_files(std::slice::from_ref(path), &before, cx, rows),
            Place::Glob(pattern) => self.pull_files(&found(pattern, cx)?, &before, cx, rows),
        }
    }
}
