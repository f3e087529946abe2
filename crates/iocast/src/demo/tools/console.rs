//! What a simulated tool holds, and what its people did with it before we came.

use super::Product;
use intel::IndicatorKey;
use intel::IndicatorKind::{self, Domain, Ipv4, Sha256, Url};
use kit::{ItemOutcome, Outgoing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One entry of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The tool's own id of it; never given twice.
    pub(crate) id: String,
    /// What sort of thing, by our name for it.
    pub(crate) kind: String,
    /// The value, canonical.
    pub(crate) value: String,
    /// The mark of who put it there; None: the tool's own people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// `low` to `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) severity: Option<String>,
    /// The marking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tlp: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// When its people found it, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<String>,
    /// How often the tool saw it in its own traffic.
    #[serde(default)]
    pub(crate) hits: u32,
    /// What its people say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Item {
    /// Whether the entry carries this mark.
    pub(crate) fn is_by(&self, mark: &str) -> bool {
        self.by.as_deref() == Some(mark)
    }
}

/// All a tool holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Console {
    /// Counts changes: who read this revision has read everything.
    revision: u64,
    next_id: u64,
    /// By `kind:value`.
    items: BTreeMap<String, Item>,
}

fn place(kind: &str, value: &str) -> String {
    format!("{kind}:{value}")
}

impl Console {
    /// What the tool's own people put there before we came. The same for everybody, whatever the date.
    pub(crate) fn factory(product: Product) -> Console {
        let mut console = Console::default();
        for own in match product {
            Product::Edr => EDR,
            Product::Gateway => GATEWAY,
        } {
            let words = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            console.add(
                product,
                Item {
                    kind: own.kind.as_str().to_owned(),
                    value: own.value.to_owned(),
                    severity: words(own.severity),
                    tlp: words(own.tlp),
                    seen: words(own.seen),
                    hits: own.hits,
                    note: words(own.note),
                    ..Item::default()
                },
            );
        }
        console
    }

    /// How often anything has changed.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Every entry, by kind and value.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &IndicatorKey) -> Option<&Item> {
        self.items.get(&place(key.kind().as_str(), key.value()))
    }

    /// Adds an entry under a new id, or says that there is one already.
    pub(crate) fn add(&mut self, product: Product, item: Item) -> Option<String> {
        let place = place(&item.kind, &item.value);
        if self.items.contains_key(&place) {
            return None;
        }
        self.next_id += 1;
        self.revision += 1;
        let id = match product {
            Product::Edr => format!("ioc-{:06}", self.next_id),
            Product::Gateway => format!("urlcat/{}", 7_000 + self.next_id),
        };
        self.items.insert(place, Item { id: id.clone(), ..item });
        Some(id)
    }

    /// Changes an entry, if it is there.
    pub(crate) fn edit(&mut self, key: &IndicatorKey, change: impl FnOnce(&mut Item)) -> bool {
        match self.items.get_mut(&place(key.kind().as_str(), key.value())) {
            None => false,
            Some(item) => {
                change(item);
                self.revision += 1;
                true
            }
        }
    }

    /// Removes an entry, whoever made it.
    pub(crate) fn remove(&mut self, key: &IndicatorKey) -> bool {
        let gone = self.items.remove(&place(key.kind().as_str(), key.value())).is_some();
        self.revision += u64::from(gone);
        gone
    }

    /// Takes an entry from outside: new ones get an id, those with the same mark are brought up to date, all others
    /// are somebody else's.
    pub(crate) fn put(&mut self, product: Product, entry: &Outgoing, mark: &str, capacity: usize) -> ItemOutcome {
        let rendered = Item {
            kind: entry.key.kind().as_str().to_owned(),
            value: entry.key.value().to_owned(),
            by: Some(mark.to_owned()),
            severity: Some(entry.severity.as_str().to_owned()),
            tlp: Some(entry.tlp.as_str().to_owned()),
            tags: entry.tags.clone(),
            note: Some(format!("from {}, reputation {}", entry.sources.join(", "), entry.reputation)),
            ..Item::default()
        };
        if let Some(there) = self.get(&entry.key) {
            if !there.is_by(mark) {
                return ItemOutcome::Foreign;
            }
            let remote_id = Some(there.id.clone());
            let updated = Item { id: there.id.clone(), hits: there.hits, seen: there.seen.clone(), ..rendered };
            if *there != updated {
                self.edit(&entry.key, |item| *item = updated);
            }
            return ItemOutcome::Accepted { remote_id };
        }
        if self.items.values().filter(|item| item.by.is_some()).count() >= capacity {
            return ItemOutcome::Refused(format!("LIMIT_REACHED: at most {capacity} entries from outside"));
        }
        ItemOutcome::Accepted { remote_id: self.add(product, rendered) }
    }

    /// Takes an entry with this mark away; what is gone is gone, what is somebody else's stays.
    pub(crate) fn take(&mut self, key: &IndicatorKey, mark: &str) -> ItemOutcome {
        match self.get(key) {
            Some(item) if !item.is_by(mark) => ItemOutcome::Foreign,
            Some(_) => {
                self.remove(key);
                ItemOutcome::Accepted { remote_id: None }
            }
            None => ItemOutcome::Accepted { remote_id: None },
        }
    }
}

/// An entry of the tool's own people.
struct Own {
    kind: IndicatorKind,
    value: &'static str,
    severity: &'static str,
    tlp: &'static str,
    seen: &'static str,
    hits: u32,
    note: &'static str,
}

const fn own(
    kind: IndicatorKind,
    value: &'static str,
    severity: &'static str,
    tlp: &'static str,
    seen: &'static str,
    hits: u32,
    note: &'static str,
) -> Own {
    Own { kind, value, severity, tlp, seen, hits, note }
}

/// What the EDR's analysts found themselves. Names end in `example.net`, so nobody's are meant; the address is
/// on public lists too.
const EDR: &[Own] = &[
    own(
        Domain,
        "invoice-portal.example.net",
        "critical",
        "green",
        "2026-05-04T09:12:00Z",
        7,
        "macro dropper, case 1187",
    ),
    own(Domain, "cdn-telemetry.example.net", "high", "green", "2026-05-04T09:40:00Z", 3, "beacon, case 1187"),
    own(Domain, "sso-renewal.example.net", "high", "amber", "2026-05-06T14:02:00Z", 1, "credential theft, case 1191"),
    own(
        Domain,
        "board-mail.example.net",
        "critical",
        "red",
        "2026-05-07T07:55:00Z",
        2,
        "case 1192, under investigation",
    ),
    own(Ipv4, "77.90.185.20", "high", "green", "2026-05-04T09:41:00Z", 12, "beacon target, case 1187"),
    own(
        Sha256,
        "5a3c1f0e9b7d42a86c11e0f4d8b92735ae60c4f17d3b28e95f0a6c84d1e27b39",
        "critical",
        "green",
        "2026-05-04T09:15:00Z",
        4,
        "dropper, case 1187",
    ),
    own(
        Sha256,
        "c27e94b05d1f83a6e4470b9c2a5fd81630e7c9b482f16da53b08e7f4916ac2d5",
        "high",
        "green",
        "2026-05-06T14:10:00Z",
        1,
        "stealer, case 1191",
    ),
];

/// What the gateway's administrators blocked themselves. The last three are what people do block: an address inside
/// the house, a service everybody uses, a name that is on public lists too.
const GATEWAY: &[Own] = &[
    own(
        Url,
        "https://login.parcel-fee.example.net/pay",
        "high",
        "green",
        "2026-05-05T11:20:00Z",
        9,
        "reported by staff",
    ),
    own(
        Url,
        "https://login.parcel-fee.example.net/track",
        "high",
        "green",
        "2026-05-05T11:21:00Z",
        4,
        "reported by staff",
    ),
    own(Domain, "parcel-fee.example.net", "high", "green", "2026-05-05T11:30:00Z", 13, "reported by staff"),
    own(Domain, "tax-refund-2026.example.net", "high", "green", "2026-05-08T08:00:00Z", 2, "reported by staff"),
    own(Domain, "free-vpn-client.example.net", "medium", "green", "2026-05-08T08:05:00Z", 0, "against the rules"),
    own(Ipv4, "10.20.30.40", "high", "green", "2026-05-09T16:45:00Z", 1, "blocked by mistake: a printer"),
    own(Domain, "dropbox.com", "high", "green", "2026-05-09T17:10:00Z", 260, "blocked while an incident was open"),
    own(Domain, "brianjamesandtherevival.com", "high", "green", "2026-05-10T10:00:00Z", 1, "reported by staff"),
];
