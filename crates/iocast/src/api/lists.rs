//! Served lists: what firewalls and proxies fetch.
//!
//! An answer is a whole list or none: it is read from one file that is never changed, its length is said beforehand,
//! its digest is compared while it is read, and what is wrong breaks the connection instead of ending the list early. Our own trouble is always a 503, never
//! a 401 or 403, because some devices stop enforcing when they are told that they may not read.
//!
//! `If-Modified-Since` is not looked at: two lists of one second would be the same to it.

use super::auth::{Credential, identify};
use super::error::Problem;
use super::extract::Part;
use crate::app::App;
use crate::app::shelf::{Admission, Packed, Shelved};
use crate::people::{
    self,
    roles::{self, Needs},
};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use engine::lists::{Body as ListBody, ServedList};
use flate2::Compression;
use flate2::write::GzEncoder;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

/// Where a request came from, as the socket says. Headers that claim something else are not believed.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Bytes read at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// A list shorter than this is not worth compressing.
const MIN_GZIP_BYTES: u64 = 1_024;
/// A list that was replaced while it was opened is looked up again this often.
const TRIES: usize = 5;

/// `GET /lists/{name}`.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let shelved = app.shelved(&name);
    // Without an address a peer is nobody in particular.
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip());
    let admission = shelved.as_ref().map_or(Admission::WithToken, |shelved| shelved.access.admits(peer));
    if admission != Admission::Open {
        let mut caller = identify(&app, &parts.extensions, Credential::of(&parts.headers)).await?;
        if caller.is_none() {
            caller = people::seat(&app, &parts.headers, &parts.extensions).await?.map(|seat| seat.caller);
        }
        let is_local = caller.as_ref().is_some_and(|caller| caller.is_local);
        if admission == Admission::No && !is_local {
            return Err(Problem::forbidden("this list is not served to your network"));
        }
        if let Some(Err(why)) = caller.as_ref().map(|caller| roles::decide(caller, Needs::List)) {
            return Err(Problem::forbidden(why));
        }
        if caller.is_none() {
            return Err(Problem::unauthorized_device());
        }
    }
    let mut missing = None;
    for _ in 0..TRIES {
        let Some(Shelved { list, is_damaged, .. }) = app.shelved(&name) else {
            return Err(Problem::not_found("there is no list of this name"));
        };
        if is_damaged {
            return Err(Problem::later("this list is damaged and waits to be published again", 60));
        }
        let Some(list) = list else {
            return Err(Problem::later("this list has not been published yet", 60));
        };
        match answer(&app, &list, &parts.method, &parts.headers).await {
            Ok(response) => return Ok(response),
            // Replaced between the look at the shelf and the opening of the file: there is a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(list),
            Err(error) => {
                tracing::error!(list = name, %error, "a served list cannot be read");
                return Err(Problem::later("this list cannot be read at the moment", 30));
            }
        }
    }
    if let Some(list) = missing {
        app.list_damaged(&list, "its file is missing");
    }
    Err(Problem::later("this list cannot be read at the moment", 30))
}

async fn answer(app: &Arc<App>, list: &Arc<ServedList>, method: &Method, headers: &HeaderMap) -> io::Result<Response> {
    let plain_tag = format!("\"{}\"", list.sha256);
    let gzip_tag = format!("\"{}-gzip\"", list.sha256);
    let use_gzip = list.bytes >= MIN_GZIP_BYTES && accepts_gzip(headers);
    let tag = if use_gzip { &gzip_tag } else { &plain_tag };
    // Both forms are of one content, so either tag says that the reader has it.
    if let Some(known) = known_tag(headers, [tag, &plain_tag, &gzip_tag]) {
        return Ok(respond(list, StatusCode::NOT_MODIFIED, known, Body::empty()));
    }
    let head_only = *method == Method::HEAD;
    let mut length = None;
    let body = if use_gzip {
        match app.shelf().packed(list) {
            Ok(twin) => {
                length = Some(twin.bytes);
                let whole = Whole { bytes: twin.bytes, sha256: twin.sha256.clone(), is_twin: true };
                if head_only { Body::empty() } else { from_file(app, list, &twin.path, whole).await? }
            }
            Err(make) => {
                if let Some(path) = make {
                    pack(app, list, path);
                }
                if head_only { Body::empty() } else { compressing(app, list).await? }
            }
        }
    } else {
        length = Some(list.bytes);
        match &list.body {
            _ if head_only => Body::empty(),
            ListBody::File(path) => {
                let whole = Whole { bytes: list.bytes, sha256: list.sha256.clone(), is_twin: false };
                from_file(app, list, path, whole).await?
            }
            ListBody::Bytes(bytes) => Body::from(Bytes::from_owner(bytes.clone())),
        }
    };
    let mut response = respond(list, StatusCode::OK, tag, body);
    let headers = response.headers_mut();
    if use_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(list.format.content_type()));
    headers.insert("x-list-entries", list.entries.into());
    if let Ok(value) = HeaderValue::from_str(&disposition(list)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn respond(list: &ServedList, status: StatusCode, tag: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, value);
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(list.at.secs()).unwrap_or(0));
    if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(at)) {
        headers.insert(header::LAST_MODIFIED, value);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Authorization"));
    // Whoever keeps a copy asks whether it is still good before using it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// The first of our tags that the reader says it has.
fn known_tag<'t>(headers: &HeaderMap, ours: [&'t String; 3]) -> Option<&'t str> {
    let sent: Vec<&str> = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim())
        .map(|tag| tag.strip_prefix("W/").unwrap_or(tag))
        .collect();
    ours.into_iter().find(|tag| sent.iter().any(|sent| sent == tag || *sent == "*")).map(String::as_str)
}

/// Whether the reader takes gzip: named, or by `*`, and not with a weight of zero.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for coding in value.to_str().unwrap_or_default().split(',') {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let refused = parts
                .filter_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
            match name.as_str() {
                "gzip" | "x-gzip" => return !refused,
                "*" => any = !refused,
                _ => {}
            }
        }
    }
    any
}

/// A file to keep: its name, in a form that every name survives.
fn disposition(list: &ServedList) -> String {
    let ending = match list.format.as_str() {
        "edl" => "txt",
        "stix" => "json",
        other => other,
    };
    let mut name = String::new();
    for byte in list.name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("attachment; filename*=UTF-8''{name}.{ending}")
}

/// What a file must be.
struct Whole {
    bytes: u64,
    sha256: String,
    /// The compressed twin of the body, not the body.
    is_twin: bool,
}

/// A whole file. One that is not what was published is not answered, or where it is long, the connection breaks before
/// its end: what has been received whole has the digest it should have.
async fn from_file(app: &Arc<App>, list: &Arc<ServedList>, path: &Path, whole: Whole) -> io::Result<Body> {
    let mut file = match open(path, whole.bytes).await {
        Ok(file) => file.take(whole.bytes),
        Err(error) => {
            if error.kind() == io::ErrorKind::InvalidData {
                damaged(app, list, whole.is_twin, &error);
            }
            return Err(error);
        }
    };
    let mut sum = Sha256::new();
    let mut left = whole.bytes;
    let first = piece(&mut file, &mut sum, &mut left).await?;
    if left == 0 {
        if let Err(error) = whole.check(sum) {
            damaged(app, list, whole.is_twin, &error);
            return Err(error);
        }
        return Ok(Body::from(first));
    }
    let (chunks, inbox) = mpsc::channel::<io::Result<Bytes>>(2);
    let (app, list) = (app.clone(), list.clone());
    tokio::spawn(async move {
        let mut held = first;
        while left > 0 {
            let next = piece(&mut file, &mut sum, &mut left).await;
            // One piece behind: the last one goes out only when everything is known to be right.
            match next {
                Ok(next) => {
                    if chunks.send(Ok(std::mem::replace(&mut held, next))).await.is_err() {
                        return;
                    }
                }
                Err(error) => return drop(chunks.send(Err(error)).await),
            }
        }
        let last = whole.check(sum).map(|()| held);
        if let Err(error) = &last {
            damaged(&app, &list, whole.is_twin, error);
        }
        // An error breaks the connection, so that the reader does not take a part for the whole.
        let _ = chunks.send(last).await;
    });
    Ok(Body::from_stream(Chunks(inbox)))
}

impl Whole {
    fn check(&self, sum: Sha256) -> io::Result<()> {
        let found: [u8; 32] = sum.finalize().into();
        if kit::render::hex(&found) == self.sha256 { Ok(()) } else { Err(other_than("another digest".into())) }
    }
}

/// The next bytes of a file, summed up.
async fn piece(file: &mut (impl tokio::io::AsyncRead + Unpin), sum: &mut Sha256, left: &mut u64) -> io::Result<Bytes> {
    let most = usize::try_from(*left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
    let mut piece = vec![0; most];
    file.read_exact(&mut piece).await?;
    sum.update(&piece);
    *left -= most as u64;
    Ok(piece.into())
}

fn damaged(app: &App, list: &ServedList, is_twin: bool, error: &io::Error) {
    match is_twin {
        // The body may well be whole: the twin is made again from it.
        true => app.shelf().drop_packed(list),
        false => app.list_damaged(list, &error.to_string()),
    }
}

/// What is there is not what was published.
fn other_than(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

async fn open(path: &Path, bytes: u64) -> io::Result<tokio::fs::File> {
    let file = tokio::fs::File::open(path).await?;
    match file.metadata().await?.len() {
        there if there == bytes => Ok(file),
        there => Err(other_than(format!("{there} bytes instead of {bytes}"))),
    }
}

/// The list, compressed as it goes out: the first byte leaves at once, and a slow reader holds no thread.
async fn compressing(app: &Arc<App>, list: &Arc<ServedList>) -> io::Result<Body> {
    let mut reader: Box<dyn tokio::io::AsyncRead + Send + Unpin> = match &list.body {
        ListBody::File(path) => {
            let opened = open(path, list.bytes).await;
            if let Err(error) = &opened
                && error.kind() == io::ErrorKind::InvalidData
            {
                damaged(app, list, false, error);
            }
            Box::new(opened?)
        }
        ListBody::Bytes(bytes) => Box::new(io::Cursor::new(Bytes::from_owner(bytes.clone()))),
    };
    let (chunks, inbox) = mpsc::channel::<io::Result<Bytes>>(2);
    let mut left = list.bytes;
    let mut sum = Sha256::new();
    let whole = Whole { bytes: list.bytes, sha256: list.sha256.clone(), is_twin: false };
    let (app, list) = (app.clone(), list.clone());
    tokio::spawn(async move {
        let mut gzip = GzEncoder::new(Vec::with_capacity(CHUNK_BYTES), Compression::fast());
        let mut buffer = vec![0; CHUNK_BYTES];
        let ended = loop {
            match reader.read(&mut buffer).await {
                Ok(0) if left == 0 => match whole.check(sum) {
                    Ok(()) => break gzip.finish(),
                    Err(error) => {
                        damaged(&app, &list, false, &error);
                        break Err(error);
                    }
                },
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    left = left.saturating_sub(n as u64);
                    sum.update(&buffer[..n]);
                    if let Err(error) = gzip.write_all(&buffer[..n]) {
                        break Err(error);
                    }
                    let done = std::mem::take(gzip.get_mut());
                    if !done.is_empty() && chunks.send(Ok(done.into())).await.is_err() {
                        return;
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // An error breaks the connection, so that the reader does not take a part for the whole.
        let _ = chunks.send(ended.map(Bytes::from)).await;
    });
    Ok(Body::from_stream(Chunks(inbox)))
}

/// What a task sends, as a stream.
pub(crate) struct Chunks(pub(crate) mpsc::Receiver<io::Result<Bytes>>);

impl futures_core::Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Makes the compressed twin of a list, for the readers after this one.
fn pack(app: &Arc<App>, list: &Arc<ServedList>, path: std::path::PathBuf) {
    let (app, list) = (app.clone(), list.clone());
    tokio::task::spawn_blocking(move || {
        let made = (|| -> io::Result<Packed> {
            let part = path.with_extension("part");
            let out = Summed::new(io::BufWriter::new(std::fs::File::create(&part)?));
            let mut gzip = Summed::new(GzEncoder::new(out, Compression::new(6)));
            match &list.body {
                ListBody::File(path) => io::copy(&mut std::fs::File::open(path)?, &mut gzip)?,
                ListBody::Bytes(bytes) => io::copy(&mut &bytes[..], &mut gzip)?,
            };
            let whole = Whole { bytes: list.bytes, sha256: list.sha256.clone(), is_twin: false };
            if let Err(error) = whole.check(gzip.sum) {
                damaged(&app, &list, false, &error);
                return Err(error);
            }
            let mut out = gzip.inner.finish()?;
            out.inner.flush()?;
            std::fs::rename(&part, &path)?;
            let sha256: [u8; 32] = out.sum.finalize().into();
            Ok(Packed { bytes: std::fs::metadata(&path)?.len(), sha256: kit::render::hex(&sha256), path })
        })();
        if let Err(error) = &made {
            // A full disk is no reason not to serve: readers get what is compressed as it goes.
            tracing::debug!(list = list.name, %error, "no compressed twin was kept");
        }
        app.shelf().pack_ended(&list, made.ok());
    });
}

/// Sums up what is written.
struct Summed<W> {
    inner: W,
    sum: Sha256,
}

impl<W> Summed<W> {
    fn new(inner: W) -> Summed<W> {
        Summed { inner, sum: Sha256::new() }
    }
}

impl<W: io::Write> io::Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.sum.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A served list.
#[derive(Serialize, JsonSchema)]
pub(super) struct ListShown {
    /// Its target.
    name: String,
    /// Where it is fetched.
    path: String,
    /// `open` or `token`.
    access: &'static str,
    /// Whether it has ever been published.
    published: bool,
    /// Its body is not what was published: it answers 503.
    damaged: bool,
    /// How it is written.
    format: Option<&'static str>,
    /// Entries in it.
    entries: u64,
    /// Its length.
    bytes: u64,
    /// SHA-256 of its body, in hex.
    sha256: Option<String>,
    /// When it was published. RFC 3339.
    at: Option<String>,
}

/// `GET /api/v1/lists`.
pub(super) async fn all(State(app): State<Arc<App>>) -> Result<Json<Vec<ListShown>>, Problem> {
    let lists = app.hop(|app| Ok(app.all_shelved())).await?;
    let show = |(name, shelved): (String, Shelved)| {
        let list = shelved.list.as_ref();
        ListShown {
            path: format!("/lists/{name}"),
            name,
            access: if shelved.access.is_open { "open" } else { "token" },
            published: list.is_some(),
            damaged: shelved.is_damaged,
            format: list.map(|list| list.format.as_str()),
            entries: list.map_or(0, |list| list.entries),
            bytes: list.map_or(0, |list| list.bytes),
            sha256: list.map(|list| list.sha256.clone()),
            at: list.map(|list| list.at.to_string()),
        }
    };
    Ok(Json(lists.into_iter().map(show).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (sent, expect) in [
            (None, false),
            (Some("gzip"), true),
            (Some("GZIP, br"), true),
            (Some("br, deflate"), false),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.5"), true),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("gzip;q=0, *"), false),
            (Some("identity"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(sent));
            }
            assert_eq!(accepts_gzip(&headers), expect, "{sent:?}");
        }
    }
}
