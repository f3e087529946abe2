//! The guard against a second, naive one: every guarded value is looked at, and nothing is clever.

use crate::tell::{choice, text};
use crate::{Seed, Target};
use engine::guards::WarningList;
use intel::guard::GuardPattern;
use intel::key::{is_under, key_net, url_host};
use intel::{Guard, GuardClass, GuardList, IndicatorKey, IndicatorKind, Relation};
use std::net::IpAddr;

/// Whether the URL says nothing but a host.
fn bare(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| match rest.find(['/', '?']) {
        None => true,
        Some(at) => &rest[at..] == "/",
    })
}

/// The place a key is at, as a name or a network, and whether it is all of that place.
fn place(key: &IndicatorKey) -> Option<(Result<IndicatorKey, String>, bool)> {
    use IndicatorKind as K;
    match key.kind() {
        K::Domain => Some((Err(key.value().to_owned()), true)),
        K::Ipv4 | K::Ipv6 | K::Ipv4Net | K::Ipv6Net => Some((Ok(key.clone()), true)),
        K::Email => key.value().rsplit_once('@').map(|(_, host)| (Err(host.to_owned()), false)),
        K::Url => {
            let host = url_host(key.value())?;
            let at = match host.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => Ok(IndicatorKey::from_stored(K::Ipv4, host)),
                Ok(IpAddr::V6(_)) => Ok(IndicatorKey::from_stored(K::Ipv6, host)),
                Err(_) => Err(host.to_owned()),
            };
            Some((at, bare(key.value())))
        }
        _ => None,
    }
}

/// How `asked` stands to `guarded`, by the words of the semantics alone.
fn relation(guarded: &IndicatorKey, asked: &IndicatorKey) -> Option<Relation> {
    if guarded == asked {
        return Some(Relation::Equal);
    }
    let ((there, there_whole), (here, here_whole)) = (place(guarded)?, place(asked)?);
    let (inside, contains) = match (&there, &here) {
        (Err(there), Err(here)) => (is_under(here, there), is_under(there, here)),
        (Ok(there), Ok(here)) => {
            let (there, here) = (key_net(there)?, key_net(here)?);
            (there.contains(&here), here.contains(&there))
        }
        _ => return None,
    };
    match (there_whole, here_whole) {
        // The same whole place, written as a name and as the URL of its host.
        (true, true) if inside && contains => Some(Relation::Equal),
        (true, _) if inside => Some(Relation::Contained),
        (_, true) if contains => Some(Relation::Contains),
        _ => None,
    }
}

pub(crate) static GUARD: Target = Target {
    name: "guard",
    run: |data| {
        let whole = text(data);
        let mut lists: Vec<(GuardClass, Vec<IndicatorKey>)> =
            GuardClass::ALL.iter().map(|c| (*c, Vec::new())).collect();
        let mut asked = Vec::new();
        for line in whole.lines().take(64) {
            let (mark, value) = line.split_at_checked(1).unwrap_or(("", line));
            let Ok(key) = IndicatorKey::parse(None, value) else { continue };
            match mark {
                "w" => lists[0].1.push(key),
                "p" => lists[1].1.push(key),
                "l" => lists[2].1.push(key),
                _ => asked.push(key),
            }
        }
        let guard = Guard::of(lists.iter().map(|(class, keys)| GuardList::new(class.as_str(), *class, keys.clone())));
        // Whatever guards is asked about too.
        asked.extend(lists.iter().flat_map(|(_, keys)| keys.iter().cloned()));
        for key in &asked {
            let all = lists.iter().flat_map(|(class, keys)| keys.iter().map(move |guarded| (*class, guarded)));
            let best = all
                .filter_map(|(class, guarded)| {
                    relation(guarded, key).map(|relation| (class.stops(relation), class, relation))
                })
                .max();
            let hit = guard.look_up(key);
            let told = hit.as_ref().map(|hit| (hit.stop, hit.class, hit.relation));
            assert_eq!(told, best, "{key:?} against {lists:?}");
            assert_eq!(guard.stops(key), best.is_some_and(|(stops, ..)| stops));
            if let Some(hit) = hit {
                let found = lists.iter().flat_map(|(_, keys)| keys).any(|guarded| guarded.value() == &*hit.value);
                assert!(found, "a hit on a value nobody guards: {hit:?}");
            }
        }
    },
    seeds: &[
        Seed::Text(
            "lgoogle.com\npcloudflare.com\nwexample.org\n?http://google.com/\n?a.cloudflare.com\n?http://x.google.com/y\n?com.example.org\n",
        ),
        Seed::Text(
            "l198.51.100.0/24\np203.0.113.0/24\nl2001:db8::/32\n?198.51.0.0/16\n?http://203.0.113.7/x\n?203.0.113.7\n?2001:db8::1\n",
        ),
        Seed::Text(
            "phttp://a.example/x\npx@a.example.com\nl9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n?a.example.com\n?example.com\n?http://a.example/x\n",
        ),
        Seed::Text(
            "phttp://198.51.100.7/x\nlhttp://198.51.100.8\nw198.51.100.0/30\n?198.51.100.7\n?198.51.100.8\n?198.51.100.0/29\n?http://198.51.100.7/\n",
        ),
    ],
    words: &[
        "\nl",
        "\np",
        "\nw",
        "\n?",
        "http://",
        "google.com",
        "www.",
        "198.51.100.",
        "/24",
        "/32",
        "2001:db8::",
        "x@",
        "/x",
        ":8080/",
    ],
    longest: 2_048,
};

/// Keys that the lists made here are asked about.
fn probes() -> Vec<IndicatorKey> {
    let values = ["evil.example.com", "198.51.100.7", "2001:db8::1", "http://a.example.org/x?y", "x@mail.example.org"];
    values.iter().filter_map(|value| IndicatorKey::parse(None, value).ok()).collect()
}

pub(crate) static WARNING_LIST: Target = Target {
    name: "warning_list",
    run: |data| {
        let (first, json) = choice(data);
        let class = GuardClass::ALL[usize::from(first) % GuardClass::ALL.len()];
        let list = match WarningList::parse("fuzz", json) {
            Ok(list) => list,
            Err(why) => return assert!(!why.is_empty()),
        };
        let read = list.read("operator", class);
        assert_eq!(read.read, list.list.len());
        assert!(read.rejected <= read.read && read.examples.len() <= 6);
        // Every entry is there or told; a fingerprint of a certificate may be there twice.
        assert!(read.list.len() >= read.read - read.rejected && read.list.len() <= 2 * read.read, "{read:?}");
        let written = serde_json::to_vec(&list).expect("a list can be written");
        assert_eq!(WarningList::parse("fuzz", &written).as_ref(), Ok(&list), "what is kept reads back");
        let exact: Vec<IndicatorKey> = read.list.keys.clone();
        let guard = Guard::of([read.list.clone()]);
        for key in probes().iter().chain(&exact) {
            if let Some(hit) = guard.look_up(key) {
                assert!(!hit.stop || class != GuardClass::Warn, "a list that warns stops nothing");
                assert_eq!(guard.stops(key), hit.stop);
            }
        }
    },
    seeds: &[
        Seed::Text(
            "\0{\"type\":\"string\",\"list\":[\".example.com\",\"198.51.100.7\",\"www.example.org\"],\"name\":\"x\"}",
        ),
        Seed::Text(
            "\x01{\"type\":\"hostname\",\"matching_attributes\":[\"domain\",\"url\"],\"list\":[\"a.example\",\".com\"],\"version\":7}",
        ),
        Seed::Text(
            "\x02{\"type\":\"cidr\",\"matching_attributes\":[\"ip-src\"],\"list\":[\"198.51.100.9/24\",\"2001:DB8::/32\"]}",
        ),
        Seed::Text("\0{\"type\":\"substring\",\"list\":[\"mail.example\",\"//x\"]}"),
        Seed::Text("\0{\"type\":\"regex\",\"list\":[\"/^(noc|abuse)\\\\@.*$/i\",\"/ok/\",\"[a-z]{3,9}x\"]}"),
        Seed::Text(
            "\0{\"type\":\"string\",\"matching_attributes\":[\"x509-fingerprint-sha1\"],\"list\":[\"0123456789abcdef0123456789abcdef01234567\"]}",
        ),
    ],
    words: &[
        "\"type\":\"regex\"",
        "\"substring\"",
        "\"hostname\"",
        "\"cidr\"",
        "\"list\":[",
        "\"matching_attributes\":[\"",
        "x509-fingerprint-sha256",
        "domain|ip",
        "/i\"",
        "(?:",
        "{9999}",
        "\\\\w",
        ".",
        "/32",
        "\",\"",
    ],
    longest: 4_096,
};

pub(crate) static GUARD_PATTERN: Target = Target {
    name: "guard_pattern",
    run: |data| {
        let (first, rest) = choice(data);
        let raw = text(rest);
        let made = match first % 3 {
            0 => GuardPattern::parse(&raw),
            1 => GuardPattern::search(&raw, &raw),
            _ => GuardPattern::substring(&raw),
        };
        let pattern = match made {
            Ok(pattern) => pattern,
            Err(why) => return assert!(!why.is_empty()),
        };
        let shown = pattern.text.clone();
        let alone =
            GuardList { patterns: vec![pattern.clone()], ..GuardList::new("x", GuardClass::Lifeline, Vec::new()) };
        let beside = GuardPattern::substring("nothing-has-this").expect("a text of some length");
        let both = GuardList { patterns: vec![beside, pattern], ..alone.clone() };
        let (alone, both) = (Guard::of([alone]), Guard::of([both]));
        let mut n_met = 0;
        let asked = probes();
        for key in &asked {
            let (one, other) = (alone.look_up(key), both.look_up(key));
            assert_eq!(one, other, "{shown:?} says another thing beside another");
            n_met += usize::from(one.is_some());
        }
        // A freeze note is any bytes: what is shown of it holds nothing that a terminal obeys.
        if let Some(note) = engine::freeze_note(rest) {
            assert!(!note.chars().any(|c| c.is_control() && c != '\n') && !note.trim().is_empty());
        }
        assert!(n_met <= asked.len());
    },
    seeds: &[
        Seed::Text("\0*.example.com"),
        Seed::Text("\0vpn-?.example.org"),
        Seed::Text("\0/(a|b)+\\.example\\.org/"),
        Seed::Text("\0http://*.example.org/*"),
        Seed::Text("\x01^198\\.51\\.100\\.[0-9]{1,3}$"),
        Seed::Text("\x01(k|s){1000}x"),
        Seed::Text("\x02mail.example"),
        Seed::Text("\x02\x1b[31mred\r\n"),
    ],
    words: &[
        "*",
        "?",
        "*.",
        "/",
        "(?i)",
        "(?-i)",
        "(?s)",
        "\\p{L}",
        "{1000}",
        "|",
        "^",
        "$",
        "example.org",
        "@",
        "\u{130}",
    ],
    longest: 600,
};
