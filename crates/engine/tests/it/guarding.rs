//! The guard from end to end: what must never be blocked is not, in no spelling and at no time; attacks still are.

use crate::sim::{Item, Sim, connection, target};
use engine::config::GuardDoc;
use engine::guards::SHIPPED;
use engine::{ConfigFile, Engine, Mode, Progress, Silent};
use intel::guard::{Guard, GuardClass, GuardList, GuardPattern, Relation};
use intel::{IndicatorKey, IndicatorKind, IpNet, Verdict, VerdictKind};
use serde_json::json;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use store::Store;
use tempfile::TempDir;

/// How much is tried: the whole where the environment says so, else a slice that takes seconds.
fn n_spellings() -> usize {
    std::env::var("IOCAST_SPELLINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(12_000)
}

struct Spelling {
    text: String,
    relation: Relation,
}

/// Spellings of a guarded value, of what it holds and of what holds it; the relation is known by how each is made.
fn spellings(value: &str) -> Vec<Spelling> {
    let mut out = Vec::new();
    let mut add = |relation, text: String| out.push(Spelling { text, relation });
    use Relation::{Contained, Contains, Equal};
    if let Ok(net) = value.parse::<IpNet>() {
        return net_spellings(net);
    }
    if let Ok(address) = value.parse::<IpAddr>() {
        return net_spellings(address.into());
    }
    if !value.contains('.') {
        add(Equal, value.to_owned());
        add(Equal, value.to_uppercase());
        add(Equal, format!("  {value}\t"));
        return out;
    }
    let mixed: String =
        value.chars().enumerate().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    let wide: String = value
        .chars()
        .map(|c| if c.is_ascii_alphabetic() { char::from_u32(c as u32 + 0xFEE0).unwrap_or(c) } else { c })
        .collect();
    let first = value.bytes().next().unwrap_or_default();
    let percent = format!("%{first:02x}{}", &value[1..]);
    for host in [
        value.to_owned(),
        value.to_uppercase(),
        mixed.clone(),
        format!("{value}."),
        value.replace('.', "[.]"),
        value.replace('.', "(.)"),
        value.replace('.', "\u{3002}"),
        wide.clone(),
        format!(" {value} "),
    ] {
        add(Equal, host);
    }
    let hosts = [
        value.to_owned(),
        value.to_uppercase(),
        mixed.clone(),
        format!("{value}."),
        value.replace('.', "[.]"),
        value.replace('.', "[dot]"),
        percent,
        wide.clone(),
    ];
    for scheme in ["http://", "HTTPS://", "hxxp://", "hxxps[:]//", "ftp://", "http:\\\\"] {
        for (at, host) in hosts.iter().enumerate() {
            for user in ["", "user:secret@"] {
                for (port, tail) in [("", ""), ("", "/"), (":8080", "/"), (":80", "/#fragment"), (":8443", "/x/..")] {
                    add(Equal, format!("{scheme}{user}{host}{port}{tail}"));
                }
                add(Contained, format!("{scheme}{user}{host}/path{at}"));
                add(Contained, format!("{scheme}{user}{host}:8443?q={at}"));
                add(Contained, format!("{scheme}{user}sub{at}.{host}/%61"));
            }
        }
    }
    for part in [
        format!("sub.{value}"),
        format!("a.b.c.{}", value.to_uppercase()),
        format!("xn--bcher-kva.{value}"),
        format!("b\u{fc}cher.{value}"),
        format!("http://sub.{value}/"),
        format!("https://{value}?q"),
        format!("somebody@{value}"),
        format!("somebody@mail.{value}"),
    ] {
        add(Contained, part);
    }
    let mut above = value;
    while let Some((_, parent)) = above.split_once('.') {
        above = parent;
        add(Contains, parent.to_owned());
        add(Contains, parent.to_uppercase());
        add(Contains, format!("http://{parent}/"));
        add(Contains, format!("https://user@{parent}.:8443"));
    }
    out
}

fn net_spellings(net: IpNet) -> Vec<Spelling> {
    use Relation::{Contained, Contains, Equal};
    let mut out = Vec::new();
    let mut add = |relation, text: String| out.push(Spelling { text, relation });
    let single = net.prefix_len() == net.max_prefix_len();
    let whole = if single { Equal } else { Contained };
    let part = Contained;
    let inside = net.hosts().nth(1).unwrap_or(net.addr());
    for address in [net.addr(), inside] {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                let mapped = v4.to_ipv6_mapped();
                let number = u32::from(v4);
                for text in [
                    v4.to_string(),
                    format!("{a}[.]{b}[.]{c}[.]{d}"),
                    format!("{v4}:443"),
                    format!("{v4}/32"),
                    format!("{mapped}"),
                    format!("::ffff:{:x}:{:x}", number >> 16, number & 0xffff),
                    format!("0:0:0:0:0:FFFF:{v4}"),
                    format!("http://{v4}/"),
                    format!("http://{number}/"),
                    format!("http://0x{number:08x}/"),
                    format!("http://0{a:o}.0{b:o}.0{c:o}.0{d:o}/"),
                    format!("http://{a}.{b}.{}/", u32::from(c) << 8 | u32::from(d)),
                    format!("http://user@{v4}:8080/"),
                    format!("http://[{mapped}]/"),
                    format!("hxxp://{a}[.]{b}[.]{c}[.]{d}"),
                ] {
                    add(whole, text);
                }
                for text in [format!("http://{v4}/x"), format!("http://{number}/x?y"), format!("https://{v4}?z")] {
                    add(part, text);
                }
                let fanged = format!("{a}[.]{b}(.){c}[dot]{d}");
                for scheme in ["http://", "HTTPS://", "hxxp://", "hxxps[:]//", "ftp://"] {
                    for host in [v4.to_string(), fanged.clone(), format!("[{mapped}]"), format!("{v4}.")] {
                        for user in ["", "user:secret@"] {
                            for (port, tail) in [("", ""), ("", "/"), (":8080", "/"), (":8443", "/#x")] {
                                add(whole, format!("{scheme}{user}{host}{port}{tail}"));
                            }
                            add(part, format!("{scheme}{user}{host}/path"));
                        }
                    }
                }
            }
            IpAddr::V6(v6) => {
                let long: Vec<String> = v6.segments().iter().map(|s| format!("{s:04x}")).collect();
                let long = long.join(":");
                for text in [
                    v6.to_string(),
                    v6.to_string().to_uppercase(),
                    long.clone(),
                    long.to_uppercase(),
                    format!("[{v6}]"),
                    format!("[{v6}]:443"),
                    format!("{v6}/128"),
                    format!("http://[{v6}]/"),
                    format!("http://[{}]:8080/", long.to_uppercase()),
                    format!("http://user@[{v6}]"),
                ] {
                    add(whole, text);
                }
                for scheme in ["http://", "HTTPS://", "hxxp://", "ftp://"] {
                    for host in [v6.to_string(), long.clone(), v6.to_string().to_uppercase()] {
                        for user in ["", "user:secret@"] {
                            for (port, tail) in [("", "/"), (":8080", ""), (":8443", "/#x")] {
                                add(whole, format!("{scheme}{user}[{host}]{port}{tail}"));
                            }
                            add(part, format!("{scheme}{user}[{host}]/path"));
                        }
                    }
                }
            }
        }
    }
    add(Equal, net.to_string());
    add(Equal, net.to_string().to_uppercase());
    let bits = net.prefix_len();
    for len in (bits.saturating_sub(12)..bits).step_by(3) {
        let wider = match net.addr() {
            IpAddr::V4(v4) => format!(
                "{}/{len}",
                Ipv4Addr::from(u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0))
            ),
            IpAddr::V6(v6) => format!(
                "{}/{len}",
                Ipv6Addr::from(u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0))
            ),
        };
        add(Contains, wider);
        add(Contains, format!("{}/{len}", net.addr()));
    }
    out
}

/// The second implementation: every pair, by other libraries. What a key names, and whether all of it.
fn named(key: &IndicatorKey) -> (bool, Option<Result<IpNet, String>>) {
    use IndicatorKind as K;
    let value = key.value();
    match key.kind() {
        K::Domain => (true, Some(Err(value.to_owned()))),
        K::Ipv4 | K::Ipv6 => (true, Some(Ok(value.parse::<IpAddr>().unwrap().into()))),
        K::Ipv4Net | K::Ipv6Net => (true, Some(Ok(value.parse().unwrap()))),
        K::Email => (false, value.split('@').next_back().map(|host| Err(host.to_owned()))),
        K::Url => {
            let url = url::Url::parse(value).unwrap();
            let host = match url.host().unwrap() {
                url::Host::Domain(name) => Err(name.to_owned()),
                url::Host::Ipv4(v4) => Ok(IpAddr::from(v4).into()),
                url::Host::Ipv6(v6) => Ok(IpAddr::from(v6).to_canonical().into()),
            };
            (url.path() == "/" && url.query().is_none(), Some(host))
        }
        _ => (false, None),
    }
}

type Named = (bool, Option<Result<IpNet, String>>);

fn covers(outer: (&IndicatorKey, &Named), inner: (&IndicatorKey, &Named)) -> bool {
    let under =
        |name: &str, above: &str| name.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    outer.0 == inner.0
        || outer.1.0
            && match (&outer.1.1, &inner.1.1) {
                (Some(Ok(net)), Some(Ok(other))) => net.contains(other),
                (Some(Err(name)), Some(Err(other))) => under(other, name),
                _ => false,
            }
}

/// What a list guards, as the second implementation sees it.
enum Guarded {
    Key(Box<IndicatorKey>, Named),
    /// A name that stands for itself only.
    Exact(String),
    /// `*.name`.
    Below(String),
    /// `vpn-?.name`.
    Glob(String),
    /// `/srv[0-9]+\.name/`.
    Regex(String),
    /// A text anywhere in a value.
    Substring(String),
}

/// The strongest of several.
fn naive(lists: &[(GuardClass, Vec<Guarded>)], key: &IndicatorKey) -> Option<(bool, GuardClass, Relation)> {
    let asked = named(key);
    let host = match &asked.1 {
        Some(Err(name)) => Some(name.as_str()),
        _ => None,
    };
    let whole = asked.0;
    // It would take a name along: it is a whole name, and this one or above it.
    let holds = |name: &str| whole && host.is_some_and(|host| name == host || name.ends_with(&format!(".{host}")));
    let here = if whole { Relation::Equal } else { Relation::Contained };
    let matched = |is: &dyn Fn(&str) -> bool, name: &str| match () {
        () if is(key.value()) => Some(Relation::Equal),
        () if host.is_some_and(is) => Some(here),
        () if holds(name) => Some(Relation::Contains),
        () => None,
    };
    let mut found = None;
    for (class, guarded) in lists {
        for value in guarded {
            let relation = match value {
                Guarded::Key(value, place) => {
                    match (covers((key, &asked), (value, place)), covers((value, place), (key, &asked))) {
                        (true, true) => Some(Relation::Equal),
                        (true, false) => Some(Relation::Contains),
                        (false, true) => Some(Relation::Contained),
                        (false, false) => None,
                    }
                }
                Guarded::Exact(name) if whole && host == Some(name) => Some(Relation::Equal),
                Guarded::Exact(name) if holds(name) => Some(Relation::Contains),
                Guarded::Exact(_) => None,
                Guarded::Below(name) => match host {
                    Some(host) if host.ends_with(&format!(".{name}")) => Some(here),
                    _ if holds(name) => Some(Relation::Contains),
                    _ => None,
                },
                Guarded::Glob(name) => {
                    let is = |text: &str| {
                        let rest = text.strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix('.'));
                        rest.and_then(|rest| rest.strip_prefix("vpn-")).is_some_and(|one| one.chars().count() == 1)
                    };
                    matched(&is, name)
                }
                Guarded::Regex(name) => {
                    let is = |text: &str| {
                        let rest = text.strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix('.'));
                        let digits = rest.and_then(|rest| rest.strip_prefix("srv")).unwrap_or_default();
                        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
                    };
                    // A regular expression cannot say what it would be taken with.
                    matched(&is, "")
                }
                Guarded::Substring(text) => key.value().to_lowercase().contains(text).then_some(Relation::Equal),
            };
            let Some(relation) = relation else { continue };
            found = found.max(Some((class.stops(relation), *class, relation)));
        }
    }
    found
}

/// Names as an operator, or a warning list, gives them: for themselves only, by pattern, by a text in them. Each with a
/// value it means.
fn by_form() -> (GuardList, Vec<Guarded>, Vec<String>) {
    let mut list = GuardList::new("by form", GuardClass::Lifeline, Vec::new());
    let (mut guarded, mut instances) = (Vec::new(), Vec::new());
    for n in 0..40 {
        let name = format!("net{n}.corp{n}.example.org");
        list.exact.push(format!("only{n}.example.net").into());
        guarded.push(Guarded::Exact(format!("only{n}.example.net")));
        instances.push(format!("only{n}.example.net"));
        for (pattern, value, instance) in [
            (format!("*.below.{name}"), Guarded::Below(format!("below.{name}")), format!("a.below.{name}")),
            (format!("vpn-?.{name}"), Guarded::Glob(name.clone()), format!("vpn-{}.{name}", n % 10)),
            (
                format!("/srv[0-9]+\\.{}/", name.replace('.', "\\.")),
                Guarded::Regex(name.clone()),
                format!("srv{n}.{name}"),
            ),
        ] {
            list.patterns.push(GuardPattern::parse(&pattern).unwrap());
            guarded.push(value);
            instances.push(instance);
        }
        list.patterns.push(GuardPattern::substring(&format!("Intra-{n}-net")).unwrap());
        guarded.push(Guarded::Substring(format!("intra-{n}-net")));
        instances.push(format!("www.intra-{n}-net.example.com"));
    }
    (list, guarded, instances)
}

/// No spelling of a guarded value, of a part that a lifeline covers, or of anything that would take it along, passes.
/// More than 2,000 values spread over all shipped lists that stop something, and 200 guarded by form (names that stand for
/// themselves only, `*.name`, globs, regular expressions, texts inside), each in up to 900 spellings: case, defanging,
/// ports, user names, trailing dots, IDN and full-width letters, percent-encoding, IPv4 as number, octal, hexadecimal and
/// mapped into IPv6, long IPv6, parents, wider networks. 12,000 distinct ones in CI and 200,000 (205 s) with
/// `IOCAST_SPELLINGS=200000`: the relation is known by how each was made, and a second, naive implementation must agree on
/// every one that is an indicator at all. Leaks: 0.
#[test]
#[expect(clippy::print_stdout, reason = "the figures of a run")]
fn f37_no_spelling_of_a_guarded_value_passes() {
    let stopping: Vec<_> = SHIPPED.iter().filter(|list| list.class() != GuardClass::Warn).collect();
    let total: usize = stopping.iter().map(|list| list.values().count()).sum();
    let (mut lists, mut slow, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for list in &stopping {
        let keys = list.list(list.class()).keys;
        let step = (total / 2_000).max(1).min(keys.len().div_ceil(40));
        let keys: Vec<IndicatorKey> = keys.into_iter().step_by(step).collect();
        values.extend(keys.iter().map(|key| (list.class(), key.value().to_owned(), false)));
        slow.push((list.class(), keys.iter().map(|key| Guarded::Key(Box::new(key.clone()), named(key))).collect()));
        lists.push(GuardList::new(list.name, list.class(), keys));
    }
    assert!(values.len() >= 2_000, "{} values", values.len());
    let (list, guarded, instances) = by_form();
    values.extend(instances.into_iter().map(|instance| (list.class, instance, true)));
    slow.push((list.class, guarded));
    let all = Guard::new(SHIPPED.iter().map(|list| list.list(list.class())).chain([list.clone()]));
    lists.push(list);
    let fast = Guard::of(lists);
    let (mut seen, mut parsed, mut wrong) = (HashSet::new(), 0usize, Vec::new());
    let wanted = n_spellings();
    let spelled: Vec<Vec<Spelling>> = values.iter().map(|(_, value, _)| spellings(value)).collect();
    // Round by round, another spelling of each value, so that a short run tries all ways to spell.
    for round in 0.. {
        let before = seen.len();
        for (at, ((class, value, by_form), spellings)) in values.iter().zip(&spelled).enumerate() {
            if round >= spellings.len() || seen.len() >= wanted {
                continue;
            }
            let Spelling { text, relation } = &spellings[(at * 7 + round) % spellings.len()];
            if !seen.insert(text.clone()) {
                continue;
            }
            let Ok(read) = IndicatorKey::parse(None, text) else { continue };
            parsed += 1;
            // What lies below or above one name that a form means, the form may not mean.
            let meant = if *by_form { *relation == Relation::Equal } else { class.stops(*relation) };
            if meant && !(fast.stops(&read) && all.stops(&read)) {
                wrong.push(format!("leak: {text:?} as {read:?} of {value}"));
            }
            let found = fast.look_up(&read).map(|hit| (hit.stop, hit.class, hit.relation));
            let expected = naive(&slow, &read);
            if found != expected {
                wrong.push(format!("{text:?}: {found:?}, naive {expected:?}"));
            }
        }
        if seen.len() >= wanted || (seen.len() == before && round > 1_000) {
            break;
        }
    }
    let n = values.len();
    println!("{n} guarded values, {} spellings, {parsed} of them indicators, {} wrong", seen.len(), wrong.len());
    assert!(seen.len() >= wanted, "{} distinct spellings of {wanted}", seen.len());
    assert!(parsed * 2 > seen.len(), "most spellings are indicators: {parsed} of {}", seen.len());
    assert!(wrong.is_empty(), "{} wrong, e.g. {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
}

/// The same for what people meet first, against all shipped lists: what is stopped, and which attacks on shared hosting
/// and in clouds are only flagged and still shared.
#[test]
fn f37_attacks_on_shared_hosting_are_still_shared() {
    let guard = Guard::new(SHIPPED.iter().map(|list| list.list(list.class())));
    // value, stopped, flagged
    let cases = [
        ("google.com", true),
        ("www.google.com", true),
        ("http://google.com/", true),
        ("docs.google.com", true),
        ("8.8.8.8", true),
        ("8.8.8.0/24", true),
        ("http://8.8.8.8/x", true),
        ("github.io", true),
        ("pages.dev", true),
        ("amazonaws.com", true),
        ("duckdns.org", true),
        ("blogspot.com", true),
        ("windowsupdate.com", true),
        ("download.windowsupdate.com", true),
        ("http://ocsp.digicert.com/x", true),
        ("192.168.1.1", true),
        ("iuqerfsodp9ifjaposdfjhgosurijfaewrwergwea.com", true),
        // What holds private suffixes, wildcards and regions among them.
        ("railway.app", true),
        ("us-east-2.amazonaws.com", true),
        ("us-west-2.compute.amazonaws.com", true),
        ("at.ply.gg", true),
        ("gl.at.ply.gg", true),
        ("ply.gg", true),
        ("localto.net", true),
        ("tr1.localto.net", true),
        // One customer's own, below a wildcard of the public suffix list.
        ("distance-deutsche.at.ply.gg", false),
        ("26xkbec3l.localto.net", false),
        ("http://26xkbec3l.localto.net/", false),
        ("ec2-54-165-67-52.compute-1.amazonaws.com", false),
        ("cjn37-uyaaa-aaaac-qgnva-cai.raw.icp0.io", false),
        ("craxs-rat-selller.eth.limo", false),
        ("evil.up.railway.app", false),
        ("https://storage.googleapis.com/bucket/x.html", false),
        ("someone.github.io", false),
        ("https://someone.github.io/login/", false),
        ("https://raw.githubusercontent.com/someone/repo/main/x.ps1", false),
        ("https://sites.google.com/view/x", false),
        ("https://drive.google.com/uc?id=1", false),
        ("https://x.blob.core.windows.net/y/z.html", false),
        ("3.120.0.7", false),
        ("http://35.192.0.7/x", false),
        ("20.33.0.9:443", false),
        ("x.pages.dev", false),
        ("https://x.pages.dev/", false),
        ("https://docs.google.com/forms/d/e/1/viewform", false),
        ("https://github.com/someone/repo/raw/x.exe", false),
        ("evil.duckdns.org", false),
        ("evil.s3.amazonaws.com", false),
        ("http://evil.s3.amazonaws.com/a", false),
        ("52.95.110.1", false),
        ("104.16.1.1", false),
        ("evil.blogspot.com", false),
        ("https://bit.ly/3abc", false),
        ("https://cdn.discordapp.com/attachments/1/2/x.exe", false),
        ("evil.web.core.windows.net", false),
    ];
    for (value, stopped) in cases {
        let key = IndicatorKey::parse(None, value).unwrap();
        let hit = guard.look_up(&key);
        assert_eq!(hit.as_ref().is_some_and(|hit| hit.stop), stopped, "{value}: {hit:?}");
        assert!(hit.is_some(), "{value} is at least flagged");
    }
}

struct Bench {
    sim: Sim,
    engine: Engine,
    _dir: TempDir,
}

impl Bench {
    fn new(values: &[&str]) -> Bench {
        let sim = Sim::new(1);
        let dir = TempDir::new().unwrap();
        let engine = sim.open(Store::in_memory().unwrap(), dir.path()).unwrap();
        let mut tool = connection("tool", "sim-tool", Some("tool"));
        tool.proxy = Some("http://proxy.corp.example.org:3128".to_owned());
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [
                serde_json::to_value(connection("feed", "sim-feed", Some("feed"))).unwrap(),
                serde_json::to_value(tool).unwrap(),
                serde_json::to_value(connection("edge", "list", None)).unwrap(),
            ],
            "target": [
                serde_json::to_value(target("block", "edge", &json!({}))).unwrap(),
                serde_json::to_value(target("edr", "tool", &json!({}))).unwrap(),
            ],
            "rule": [{ "name": "all", "when": "reputation >= 1" }],
            "sharing": [
                { "source": "feed", "rule": "all", "target": "block" },
                { "source": "feed", "rule": "all", "target": "edr" }
            ]
        }))
        .unwrap();
        engine.apply(&file, "test", false).unwrap();
        sim.product("feed", |product| {
            let item =
                |value: &&str| ((*value).to_owned(), Item { reputation: 9, tag: None, seq: 0, retracted: false });
            product.items = values.iter().map(item).collect();
        });
        Bench { sim, engine, _dir: dir }
    }

    fn there(&self, target: &str) -> Vec<String> {
        match target {
            "block" => {
                let body = self.engine.list("block").map(|list| list.body.read().unwrap()).unwrap_or_default();
                String::from_utf8(body).unwrap().lines().map(str::to_owned).collect()
            }
            _ => self.sim.product("tool", |product| product.held.keys().cloned().collect()),
        }
    }
}

/// A poisoned feed blocks nothing that is guarded: google.com, 8.8.8.8 and what holds it, an address of an office
/// network, the host of this exchange's own proxy. It is flagged when it comes in (the run counts it, the indicator says
/// so) and stopped when it would go out; the one attack in the feed goes out, alone, to a list and to a product. A name is
/// never resolved, so a malware domain that points at 8.8.8.8 is that domain and nothing else.
#[test]
fn f37_a_poisoned_feed_is_flagged_when_it_comes_in_and_stopped_before_it_goes_out() {
    let poisoned = [
        "google.com",
        "www.google.com",
        "8.8.8.8",
        "8.8.8.0/24",
        "192.168.1.7",
        "proxy.corp.example.org",
        "evil-shop.biz",
    ];
    let bench = Bench::new(&poisoned);
    let report = bench.engine.pull("feed", &Silent).unwrap();
    assert_eq!((report.new, report.guarded), (7, 6), "{report:?}");
    for target in ["block", "edr"] {
        let report = bench.engine.share(target, Mode::default(), &Silent).unwrap();
        assert_eq!(bench.there(target), ["evil-shop.biz"], "{target}");
        assert_eq!((report.accepted, report.skipped_by.get("guarded")), (1, Some(&6)), "{report:?}");
    }
    let answer = bench.engine.guard_check("hxxp://www.google[.]com", None, None).unwrap();
    assert!(answer.stopped && answer.findings.iter().any(|f| f.list == "shipped:popular-domains"), "{answer:?}");
}

/// Adds a guard list once a plan is made.
struct Late<'a>(&'a Engine);

impl Progress for Late<'_> {
    fn rows(&self, _: &str, _: u64) {}

    fn phase(&self, what: &str) {
        if what == "applying" {
            let list = GuardDoc::of("ours", None, vec!["late-shop.biz".to_owned()]);
            self.0.apply(&ConfigFile { guard: vec![list], ..ConfigFile::default() }, "test", false).unwrap();
        }
    }
}

/// A guard list that is added after a plan was made and before its bytes leave stops them all the same: the step waits,
/// the counts balance, the rest goes, and the next pass says that it is guarded. What was there already is taken back.
#[test]
fn f37_a_list_added_between_plan_and_send_still_stops_it() {
    for target in ["block", "edr"] {
        let bench = Bench::new(&["evil-shop.biz", "late-shop.biz"]);
        bench.engine.pull("feed", &Silent).unwrap();
        let report = bench.engine.share(target, Mode::default(), &Late(&bench.engine)).unwrap();
        assert_eq!(bench.there(target), ["evil-shop.biz"], "{target}");
        assert_eq!((report.push, report.accepted, report.deferred), (2, 1, 1), "{report:?}");
        let says = "the guard stopped 1 planned step just before sending, by \"ours\"";
        assert!(report.holds.iter().any(|hold| hold.starts_with(says)), "{report:?}");
        let report = bench.engine.share(target, Mode::default(), &Silent).unwrap();
        assert_eq!((report.push, report.skipped_by.get("guarded")), (0, Some(&1)), "{report:?}");
        // And what is there when its list comes is taken back.
        let list = GuardDoc::of("ours", None, vec!["late-shop.biz".to_owned(), "evil-shop.biz".to_owned()]);
        let file = ConfigFile { guard: vec![list], ..ConfigFile::default() };
        bench.engine.apply(&file, "test", false).unwrap();
        let report = bench.engine.share(target, Mode::default(), &Silent).unwrap();
        assert_eq!((report.retract, report.accepted), (1, 1), "{report:?}");
        assert!(bench.there(target).is_empty());
    }
}

/// Every host that this exchange itself is configured with is put into a feed, as it is, as a URL with a path, and as a
/// name below it: the hosts of a source and a destination, their proxies, a tenant's address and proxy, the endpoint of a
/// webhook, a mail server and a log collector, and the exchange's own address. Nothing of it goes out, to a list and to a
/// product, and the one attack beside it does: 28 values, 0 effects. Names of inner networks and bare host names, which a
/// feed can only give where it states the kind, are asked about one by one.
#[test]
fn b02_no_host_that_is_configured_is_ever_blocked() {
    let sim = Sim::new(1);
    let dir = TempDir::new().unwrap();
    let engine = sim.open(Store::in_memory().unwrap(), dir.path()).unwrap();
    let mut feed = connection("feed", "sim-feed", Some("source.example.org"));
    feed.proxy = Some("http://user:secret@proxy.example.org:3128".to_owned());
    let mut tool = serde_json::to_value(connection("tool", "sim-tool", Some("api.edr-vendor.com"))).unwrap();
    tool["tenant"] = json!("edr");
    let file: ConfigFile = serde_json::from_value(json!({
        "policy": { "public_url": "https://iocast.example.net/" },
        "tenant": [
            { "name": "edr", "proxy": "socks5://socks.example.org:1080" },
            { "name": "unused", "settings": { "url": "https://tenant.vendor.example.org/api" } },
        ],
        "connection": [
            serde_json::to_value(feed).unwrap(),
            tool,
            serde_json::to_value(connection("edge", "list", None)).unwrap(),
        ],
        "target": [
            serde_json::to_value(target("block", "edge", &json!({}))).unwrap(),
            serde_json::to_value(target("edr", "tool", &json!({}))).unwrap(),
        ],
        "rule": [{ "name": "all", "when": "reputation >= 1" }],
        "sharing": [
            { "source": "feed", "rule": "all", "target": "block" },
            { "source": "feed", "rule": "all", "target": "edr" }
        ],
        "notify": [
            { "name": "chat", "channel": "webhook", "settings": {
                "url": "https://chat.example.org:8443/hooks/soc",
                "secret": "whsec_c2VjcmV0LXRoYXQtaXMtb25seS1hbi1leGFtcGxlIQ=="
            } },
            { "name": "post", "channel": "mail", "settings": {
                "server": "smtp.example.org", "from": "iocast@example.org", "to": ["soc@example.org"]
            } },
            { "name": "logs", "channel": "syslog", "settings": { "server": "203.0.113.77", "port": 6514 } },
            { "name": "inner", "channel": "syslog", "settings": { "server": "collector.corp.internal" } },
            { "name": "bare", "channel": "syslog", "settings": { "server": "siem" } },
            { "name": "tld", "channel": "syslog", "settings": { "server": "dev" } },
        ]
    }))
    .unwrap();
    engine.apply(&file, "test", false).unwrap();
    let hosts = [
        "source.example.org",
        "proxy.example.org",
        "api.edr-vendor.com",
        "socks.example.org",
        "tenant.vendor.example.org",
        "chat.example.org",
        "smtp.example.org",
        "iocast.example.net",
    ];
    let mut values: Vec<String> = hosts
        .iter()
        .flat_map(|host| [(*host).to_owned(), format!("https://{host}/login"), format!("below.{host}")])
        .collect();
    // And what holds them.
    values.extend(["edr-vendor.com", "203.0.113.77", "203.0.113.0/24", "http://203.0.113.77:514/x"].map(str::to_owned));
    assert_eq!(values.len(), 28);
    values.push("evil-shop.biz".to_owned());
    sim.product("source.example.org", |product| {
        let item = |value: &String| (value.clone(), Item { reputation: 9, tag: None, seq: 0, retracted: false });
        product.items = values.iter().map(item).collect();
    });
    let report = engine.pull("feed", &Silent).unwrap();
    assert_eq!((report.new, report.guarded), (29, 28), "{report:?}");
    let block = engine.share("block", Mode::default(), &Silent).unwrap();
    let edr = engine.share("edr", Mode::default(), &Silent).unwrap();
    for report in [block, edr] {
        assert_eq!((report.accepted, report.skipped_by.get("guarded")), (1, Some(&28)), "{report:?}");
    }
    let list = String::from_utf8(engine.list("block").unwrap().body.read().unwrap()).unwrap();
    assert_eq!(list.lines().collect::<Vec<_>>(), ["evil-shop.biz"]);
    let held: Vec<String> = sim.product("api.edr-vendor.com", |product| product.held.keys().cloned().collect());
    assert_eq!(held, ["evil-shop.biz"]);
    let stopped = |value: &str, kind| engine.guard_check(value, kind, None).unwrap().stopped;
    assert!(stopped("collector.corp.internal", None) && stopped("corp.internal", None));
    assert!(stopped("http://siem/x", None) && stopped("http://siem:8080/", None));
    assert!(stopped("http://dev/", None), "itself");
    assert!(!stopped("evil-shop.dev", None), "not the whole of a top-level domain");
}

/// Classes of shipped lists, patterns, and exceptions are checked where they are written.
#[test]
fn what_guards_is_checked_when_it_is_applied() {
    let bench = Bench::new(&[]);
    let apply = |guard: serde_json::Value| {
        let file: ConfigFile = serde_json::from_value(guard).unwrap();
        bench.engine.apply(&file, "test", false).map_err(|error| error.to_string())
    };
    let exception = |until: &str| {
        json!({ "guard_exception": [{
            "value": "google.com", "target": "block", "reason": "a lab", "until": until, "approver": "ana"
        }] })
    };
    for (file, says) in [
        (json!({ "guard": [{ "name": "shipped:cloud" }] }), "did you mean \"shipped:clouds\""),
        (json!({ "guard": [{ "name": "shipped:clouds", "values": ["a.example"] }] }), "a list of your own"),
        (json!({ "guard": [{ "name": "x", "patterns": ["*"] }] }), "would guard everything"),
        (json!({ "guard": [{ "name": "x", "patterns": ["/(a/"] }] }), "is no regular expression"),
        (json!({ "guard": [{ "name": "x", "patterns": ["/.*/"] }] }), "everything is meant"),
        (json!({ "guard": [{ "name": "x", "patterns": ["/.+/"] }] }), "would guard everything"),
        (json!({ "guard": [{ "name": "x" }] }), "one of them says what is guarded"),
        (json!({ "guard": [{ "name": "x", "warninglist": "/nowhere/list.json" }] }), "/nowhere/list.json"),
        (exception("2029-01-01"), "366 days"),
    ] {
        let said = apply(file.clone()).expect_err(&file.to_string());
        assert!(said.contains(says), "{file}: {said}");
    }
    let ended = apply(exception("2026-02-01")).unwrap();
    assert!(ended.warnings.iter().any(|said| said.contains("lets nothing through")), "{ended:?}");
    let needless: ConfigFile = serde_json::from_value(json!({ "guard_exception": [{
        "value": "evil-shop.biz", "target": "edr", "reason": "a lab", "until": "2026-06-01", "approver": "ana"
    }] }))
    .unwrap();
    let warnings = bench.engine.apply(&needless, "test", false).unwrap().warnings;
    assert!(warnings.iter().any(|text| text.contains("no guard list stops evil-shop.biz")), "{warnings:?}");
    let stopped = |value: &str, target| bench.engine.guard_check(value, None, target).unwrap().stopped;
    apply(json!({ "guard": [{ "name": "ours", "patterns": ["*.corp.test.example.com", "vpn-?.example.org"] }] }))
        .unwrap();
    assert!(stopped("a.b.corp.test.example.com", None), "below");
    assert!(stopped("test.example.com", None), "a parent would take it along");
    assert!(stopped("http://vpn-1.example.org/x", None) && !stopped("vpn-12.example.org", None));
    apply(exception("2026-06-01")).unwrap();
    assert!(!stopped("google.com", Some("block")) && stopped("google.com", Some("edr")));
    bench.sim.lock().now = intel::Timestamp::parse("2026-06-02").unwrap();
    let answer = bench.engine.guard_check("google.com", None, Some("block")).unwrap();
    assert!(answer.stopped && answer.exception.as_deref().is_some_and(|text| text.contains("ended")), "{answer:?}");
    apply(json!({ "guard": [{ "name": "shipped:popular-domains", "class": "warn" }] })).unwrap();
    assert!(!stopped("wikipedia.org", None));
    let lists = bench.engine.guard_lists().unwrap();
    assert!(lists.iter().any(|list| list.name == "shipped:popular-domains" && list.class == "warn"));
}

/// What a guard list of now says is never answered from what one of before was asked, however lists come and go between
/// two passes.
#[test]
fn f37_what_is_remembered_of_one_guard_is_not_taken_for_another() {
    let bench = Bench::new(&["evil-shop.biz", "late-shop.biz"]);
    bench.engine.pull("feed", &Silent).unwrap();
    let guard = |value: &str| {
        let list = GuardDoc::of("ours", None, vec![value.to_owned()]);
        bench.engine.apply(&ConfigFile { guard: vec![list], ..ConfigFile::default() }, "test", false).unwrap();
    };
    for round in 0..40 {
        guard(&format!("round-{round}.example.org"));
        assert_eq!(bench.engine.preview("edr").unwrap().head.push, 2, "{round}");
        guard(&format!("between-{round}.example.org"));
        guard("late-shop.biz");
        let mode = Mode { dry_run: true, ..Mode::default() };
        let report = bench.engine.share("edr", mode, &Silent).unwrap();
        assert_eq!((report.push, report.skipped_by.get("guarded")), (1, Some(&1)), "{round}: {report:?}");
    }
}

/// An entry that two URLs are written as is not there when a person said of one of them that it is no threat, whichever
/// the other one is; not before, and not after it was there.
#[test]
fn a_verdict_on_one_url_keeps_out_the_entry_it_shares_with_another() {
    for first in [true, false] {
        let bench = Bench::new(&["http://evil-shop.biz/x", "https://evil-shop.biz/x", "https://evil-shop.biz/y"]);
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [serde_json::to_value(connection("bare", "sim-bare", Some("bare"))).unwrap()],
            "target": [serde_json::to_value(target("bare", "bare", &json!({}))).unwrap()],
            "sharing": [{ "source": "feed", "rule": "all", "target": "bare" }]
        }))
        .unwrap();
        bench.engine.apply(&file, "test", false).unwrap();
        bench.engine.pull("feed", &Silent).unwrap();
        let there = || bench.sim.product("bare", |product| product.held.keys().cloned().collect::<Vec<_>>());
        if !first {
            bench.engine.share("bare", Mode::default(), &Silent).unwrap();
            assert_eq!(there(), ["evil-shop.biz/x", "evil-shop.biz/y"]);
        }
        let verdict = Verdict { kind: VerdictKind::Safe, until: None };
        bench.engine.verdict("http://evil-shop.biz/x", None, Some(verdict), "ann").unwrap();
        bench.engine.share("bare", Mode::default(), &Silent).unwrap();
        assert_eq!(there(), ["evil-shop.biz/y"], "{first}");
    }
}
