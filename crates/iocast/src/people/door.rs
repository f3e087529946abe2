//! Where a request comes from, the cookie it carries, and whether a page of ours sent it.
//!
//! A session's cookie is `__Host-iocast` with Secure where the way is encrypted, so that no other host or path can set it;
//! on plain HTTP, which is for loopback alone, browsers take neither, so there it is `iocast-session`. Both are HttpOnly and
//! SameSite=Strict. Beside that a change made with a cookie needs two things: the browser says that a page of this origin
//! sent it, and it carries the session's own token.

use crate::api::lists::Peer;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, header};
use std::net::{IpAddr, Ipv6Addr};

/// Marks a request that came over TLS, to us or to a server in front of us that the operator named.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

const COOKIE: &str = "__Host-iocast";
const COOKIE_PLAIN: &str = "iocast-session";
/// Of who was sent to a provider of identities.
const AWAY_COOKIE: &str = "__Host-iocast-away";
const AWAY_COOKIE_PLAIN: &str = "iocast-away";
/// Longest description of a browser that is kept, in characters.
const MAX_AGENT: usize = 120;

/// Who knocks.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// From where, as the socket says.
    pub(crate) address: IpAddr,
    /// What the browser calls itself.
    pub(crate) agent: String,
    /// The way is encrypted.
    pub(crate) over_tls: bool,
    /// The session id of the cookie.
    pub(crate) session: Option<kit::Secret>,
    /// The state they were sent to a provider of identities with.
    pub(crate) state: Option<kit::Secret>,
    /// A page asks for itself again: nobody has to be there, and a session does not go on by it.
    pub(crate) is_by_itself: bool,
}

impl Visitor {
    /// Of a request.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions) -> Visitor {
        let address = extensions.get::<Peer>().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip());
        // Who claims it without being believed only gets a cookie that a browser keeps to encrypted ways.
        let claims = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let over_tls = extensions.get::<OverTls>().is_some() || claims;
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let agent = agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect();
        let session = cookie(headers, if over_tls { COOKIE } else { COOKIE_PLAIN });
        let state = cookie(headers, if over_tls { AWAY_COOKIE } else { AWAY_COOKIE_PLAIN });
        // Who sets it although they are there shortens their own session and nobody else's.
        let is_by_itself = headers.contains_key("x-live");
        Visitor { address: address.to_canonical(), agent, over_tls, session, state, is_by_itself }
    }

    /// The answer's header that hands out a session.
    pub(super) fn hand_out(&self, id: &str) -> HeaderValue {
        let (name, secure) = self.cookie();
        header_value(format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict{secure}"))
    }

    /// The answer's header that takes it back.
    pub(super) fn take_back(&self) -> HeaderValue {
        let (name, secure) = self.cookie();
        header_value(format!("{name}=; Path=/; HttpOnly; SameSite=Strict{secure}; Max-Age=0"))
    }

    /// The answer's header for who is sent to a provider of identities: its page leads back here, so it is Lax. It carries
    /// the state and nothing else.
    pub(super) fn see_off(&self, state: &str, good_for: std::time::Duration) -> HeaderValue {
        let (name, secure) = self.away_cookie();
        header_value(format!("{name}={state}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={}", good_for.as_secs()))
    }

    /// The answer's header for who came back.
    pub(crate) fn welcome_back(&self) -> HeaderValue {
        let (name, secure) = self.away_cookie();
        header_value(format!("{name}=; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age=0"))
    }

    fn away_cookie(&self) -> (&'static str, &'static str) {
        if self.over_tls { (AWAY_COOKIE, "; Secure") } else { (AWAY_COOKIE_PLAIN, "") }
    }

    fn cookie(&self) -> (&'static str, &'static str) {
        if self.over_tls { (COOKIE, "; Secure") } else { (COOKIE_PLAIN, "") }
    }
}

fn header_value(text: String) -> HeaderValue {
    // Hex and names of ours: nothing that a header cannot hold.
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<kit::Secret> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = texts.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    });
    let value = values.next()?;
    // Two of one name: somebody has put one beside ours, and nobody can say which is which.
    (values.next().is_none() && value.len() == 64).then(|| kit::Secret::new(value))
}

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No page of ours sent it.
    Elsewhere,
    /// It does not carry the session's token.
    NoToken,
}

impl Refused {
    /// Said to whoever sits there.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Refused::Elsewhere => "this was not sent by a page of this exchange",
            Refused::NoToken => "the form is no longer good: load the page again, and send it again",
        }
    }
}

/// Whether a method may change something.
pub(crate) fn may_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Whether a browser says that another site's page sent this. Programs say nothing of the sort, and are believed where no
/// cookie speaks for them.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    match (headers.get("sec-fetch-site"), headers.get(header::ORIGIN)) {
        (Some(site), _) => site != "same-origin",
        (None, Some(origin)) => !is_ours(origin, headers),
        (None, None) => false,
    }
}

/// Whether a change asked for with a cookie is to be made. `form`: the field `csrf` of a form.
pub(crate) fn is_ours_with(headers: &HeaderMap, csrf: &str, form: Option<&[u8]>) -> Result<(), Refused> {
    let says_nothing = headers.get("sec-fetch-site").is_none() && headers.get(header::ORIGIN).is_none();
    if says_nothing || is_from_elsewhere(headers) {
        return Err(Refused::Elsewhere);
    }
    let sent = headers.get("x-csrf-token").map(HeaderValue::as_bytes).or(form);
    // By their hashes: how long it takes says nothing about the token.
    let same = sent.is_some_and(|sent| crate::tokens::hash_bytes(sent) == crate::tokens::hash(csrf));
    if same && !csrf.is_empty() { Ok(()) } else { Err(Refused::NoToken) }
}

fn is_ours(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(header::HOST).map(HeaderValue::to_str)) else {
        return false;
    };
    let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    bare.is_some_and(|bare| !host.is_empty() && bare.eq_ignore_ascii_case(host))
}

/// The field `csrf` of a form, as bytes of the form. Tokens are hex, so nothing in them is escaped.
pub(crate) fn field(form: &[u8]) -> Option<&[u8]> {
    let mut fields = form.split(|byte| *byte == b'&').filter_map(|pair| pair.strip_prefix(b"csrf="));
    let first = fields.next()?;
    fields.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_change_needs_our_page_and_the_token() {
        let csrf = "ab".repeat(32);
        let host = ("host", "iocast.example:8470");
        for (sent, form, expect) in [
            (vec![host], Some(&*csrf), Err(Refused::Elsewhere)),
            (vec![host, ("sec-fetch-site", "same-origin")], Some(&csrf), Ok(())),
            (vec![host, ("sec-fetch-site", "same-origin")], None, Err(Refused::NoToken)),
            (vec![host, ("sec-fetch-site", "same-origin")], Some(""), Err(Refused::NoToken)),
            (vec![host, ("sec-fetch-site", "same-origin"), ("x-csrf-token", &csrf)], None, Ok(())),
            (vec![host, ("sec-fetch-site", "same-origin"), ("x-csrf-token", "x")], Some(&csrf), Err(Refused::NoToken)),
            (vec![host, ("sec-fetch-site", "same-site")], Some(&csrf), Err(Refused::Elsewhere)),
            (vec![host, ("sec-fetch-site", "cross-site")], Some(&csrf), Err(Refused::Elsewhere)),
            (vec![host, ("sec-fetch-site", "none")], Some(&csrf), Err(Refused::Elsewhere)),
            (
                vec![host, ("sec-fetch-site", "cross-site"), ("origin", "http://iocast.example:8470")],
                Some(&csrf),
                Err(Refused::Elsewhere),
            ),
            (vec![host, ("origin", "http://iocast.example:8470")], Some(&csrf), Ok(())),
            (vec![host, ("origin", "https://IOCAST.example:8470")], Some(&csrf), Ok(())),
            (vec![host, ("origin", "null")], Some(&csrf), Err(Refused::Elsewhere)),
            (vec![host, ("origin", "http://iocast.example")], Some(&csrf), Err(Refused::Elsewhere)),
            (vec![host, ("origin", "http://iocast.example:8470.evil.example")], Some(&csrf), Err(Refused::Elsewhere)),
            (vec![host, ("origin", "http://evil.example/iocast.example:8470")], Some(&csrf), Err(Refused::Elsewhere)),
            (vec![("origin", "http://iocast.example:8470")], Some(&csrf), Err(Refused::Elsewhere)),
        ] {
            let got = is_ours_with(&headers(&sent), &csrf, form.map(str::as_bytes));
            assert_eq!(got, expect, "{sent:?} {form:?}");
        }
        assert_eq!(is_ours_with(&headers(&[("sec-fetch-site", "same-origin")]), "", Some(b"")), Err(Refused::NoToken));
    }

    #[test]
    fn a_cookie_is_taken_where_there_is_one_of_its_name() {
        let id = "cd".repeat(32);
        for (sent, is_taken) in [
            (format!("iocast-session={id}"), true),
            (format!("a=b; iocast-session={id}; c=d"), true),
            (format!("iocast-session={id}; iocast-session={id}"), false),
            (format!("xiocast-session={id}"), false),
            ("iocast-session=short".to_owned(), false),
            (format!("__Host-iocast={id}"), false),
        ] {
            let visitor = Visitor::of(&headers(&[("cookie", &sent)]), &Extensions::new());
            assert_eq!(visitor.session.is_some(), is_taken, "{sent}");
        }
        let tls = headers(&[("cookie", &format!("__Host-iocast={id}")), ("x-forwarded-proto", "https")]);
        assert!(Visitor::of(&tls, &Extensions::new()).session.is_some());
    }

    #[test]
    fn a_form_has_one_token() {
        for (form, expect) in [
            ("csrf=ab&x=1", Some("ab")),
            ("x=1&csrf=ab", Some("ab")),
            ("x=csrf=ab", None),
            ("csrf=ab&csrf=cd", None),
            ("", None),
        ] {
            assert_eq!(field(form.as_bytes()), expect.map(str::as_bytes), "{form}");
        }
    }
}
