//! Requests as TAXII wants them, and where the collections are.
//!
//! Servers differ in slashes, media types and how they name their API roots, so all of that is read leniently. One thing is
//! not: credentials go to the address in the settings and to origins the operator trusts, never where a server points.

use super::{Settings, Wanted};
use kit::ConnectorError;
use kit::http::{Http, Request, Response};
use kit::stix::Version;
use serde_json::Value;
use url::{Position, Url};

/// API roots of one server that are looked at.
const MAX_ROOTS: usize = 50;
/// Collections of one API root that are looked at.
const MAX_COLLECTIONS: usize = 1_000;
/// Longest JSON read whole: everything but pages of objects, in bytes.
const MAX_RESOURCE: u64 = 8 << 20;

/// Which of TAXII's two sorts of content is meant: 2.0 has a media type for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Resources of the protocol.
    Taxii,
    /// Objects.
    Stix,
}

/// The media type, as TAXII 2.1 §1.6.8 and TAXII 2.0 §1.6.4 write it.
pub(super) fn media_type(version: Version, content: Content) -> &'static str {
    match (version, content) {
        (Version::V21, _) => "application/taxii+json;version=2.1",
        (Version::V20, Content::Taxii) => "application/vnd.oasis.taxii+json; version=2.0",
        (Version::V20, Content::Stix) => "application/vnd.oasis.stix+json; version=2.0",
    }
}

/// What was answered, where it is more than an error.
pub(super) enum Got {
    There(Response),
    /// 404 or 410.
    Absent,
    /// 406 or 415: not in this version.
    Unacceptable,
}

/// One collection and how to speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    /// Of the API root, with a slash at its end.
    pub(super) root: String,
    /// Of the collection, with a slash at its end.
    pub(super) url: String,
    pub(super) id: String,
    pub(super) title: String,
    pub(super) alias: Option<String>,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
}

/// The collections that were found.
pub(super) struct Places {
    all: Vec<Place>,
    /// The address in the settings names one collection.
    is_one: bool,
}

pub(super) struct Client<'a> {
    settings: &'a Settings,
    http: &'a Http,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a Settings, http: &'a Http) -> Client<'a> {
        Client { settings, http }
    }

    pub(super) fn http(&self) -> &'a Http {
        self.http
    }

    /// A GET with credentials and the right `Accept`.
    pub(super) fn get(&self, version: Version, content: Content, url: &str) -> Request<'a> {
        self.signed(self.http.get(url)).header("Accept", media_type(version, content))
    }

    /// A POST of objects. Ids are fixed, so repeating it is harmless.
    pub(super) fn post(&self, version: Version, url: &str, body: Vec<u8>) -> Request<'a> {
        let request = self.http.post(url, media_type(version, Content::Stix), body).idempotent();
        self.signed(request).header("Accept", media_type(version, Content::Taxii))
    }

    pub(super) fn delete(&self, version: Version, url: &str) -> Request<'a> {
        self.signed(self.http.delete(url)).header("Accept", media_type(version, Content::Taxii))
    }

    fn signed(&self, mut request: Request<'a>) -> Request<'a> {
        let Settings { username, password, token, api_key, api_key_header, .. } = self.settings;
        if let (Some(user), Some(password)) = (username, password) {
            request = request.basic(user, password);
        }
        if let Some(token) = token {
            request = request.bearer(token);
        }
        if let Some(key) = api_key {
            request = request.secret_header(api_key_header, key);
        }
        request
    }

    /// Asks for a resource, and where it is missing once more without the slash at the end of its path.
    pub(super) fn ask(&self, version: Version, url: &str) -> Result<Got, ConnectorError> {
        match self.ask_once(version, url)? {
            Got::Absent if url.ends_with('/') && Url::parse(url).is_ok_and(|url| url.path() != "/") => {
                self.ask_once(version, url.trim_end_matches('/'))
            }
            got => Ok(got),
        }
    }

    fn ask_once(&self, version: Version, url: &str) -> Result<Got, ConnectorError> {
        let response = self.get(version, Content::Taxii, url).also(&[404, 406, 410, 415]).send().map_err(advised)?;
        Ok(match response.status {
            404 | 410 => Got::Absent,
            406 | 415 => Got::Unacceptable,
            _ => Got::There(response),
        })
    }

    /// The versions to try, the likeliest first.
    fn versions(&self) -> &'static [Version] {
        match self.settings.version {
            Wanted::Auto => &[Version::V21, Version::V20],
            Wanted::V21 => &[Version::V21],
            Wanted::V20 => &[Version::V20],
        }
    }

    /// The resource in whichever version the server speaks; None: it is not there in any.
    fn negotiate(&self, url: &str) -> Result<Option<(Version, Value)>, ConnectorError> {
        let mut is_unacceptable = false;
        for version in self.versions() {
            match self.ask(*version, url)? {
                Got::There(response) => {
                    let version =
                        if self.settings.version == Wanted::Auto { spoken(&response, *version) } else { *version };
                    return Ok(Some((version, resource(response)?)));
                }
                Got::Absent => {}
                Got::Unacceptable => is_unacceptable = true,
            }
        }
        if is_unacceptable {
            let other = match self.settings.version {
                Wanted::Auto => "it speaks neither TAXII 2.1 nor 2.0; for TAXII 1.1 use the connector taxii1",
                Wanted::V21 => "it does not speak TAXII 2.1 here; try version = \"2.0\" or \"auto\"",
                Wanted::V20 => "it does not speak TAXII 2.0 here; try version = \"2.1\" or \"auto\"",
            };
            return Err(ConnectorError::Unexpected(format!("{}: {other}", shown(url))));
        }
        Ok(None)
    }

    /// Works out what the address in the settings is, and gives the collections behind it.
    pub(super) fn places(&self) -> Result<Places, ConnectorError> {
        let base = directory(&self.settings.url)?;
        if let Some((root, id)) = split_collection(&base) {
            let Some(id) = id else {
                let all = self.collections(&root)?;
                return Ok(Places { all, is_one: false });
            };
            let url = format!("{root}collections/{id}/");
            let (version, value) = self.negotiate(&url)?.ok_or_else(|| {
                ConnectorError::Denied(format!(
                    "{}: there is no such collection, or it is not for this account",
                    shown(&url)
                ))
            })?;
            let mut place = place(version, &root, &value).unwrap_or_else(|| bare_place(version, &root, &id));
            // What was asked for is what is meant, also where the answer names it by another id.
            place.url = url;
            return Ok(Places { all: vec![place], is_one: true });
        }
        let mut found = self.negotiate(&base)?.map(|(_, value)| (base.clone(), value));
        if found.is_none() && Url::parse(&base).is_ok_and(|url| url.path() == "/") {
            // Where the standards put discovery.
            for well_known in ["taxii2/", "taxii/"] {
                let url = format!("{base}{well_known}");
                found = self.negotiate(&url)?.map(|(_, value)| (url, value));
                if found.is_some() {
                    break;
                }
            }
        }
        let Some((at, value)) = found else {
            // Some API roots say nothing of themselves and have collections all the same.
            let all = self.collections(&base).map_err(|error| match error {
                ConnectorError::Unexpected(_) => not_taxii(&base),
                other => other,
            })?;
            return Ok(Places { all, is_one: false });
        };
        if let Some(roots) = value["api_roots"].as_array() {
            let default = value["default"].as_str();
            return self.behind(&at, default, roots);
        }
        if value["versions"].is_array() || value["max_content_length"].is_number() || value["title"].is_string() {
            return Ok(Places { all: self.collections(&at)?, is_one: false });
        }
        Err(not_taxii(&at))
    }

    /// The collections of the API roots a discovery names.
    fn behind(&self, discovery: &str, default: Option<&str>, roots: &[Value]) -> Result<Places, ConnectorError> {
        let mut addresses: Vec<String> = Vec::new();
        let mut trouble = None;
        let named = default.into_iter().chain(roots.iter().filter_map(Value::as_str)).take(MAX_ROOTS);
        for root in named {
            match self.allowed_root(discovery, root) {
                Ok(root) if addresses.contains(&root) => {}
                Ok(root) => addresses.push(root),
                Err(why) => trouble = Some(ConnectorError::Denied(why)),
            }
        }
        let mut all = Vec::new();
        for root in &addresses {
            match self.collections(root) {
                Ok(more) => all.extend(more),
                Err(error) if error.is_later() => return Err(error),
                // An account that may use one API root need not be able to use the next.
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            Some(error) if all.is_empty() => Err(error),
            _ if addresses.is_empty() => {
                Err(ConnectorError::Unexpected(format!("{}: the discovery names no API root", shown(discovery))))
            }
            _ => Ok(Places { all, is_one: false }),
        }
    }

    /// Where an API root is, if the credentials may be sent there.
    fn allowed_root(&self, discovery: &str, root: &str) -> Result<String, String> {
        let wrong = || format!("the discovery names an API root that is no address: {:?}", clip(root));
        let from = Url::parse(discovery).map_err(|_| wrong())?;
        let mut to = from.join(root.trim()).map_err(|_| wrong())?;
        if !matches!(to.scheme(), "http" | "https") || !to.username().is_empty() || to.password().is_some() {
            return Err(wrong());
        }
        // Behind a proxy that ends TLS a server often believes to be reached by http.
        if from.scheme() == "https" && to.scheme() == "http" && from.host_str() == to.host_str() {
            let port = from.port();
            if to.set_scheme("https").is_err() || to.set_port(port).is_err() {
                return Err(wrong());
            }
        }
        let origin = to.origin();
        let trusted = self.settings.trusted_origins.iter().filter_map(|origin| origin_of(origin));
        if origin != from.origin() && !trusted.into_iter().any(|trusted| trusted == origin) {
            let (origin, from) = (origin.ascii_serialization(), from.origin().ascii_serialization());
            return Err(format!(
                "{from} keeps an API root at {origin}, and credentials are not sent to another origin: \
                 if it is theirs, set trusted_origins = [\"{origin}\"]"
            ));
        }
        to.set_query(None);
        to.set_fragment(None);
        directory(to.as_str()).map_err(|_| wrong())
    }

    /// The collections of one API root.
    fn collections(&self, root: &str) -> Result<Vec<Place>, ConnectorError> {
        let url = format!("{root}collections/");
        let Some((version, value)) = self.negotiate(&url)? else {
            return Err(ConnectorError::Unexpected(format!(
                "{}: there are no collections (404); check the address",
                shown(&url)
            )));
        };
        let listed = value["collections"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !value.is_object() || (listed.is_empty() && value.get("api_roots").is_some()) {
            return Err(not_taxii(&url));
        }
        Ok(listed.iter().take(MAX_COLLECTIONS).filter_map(|one| place(version, root, one)).collect())
    }

    /// The most bytes the API root takes in one message; None where it does not say.
    pub(super) fn max_content_length(&self, place: &Place) -> Result<Option<usize>, ConnectorError> {
        match self.ask(place.version, &place.root)? {
            Got::There(response) => {
                let length = resource(response)?["max_content_length"].as_u64();
                Ok(length.and_then(|length| usize::try_from(length).ok()))
            }
            Got::Absent | Got::Unacceptable => Ok(None),
        }
    }
}

impl Places {
    /// Those to read: the wanted one, or all that may be read.
    pub(super) fn readable(self, wanted: Option<&str>) -> Result<Vec<Place>, ConnectorError> {
        if wanted.is_none() {
            let readable: Vec<Place> = self.all.into_iter().filter(|place| place.can_read).collect();
            if readable.is_empty() {
                return Err(ConnectorError::Denied(
                    "there is no collection that this account may read; ask the server's operator for the right".into(),
                ));
            }
            return Ok(readable);
        }
        let place = self.one(wanted)?;
        if !place.can_read {
            let title = place.name();
            return Err(ConnectorError::Denied(format!("the collection {title} may not be read by this account")));
        }
        Ok(vec![place])
    }

    /// The one to write to.
    pub(super) fn writable(self, wanted: Option<&str>) -> Result<Place, ConnectorError> {
        let place = self.one(wanted)?;
        if !place.can_write {
            let title = place.name();
            return Err(ConnectorError::Denied(format!(
                "the collection {title} may not be written to by this account; choose another, or ask the server's operator"
            )));
        }
        Ok(place)
    }

    /// Is there anything for this account?
    pub(super) fn usable(self, wanted: Option<&str>) -> Result<(), ConnectorError> {
        let usable = |place: &Place| place.can_read || place.can_write;
        match wanted {
            Some(_) if self.one(wanted).is_ok_and(|place| usable(&place)) => Ok(()),
            None if self.all.iter().any(usable) => Ok(()),
            _ => self.readable(wanted).map(drop),
        }
    }

    fn one(&self, wanted: Option<&str>) -> Result<Place, ConnectorError> {
        let found = match wanted {
            _ if self.is_one => self.all.first(),
            None if self.all.len() == 1 => self.all.first(),
            None => {
                return Err(ConnectorError::Denied(format!("collection: there are {}; name one", self.listed())));
            }
            Some(wanted) => self.all.iter().find(|place| place.id.eq_ignore_ascii_case(wanted)).or_else(|| {
                let mut named = self
                    .all
                    .iter()
                    .filter(|place| place.alias.as_deref() == Some(wanted) || place.title.eq_ignore_ascii_case(wanted));
                named.next().filter(|_| named.next().is_none())
            }),
        };
        found.cloned().ok_or_else(|| {
            let wanted = wanted.unwrap_or_default();
            ConnectorError::Denied(format!(
                "there is no one collection {wanted:?} for this account; there are {}",
                self.listed()
            ))
        })
    }

    fn listed(&self) -> String {
        let names: Vec<String> = self.all.iter().take(10).map(Place::name).collect();
        match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        }
    }
}

impl Place {
    pub(super) fn objects(&self) -> String {
        format!("{}objects/", self.url)
    }

    pub(super) fn object(&self, id: &str) -> String {
        format!("{}objects/{}/", self.url, kit::http::encode(id))
    }

    /// For messages.
    fn name(&self) -> String {
        format!("{:?} ({})", clip(&self.title), clip(&self.id))
    }
}

fn place(version: Version, root: &str, value: &Value) -> Option<Place> {
    let id = value["id"].as_str().filter(|id| !id.is_empty() && id.len() <= 256)?;
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Some(Place {
        title: text("title").unwrap_or_else(|| id.to_owned()),
        alias: text("alias"),
        can_read: value["can_read"].as_bool().unwrap_or(true),
        can_write: value["can_write"].as_bool().unwrap_or(false),
        ..bare_place(version, root, &kit::http::encode(id))
    })
    .map(|place| Place { id: id.to_owned(), ..place })
}

fn bare_place(version: Version, root: &str, id: &str) -> Place {
    Place {
        version,
        root: root.to_owned(),
        url: format!("{root}collections/{id}/"),
        id: id.to_owned(),
        title: id.to_owned(),
        alias: None,
        can_read: true,
        can_write: true,
    }
}

/// The version an answer turns out to be in.
fn spoken(response: &Response, asked: Version) -> Version {
    let said = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    match said.contains("vnd.oasis") || said.replace(' ', "").contains("version=2.0") {
        true => Version::V20,
        false => asked,
    }
}

/// A resource of the protocol, read whole.
pub(super) fn resource(mut response: Response) -> Result<Value, ConnectorError> {
    use std::io::Read as _;
    let body = std::mem::replace(&mut response.body, Box::new(std::io::empty()));
    response.body = Box::new(body.take(MAX_RESOURCE));
    response.json()
}

/// What a person can do about it.
pub(super) fn advised(error: ConnectorError) -> ConnectorError {
    match error {
        ConnectorError::Denied(why) if why.contains("answered 401") => ConnectorError::Denied(format!(
            "{why}; the server does not take these credentials: check username and password, token or api_key"
        )),
        ConnectorError::Denied(why) if why.contains("answered 403") => ConnectorError::Denied(format!(
            "{why}; this account may not do that: choose another collection, or ask the server's operator"
        )),
        other => other,
    }
}

fn not_taxii(url: &str) -> ConnectorError {
    ConnectorError::Unexpected(format!(
        "{}: what is there is neither a discovery nor an API root nor a collection; check the address",
        shown(url)
    ))
}

/// An address for messages: without user and query.
fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| "the address".into(),
        |url| format!("{}{}", url.origin().ascii_serialization(), &url[Position::BeforePath..Position::AfterPath]),
    )
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The address without query and fragment, its path with a slash at the end.
fn directory(address: &str) -> Result<String, ConnectorError> {
    let wrong = |error| ConnectorError::Denied(format!("url: is no address ({error})"));
    let mut url = Url::parse(address).map_err(wrong)?;
    url.set_query(None);
    url.set_fragment(None);
    let mut text = url.to_string();
    if !text.ends_with('/') {
        text.push('/');
    }
    Ok(text)
}

/// API root and id of the collection, if the address is below `collections/`.
fn split_collection(base: &str) -> Option<(String, Option<String>)> {
    let at = base.rfind("/collections/")?;
    let rest = &base[at + "/collections/".len()..];
    let id = rest.split('/').next().filter(|id| !id.is_empty()).map(str::to_owned);
    Some((base[..=at].to_owned(), id))
}

/// The host of an address, if it has one.
pub(super) fn host_of(address: &str) -> Option<String> {
    Url::parse(address).ok()?.host_str().map(str::to_owned)
}

/// The origin, if that is all the address is.
pub(super) fn origin_of(address: &str) -> Option<url::Origin> {
    let url = Url::parse(address).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (bare && matches!(url.scheme(), "http" | "https")).then(|| url.origin())
}
