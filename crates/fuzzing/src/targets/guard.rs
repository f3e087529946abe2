//! The guard against a second, naive one: every guarded value is looked at, and nothing is clever.

use crate::tell::text;
use crate::{Seed, Target};
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
