//! The guard: what must never be blocked, however many sources ask for it.
//!
//! A list has a class. *Lifeline* values stop whatever equals, contains or lies inside them; *popular* ones stop what
//! equals or contains them and flag what lies inside; *warn* only flags. A lookup costs a few probes whatever the
//! size of the lists: names are probed by suffix, networks are one binary search in a tree, and "contains" is one probe
//! of an index of ancestors or one more binary search.

mod ranges;

pub use ranges::{RESERVED, Reserved};

use crate::ids::TargetId;
use crate::key::{IndicatorKey, IndicatorKind};
use crate::sharing::words;
use crate::time::Timestamp;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

words!(
    /// What a list's values mean, the weakest first.
    GuardClass {
        /// Flagged, never stopped.
        Warn = "warn",
        /// Stops what equals or contains it.
        Popular = "popular",
        /// Stops what equals or contains it or lies inside it.
        Lifeline = "lifeline",
    }
);

impl GuardClass {
    /// Whether a value in this relation to a guarded one is stopped, or only flagged.
    pub fn stops(self, relation: Relation) -> bool {
        match self {
            GuardClass::Lifeline => true,
            GuardClass::Popular => relation != Relation::Contained,
            GuardClass::Warn => false,
        }
    }
}

words!(
    /// How a value stands to a guarded one, the weakest first.
    Relation {
        /// It lies inside the guarded one: a host under its domain, an address in its network, a URL on its host.
        Contained = "contained",
        /// The guarded one lies inside it: a parent domain, a wider network.
        Contains = "contains",
        /// It is the guarded one. The URL of a bare host is that host.
        Equal = "equal",
    }
);

/// A list as it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardList {
    /// Shown where it stops something.
    pub name: Arc<str>,
    /// What its values mean.
    pub class: GuardClass,
    /// Domains, networks, addresses, URLs, hashes, e-mail addresses.
    pub keys: Vec<IndicatorKey>,
}

/// What the guard found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The list.
    pub list: Arc<str>,
    /// Its class.
    pub class: GuardClass,
    /// The guarded value.
    pub value: Arc<str>,
    /// How the value asked about stands to it.
    pub relation: Relation,
    /// It must not be sent; else it is only flagged.
    pub stop: bool,
    /// It would be stopped, but an exception stands for it at this target.
    pub excepted: bool,
}

/// One value that may go to one target although it is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardException {
    /// Exactly this value, nothing under it.
    pub value: IndicatorKey,
    /// Exactly this target.
    pub target: TargetId,
    /// Why.
    pub reason: Box<str>,
    /// It ends then.
    pub until: Timestamp,
    /// Who said so.
    pub approver: Box<str>,
}

/// All guard lists, and the exceptions from them.
#[derive(Debug, Default)]
pub struct Guard {
    lists: Vec<(Arc<str>, GuardClass)>,
    values: Vec<Value>,
    text: String,
    /// Whole names: a domain, or the host of a bare URL.
    names: Index,
    /// Every proper ancestor of a guarded name, and the host and its ancestors of what lies on a host.
    ancestors: Index,
    /// Everything else, and URLs and mailboxes themselves: by kind and value.
    exact: Index,
    v4: Networks,
    v6: Networks,
    exceptions: HashMap<(TargetId, IndicatorKey), GuardException>,
}

/// A guarded value: its text in the arena, and its list.
#[derive(Debug, Clone, Copy)]
struct Value {
    start: u32,
    len: u32,
    list: u16,
    kind: IndicatorKind,
}

/// What a key stands for when things are compared by what they cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent<'a> {
    /// All of a place: a domain, an address, a network, the URL of a bare host.
    Whole(Place<'a>),
    /// Something at a place: a URL with a path, a mailbox.
    Part(Place<'a>),
    /// Nothing that covers or is covered: a hash, a mutex.
    Alone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Name(&'a str),
    Net(Net),
}

/// A network, IPv4 in the low 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    v4: bool,
    low: u128,
    len: u8,
}

impl Net {
    fn of(address: IpAddr, len: Option<u8>) -> Net {
        match address {
            IpAddr::V4(v4) => {
                let len = len.unwrap_or(32).min(32);
                Net { v4: true, low: u128::from(u32::from(v4)) & mask(32, len), len }
            }
            IpAddr::V6(v6) => {
                let len = len.unwrap_or(128).min(128);
                Net { v4: false, low: u128::from(v6) & mask(128, len), len }
            }
        }
    }

    fn bits(self) -> u8 {
        if self.v4 { 32 } else { 128 }
    }

    fn high(self) -> u128 {
        self.low | (mask(self.bits(), self.bits()) & !mask(self.bits(), self.len))
    }
}

/// The `len` leading ones of `bits` bits.
fn mask(bits: u8, len: u8) -> u128 {
    let all = u128::MAX >> (128 - bits);
    all & !(u128::MAX.checked_shr(u32::from(128 - bits + len)).unwrap_or(0))
}

fn parse_net(text: &str) -> Option<Net> {
    match text.split_once('/') {
        Some((address, len)) => Some(Net::of(address.parse().ok()?, Some(len.parse().ok()?))),
        None => Some(Net::of(text.parse().ok()?, None)),
    }
}

impl<'a> Extent<'a> {
    fn of(key: &'a IndicatorKey) -> Extent<'a> {
        use IndicatorKind as K;
        let value = key.value();
        match key.kind() {
            K::Domain => Extent::Whole(Place::Name(value)),
            K::Ipv4 => {
                value.parse::<Ipv4Addr>().map_or(Extent::Alone, |a| Extent::Whole(Place::Net(Net::of(a.into(), None))))
            }
            K::Ipv6 => {
                value.parse::<Ipv6Addr>().map_or(Extent::Alone, |a| Extent::Whole(Place::Net(Net::of(a.into(), None))))
            }
            K::Ipv4Net | K::Ipv6Net => parse_net(value).map_or(Extent::Alone, |net| Extent::Whole(Place::Net(net))),
            K::Email => value.rsplit_once('@').map_or(Extent::Alone, |(_, host)| Extent::Part(Place::Name(host))),
            K::Url => match url_parts(value) {
                Some((place, true)) => Extent::Whole(place),
                Some((place, false)) => Extent::Part(place),
                None => Extent::Alone,
            },
            _ => Extent::Alone,
        }
    }
}

/// Where a canonical URL lies, and whether it is nothing but that host.
fn url_parts(url: &str) -> Option<(Place<'_>, bool)> {
    let rest = url.split_once("://")?.1;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let place = if let Some(v6) = authority.strip_prefix('[') {
        Place::Net(Net::of(IpAddr::V6(v6.split(']').next()?.parse().ok()?), None))
    } else {
        let host = authority.split(':').next().filter(|host| !host.is_empty())?;
        match host.parse::<Ipv4Addr>() {
            Ok(v4) => Place::Net(Net::of(v4.into(), None)),
            Err(_) => Place::Name(host),
        }
    };
    Some((place, matches!(path, "" | "/")))
}

/// A name and every name above it, the nearest first.
fn with_ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

impl Guard {
    /// The built-in lifeline of private and reserved ranges, and these lists.
    pub fn new(lists: impl IntoIterator<Item = GuardList>) -> Guard {
        Guard::of(std::iter::once(GuardList::reserved()).chain(lists))
    }

    /// These lists and nothing else.
    pub fn of(lists: impl IntoIterator<Item = GuardList>) -> Guard {
        let mut guard = Guard::default();
        for list in lists {
            let number = guard.lists.len() as u16;
            guard.lists.push((list.name, list.class));
            for key in &list.keys {
                guard.add(number, key);
            }
        }
        guard.v4.sort(32);
        guard.v6.sort(128);
        guard
    }

    /// How many values are guarded.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is guarded.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds or replaces the exception of a value at a target.
    pub fn except(&mut self, exception: GuardException) {
        self.exceptions.insert((exception.target, exception.value.clone()), exception);
    }

    /// The exception that stands for a value at a target.
    pub fn exception(&self, key: &IndicatorKey, target: TargetId, now: Timestamp) -> Option<&GuardException> {
        if self.exceptions.is_empty() {
            return None;
        }
        self.exceptions.get(&(target, key.clone())).filter(|exception| now < exception.until)
    }

    /// What the guard says of a key at a target. The strongest finding: what stops before what is flagged, then class,
    /// then relation.
    pub fn check(&self, key: &IndicatorKey, target: TargetId, now: Timestamp) -> Option<Hit> {
        let mut hit = self.look_up(key)?;
        if hit.stop && self.exception(key, target, now).is_some() {
            hit.stop = false;
            hit.excepted = true;
        }
        Some(hit)
    }

    /// The same without exceptions: it depends on key and lists only, so it may be remembered.
    pub fn look_up(&self, key: &IndicatorKey) -> Option<Hit> {
        let (value, relation) = self.find(key)?;
        let (list, class) = &self.lists[self.values[value as usize].list as usize];
        Some(Hit {
            list: Arc::clone(list),
            class: *class,
            value: self.text_of(value).text.into(),
            relation,
            stop: class.stops(relation),
            excepted: false,
        })
    }

    /// Whether a key is stopped, exceptions aside. Allocates nothing.
    pub fn stops(&self, key: &IndicatorKey) -> bool {
        self.find(key).is_some_and(|(value, relation)| self.class_of(value).stops(relation))
    }

    fn find(&self, key: &IndicatorKey) -> Option<(u32, Relation)> {
        let mut best = Best { guard: self, found: None };
        let extent = Extent::of(key);
        if !matches!(extent, Extent::Whole(_)) {
            best.offer(self.exact.get(self, exact_hash(key), |of| of.is(key)), Relation::Equal);
        }
        match extent {
            Extent::Alone => {}
            Extent::Whole(Place::Name(name)) => {
                best.offer(self.ancestors.get(self, name_hash(name), |of| of.lies_under(name)), Relation::Contains);
                self.find_above(name, true, &mut best);
            }
            Extent::Part(Place::Name(host)) => self.find_above(host, false, &mut best),
            Extent::Whole(Place::Net(net)) => {
                let networks = self.networks(net);
                networks.for_each_inside(net, |value| best.offer(Some(value), Relation::Contains));
                networks.for_each_covering(net, |value, len| {
                    let relation = if len == net.len { Relation::Equal } else { Relation::Contained };
                    best.offer(Some(value), relation);
                });
            }
            Extent::Part(Place::Net(net)) => {
                self.networks(net).for_each_covering(net, |value, _| best.offer(Some(value), Relation::Contained));
            }
        }
        best.found.map(|(_, value, relation)| (value, relation))
    }

    fn find_above(&self, name: &str, whole: bool, best: &mut Best<'_>) {
        for (steps, above) in with_ancestors(name).enumerate() {
            let found = self.names.get(self, name_hash(above), |of| of.host() == above);
            best.offer(found, if whole && steps == 0 { Relation::Equal } else { Relation::Contained });
        }
    }

    fn networks(&self, net: Net) -> &Networks {
        if net.v4 { &self.v4 } else { &self.v6 }
    }

    fn text_of(&self, value: u32) -> Guarded<'_> {
        let Value { start, len, kind, .. } = self.values[value as usize];
        Guarded { kind, text: &self.text[start as usize..start as usize + len as usize] }
    }

    fn class_of(&self, value: u32) -> GuardClass {
        self.lists[self.values[value as usize].list as usize].1
    }

    fn add(&mut self, list: u16, key: &IndicatorKey) {
        let start = self.text.len() as u32;
        self.text.push_str(key.value());
        let value = self.values.len() as u32;
        self.values.push(Value { start, len: key.value().len() as u32, list, kind: key.kind() });
        let extent = Extent::of(key);
        if !matches!(extent, Extent::Whole(_)) {
            self.index(|guard| &mut guard.exact, exact_hash(key), value, |of| of.is(key));
        }
        match extent {
            Extent::Alone => {}
            Extent::Whole(Place::Name(name)) => {
                self.index(|guard| &mut guard.names, name_hash(name), value, |of| of.host() == name);
                for above in with_ancestors(name).skip(1) {
                    self.index(|guard| &mut guard.ancestors, name_hash(above), value, |of| of.lies_under(above));
                }
            }
            Extent::Part(Place::Name(host)) => {
                for above in with_ancestors(host) {
                    self.index(|guard| &mut guard.ancestors, name_hash(above), value, |of| of.lies_under(above));
                }
            }
            Extent::Whole(Place::Net(net)) => self.add_net(net, value, true),
            Extent::Part(Place::Net(net)) => self.add_net(net, value, false),
        }
    }

    fn index(
        &mut self,
        which: fn(&mut Guard) -> &mut Index,
        hash: u64,
        value: u32,
        same: impl Fn(Guarded<'_>) -> bool,
    ) {
        let mut index = std::mem::take(which(self));
        index.insert(self, hash, value, same);
        *which(self) = index;
    }

    fn add_net(&mut self, net: Net, value: u32, whole: bool) {
        let class = self.class_of(value);
        let networks = if net.v4 { &mut self.v4 } else { &mut self.v6 };
        if whole {
            networks.tree.push(Node { low: net.low, len: net.len, class, value, parent: NONE });
            networks.sorted[class as usize].push((net.low, net.len, value));
        } else {
            // What lies on an address is narrower than the address.
            networks.sorted[class as usize].push((net.low, net.len + 1, value));
            networks.parts = true;
        }
    }
}

impl GuardList {
    /// The private and reserved ranges of the RFCs, as a lifeline.
    pub fn reserved() -> GuardList {
        let key = |range: &Reserved| {
            let kind = match (range.network.contains(':'), range.network.contains('/')) {
                (false, false) => IndicatorKind::Ipv4,
                (false, true) => IndicatorKind::Ipv4Net,
                (true, false) => IndicatorKind::Ipv6,
                (true, true) => IndicatorKind::Ipv6Net,
            };
            IndicatorKey::from_stored(kind, range.network)
        };
        GuardList { name: "reserved".into(), class: GuardClass::Lifeline, keys: RESERVED.iter().map(key).collect() }
    }
}

/// The strongest finding so far.
struct Best<'a> {
    guard: &'a Guard,
    found: Option<((bool, GuardClass, Relation), u32, Relation)>,
}

impl Best<'_> {
    fn offer(&mut self, value: Option<u32>, relation: Relation) {
        let Some(value) = value else { return };
        let class = self.guard.class_of(value);
        let strength = (class.stops(relation), class, relation);
        if self.found.is_none_or(|(before, _, _)| before < strength) {
            self.found = Some((strength, value, relation));
        }
    }
}

fn name_hash(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 0)
}

fn exact_hash(key: &IndicatorKey) -> u64 {
    xxh3_64_with_seed(key.value().as_bytes(), 1 + key.kind() as u64)
}

/// A guarded value to compare with.
#[derive(Clone, Copy)]
struct Guarded<'a> {
    kind: IndicatorKind,
    text: &'a str,
}

impl<'a> Guarded<'a> {
    fn is(self, key: &IndicatorKey) -> bool {
        self.kind == key.kind() && self.text == key.value()
    }

    fn host(self) -> &'a str {
        match self.kind {
            IndicatorKind::Url => {
                let rest = self.text.split_once("://").map_or(self.text, |(_, rest)| rest);
                rest.split(['/', '?', ':']).next().unwrap_or(rest)
            }
            IndicatorKind::Email => self.text.rsplit_once('@').map_or(self.text, |(_, host)| host),
            _ => self.text,
        }
    }

    fn lies_under(self, above: &str) -> bool {
        self.host().strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// From a 64-bit hash to the strongest guarded value of that name. The name itself is compared, so that two names of
/// one hash are not confused; the second of them goes to a list that is in practice empty.
#[derive(Debug, Default)]
struct Index {
    by_hash: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    others: Vec<(u64, u32)>,
}

impl Index {
    fn get(&self, guard: &Guard, hash: u64, same: impl Fn(Guarded<'_>) -> bool) -> Option<u32> {
        let value = *self.by_hash.get(&hash)?;
        if same(guard.text_of(value)) {
            return Some(value);
        }
        self.others.iter().find(|(other, value)| *other == hash && same(guard.text_of(*value))).map(|(_, value)| *value)
    }

    fn insert(&mut self, guard: &Guard, hash: u64, value: u32, same: impl Fn(Guarded<'_>) -> bool) {
        let slot = self.by_hash.entry(hash).or_insert(value);
        let slot = if same(guard.text_of(*slot)) {
            slot
        } else {
            let at = self.others.iter().position(|(other, v)| *other == hash && same(guard.text_of(*v)));
            let at = at.unwrap_or_else(|| {
                self.others.push((hash, value));
                self.others.len() - 1
            });
            &mut self.others[at].1
        };
        if guard.class_of(*slot) < guard.class_of(value) {
            *slot = value;
        }
    }
}

/// The keys are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The guarded networks of one address family. Networks nest or are apart, so sorting them by lowest address, wider
/// first, makes them a tree.
#[derive(Debug, Default)]
struct Networks {
    /// Each network once, with the strongest value of it.
    tree: Vec<Node>,
    /// Per class: lowest address, prefix length (one more than an address has for what lies on one), value.
    sorted: [Vec<(u128, u8, u32)>; 3],
    /// Something that lies on an address is guarded: even an address can contain it.
    parts: bool,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    low: u128,
    len: u8,
    class: GuardClass,
    value: u32,
    /// The narrowest network around it.
    parent: u32,
}

const NONE: u32 = u32::MAX;

impl Networks {
    fn sort(&mut self, bits: u8) {
        self.sorted.iter_mut().for_each(|class| class.sort_unstable());
        self.tree.sort_by_key(|node| (node.low, node.len, std::cmp::Reverse(node.class)));
        self.tree.dedup_by_key(|node| (node.low, node.len));
        for at in 1..self.tree.len() {
            let node = self.tree[at];
            let mut around = at as u32 - 1;
            while around != NONE && !self.tree[around as usize].covers(node.low, node.len, bits) {
                around = self.tree[around as usize].parent;
            }
            self.tree[at].parent = around;
        }
    }

    /// Every guarded network that is or covers this one. The last that is sorted before it either covers it or lies
    /// beside it in all that do.
    fn for_each_covering(&self, net: Net, mut offer: impl FnMut(u32, u8)) {
        let before = self.tree.partition_point(|node| (node.low, node.len) <= (net.low, net.len));
        let mut at = (before as u32).wrapping_sub(1);
        while let Some(node) = self.tree.get(at as usize) {
            if node.covers(net.low, net.len, net.bits()) {
                offer(node.value, node.len);
            }
            at = node.parent;
        }
    }

    /// One guarded value of each class that lies strictly inside this network: the first that starts in it and is
    /// narrower.
    fn for_each_inside(&self, net: Net, mut offer: impl FnMut(u32)) {
        if net.len == net.bits() && !self.parts {
            return;
        }
        for class in &self.sorted {
            let from = class.partition_point(|(low, len, _)| (*low, *len) <= (net.low, net.len));
            if let Some((low, _, value)) = class.get(from)
                && *low <= net.high()
            {
                offer(*value);
            }
        }
    }
}

impl Node {
    fn covers(&self, low: u128, len: u8, bits: u8) -> bool {
        self.len <= len && low & mask(bits, self.len) == self.low
    }
}

#[cfg(test)]
mod tests;
