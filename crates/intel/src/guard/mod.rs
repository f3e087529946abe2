//! The guard: what must never be blocked, however many sources ask for it.
//!
//! A list has a class. *Lifeline* values stop whatever equals, contains or lies inside them; *popular* ones stop what
//! equals or contains them and flag what lies inside; *warn* only flags. A lookup costs a few probes whatever the
//! size of the lists: names are probed by suffix, networks are one binary search in a tree, and "contains" is one probe
//! of an index of ancestors or one more binary search.

mod index;
mod networks;
mod pattern;
mod place;
mod ranges;

pub use pattern::{GuardPattern, LIST_PATTERNS, PATTERN_BYTES, PATTERN_MEMORY};
pub use ranges::{RESERVED, Reserved};

use crate::ids::TargetId;
use crate::key::{IndicatorKey, IndicatorKind, is_private_suffix, public_suffix};
use crate::sharing::words;
use crate::time::Timestamp;
use index::{Guarded, Index, exact_hash, name_hash};
use networks::Networks;
use pattern::Form;
use place::{Extent, Net, Place, with_ancestors};
use regex::RegexSet;
use std::collections::HashMap;
use std::sync::Arc;

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

/// A set of kinds of indicators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kinds(u32);

impl Kinds {
    /// Every kind.
    pub const ALL: Kinds = Kinds(u32::MAX);

    /// These kinds.
    pub fn of(kinds: &[IndicatorKind]) -> Kinds {
        Kinds(kinds.iter().fold(0, |bits, kind| bits | 1 << *kind as u32))
    }

    /// Whether it holds this kind.
    pub fn has(self, kind: IndicatorKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

/// A list as it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardList {
    /// Shown where it stops something.
    pub name: Arc<str>,
    /// What its values mean.
    pub class: GuardClass,
    /// Domains, networks, addresses, URLs, hashes, e-mail addresses.
    pub keys: Vec<IndicatorKey>,
    /// Names that stand for themselves and not for what lies below them; canonical, and also such as are no indicators
    /// (`co.uk`).
    pub exact: Vec<Box<str>>,
    /// What is guarded by its form.
    pub patterns: Vec<GuardPattern>,
    /// Every suffix of the public suffix list's private section, such as `duckdns.org`, as a name.
    pub private_suffixes: bool,
    /// Which indicators it speaks of.
    pub kinds: Kinds,
}

impl GuardList {
    /// A list of values that speaks of every kind.
    pub fn new(name: impl Into<Arc<str>>, class: GuardClass, keys: Vec<IndicatorKey>) -> GuardList {
        GuardList {
            name: name.into(),
            class,
            keys,
            exact: Vec::new(),
            patterns: Vec::new(),
            private_suffixes: false,
            kinds: Kinds::ALL,
        }
    }

    /// How many values and patterns it has.
    pub fn len(&self) -> usize {
        self.keys.len() + self.exact.len() + self.patterns.len()
    }

    /// Whether it guards nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.private_suffixes
    }
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

impl Hit {
    /// What stops, then class, then relation.
    fn strength(&self) -> (bool, GuardClass, Relation) {
        (self.stop, self.class, self.relation)
    }
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
    /// What is in force besides and changes rarely.
    beneath: Option<Arc<Guard>>,
    lists: Vec<Listed>,
    values: Vec<Value>,
    text: String,
    /// Whole names: a domain, or the host of a bare URL.
    names: Index,
    /// Names that stand for themselves only.
    exact_names: Index,
    /// Names below which everything is guarded, but not they themselves.
    below: Index,
    /// Every proper ancestor of a guarded name, and the host and its ancestors of what lies on a host.
    ancestors: Index,
    /// Everything else, and URLs and mailboxes themselves: by kind and value.
    exact: Index,
    v4: Networks,
    v6: Networks,
    patterns: Vec<Patterns>,
    /// The lists that name every private suffix.
    suffixes: Vec<u16>,
    exceptions: HashMap<(TargetId, IndicatorKey), GuardException>,
}

/// A list once it is loaded.
#[derive(Debug)]
struct Listed {
    name: Arc<str>,
    class: GuardClass,
    kinds: Kinds,
    len: usize,
}

/// A guarded value: its text in the arena, and its list.
#[derive(Debug, Clone, Copy)]
struct Value {
    start: u32,
    len: u32,
    list: u16,
    kind: IndicatorKind,
    /// It guards what lies below it, not itself.
    below: bool,
}

/// Looks for all of these at once. None: they take too much together.
fn set_of(regexes: &[String]) -> Option<RegexSet> {
    let limit = PATTERN_MEMORY.saturating_mul(2 * regexes.len().max(1));
    regex::RegexSetBuilder::new(regexes)
        .case_insensitive(true)
        .size_limit(limit)
        .dfa_size_limit(limit.min(16 * PATTERN_MEMORY))
        .build()
        .ok()
}

/// The patterns of one list that are no plain suffixes.
#[derive(Debug)]
struct Patterns {
    list: u16,
    set: RegexSet,
    /// What each of them is shown as.
    texts: Vec<Arc<str>>,
    /// Texts to be found anywhere in a value; after those of `set` in `texts`.
    held: Option<aho_corasick::AhoCorasick>,
}

/// One finding, before it is told.
#[derive(Debug, Clone, Copy)]
struct Found {
    list: u16,
    what: What,
    relation: Relation,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A guarded value.
    Value(u32),
    /// A place in [`Guard::patterns`] and one of its texts.
    Pattern(u32, u32),
    /// The private suffix of its host.
    Suffix,
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
            guard.add_list(list);
        }
        guard.v4.sort(32);
        guard.v6.sort(128);
        guard.values.shrink_to_fit();
        guard.text.shrink_to_fit();
        guard
    }

    /// These lists and all of another guard, whose exceptions do not count. The other is shared, not copied.
    pub fn over(beneath: Arc<Guard>, lists: impl IntoIterator<Item = GuardList>) -> Guard {
        Guard { beneath: Some(beneath), ..Guard::of(lists) }
    }

    fn add_list(&mut self, list: GuardList) {
        let number = self.lists.len() as u16;
        let (class, kinds, len) = (list.class, list.kinds, list.len());
        self.lists.push(Listed { name: list.name, class, kinds, len });
        for key in &list.keys {
            self.add(number, key);
        }
        for name in &list.exact {
            let value = self.keep(number, IndicatorKind::Domain, name, false);
            self.index(|guard| &mut guard.exact_names, name_hash(name), value, |of| of.text == &**name);
            self.add_ancestors(name, value, true);
        }
        if list.private_suffixes {
            self.suffixes.push(number);
        }
        self.add_patterns(number, &list.patterns);
    }

    fn add_patterns(&mut self, list: u16, patterns: &[GuardPattern]) {
        let (mut regexes, mut texts) = (Vec::new(), Vec::new());
        let (mut substrings, mut held_texts) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match &pattern.form {
                Form::Below(name) => {
                    let value = self.keep(list, IndicatorKind::Domain, name, true);
                    self.index(|guard| &mut guard.below, name_hash(name), value, |of| of.text == &**name);
                    self.add_ancestors(name, value, false);
                }
                Form::Regex(regex, below) => {
                    if let Some(name) = below {
                        let value = self.keep(list, IndicatorKind::Domain, name, true);
                        self.add_ancestors(name, value, false);
                    }
                    regexes.push(regex.as_str().to_owned());
                    texts.push(Arc::clone(&pattern.text));
                }
                Form::Substring(text) => {
                    substrings.push(text.clone());
                    held_texts.push(Arc::clone(&pattern.text));
                }
            }
        }
        if regexes.is_empty() && substrings.is_empty() {
            return;
        }
        let set = match set_of(&regexes) {
            Some(set) => set,
            // Too much together, though each was compiled on its own: none of them is given up for that.
            None => {
                for (regex, text) in regexes.drain(..).zip(texts.drain(..)) {
                    let set = set_of(&[regex]);
                    debug_assert!(set.is_some(), "{text}");
                    self.patterns.extend(set.map(|set| Patterns { list, set, texts: vec![text], held: None }));
                }
                RegexSet::empty()
            }
        };
        let held = (!substrings.is_empty())
            .then(|| {
                let pieces = substrings.iter().map(|text| text.as_bytes());
                aho_corasick::AhoCorasick::builder().ascii_case_insensitive(true).build(pieces).ok()
            })
            .flatten();
        texts.append(&mut held_texts);
        self.patterns.push(Patterns { list, set, texts, held });
    }

    /// How many values and patterns are guarded.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len).sum::<usize>() + self.beneath.as_ref().map_or(0, |guard| guard.len())
    }

    /// Whether nothing is guarded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.suffixes.is_empty() && self.beneath.as_ref().is_none_or(|guard| guard.is_empty())
    }

    /// Adds or replaces the exception of a value at a target.
    pub fn except(&mut self, exception: GuardException) {
        self.exceptions.insert((exception.target, exception.value.clone()), exception);
    }

    /// Whether there are exceptions: then what it says of a key changes with time.
    pub fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
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
        let own = self.strongest(key).map(|found| self.told(key, found));
        let beneath = self.beneath.as_ref().and_then(|guard| guard.look_up(key));
        match (own, beneath) {
            (Some(own), Some(beneath)) if own.strength() < beneath.strength() => Some(beneath),
            (own, beneath) => own.or(beneath),
        }
    }

    /// What every list says of a key, exceptions aside: of each list its strongest finding, the strongest list first.
    pub fn look_up_all(&self, key: &IndicatorKey) -> Vec<Hit> {
        let mut found: Vec<Found> = Vec::new();
        self.each(key, &mut |new| match found.iter_mut().find(|old| old.list == new.list) {
            Some(old) if self.strength(old) < self.strength(&new) => *old = new,
            Some(_) => {}
            None => found.push(new),
        });
        found.sort_by_key(|found| found.list);
        let mut hits: Vec<Hit> = found.into_iter().map(|found| self.told(key, found)).collect();
        hits.extend(self.beneath.iter().flat_map(|guard| guard.look_up_all(key)));
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.strength()));
        hits
    }

    /// Whether a key is stopped, exceptions aside.
    pub fn stops(&self, key: &IndicatorKey) -> bool {
        self.strongest(key).is_some_and(|found| self.strength(&found).0)
            || self.beneath.as_ref().is_some_and(|guard| guard.stops(key))
    }

    fn told(&self, key: &IndicatorKey, found: Found) -> Hit {
        let list = &self.lists[found.list as usize];
        let value = match found.what {
            What::Value(value) if self.values[value as usize].below => format!("*.{}", self.text_of(value).text).into(),
            What::Value(value) => self.text_of(value).text.into(),
            What::Pattern(at, text) => Arc::clone(&self.patterns[at as usize].texts[text as usize]),
            What::Suffix => match Extent::of(key) {
                Extent::Whole(Place::Name(host)) | Extent::Part(Place::Name(host)) => {
                    public_suffix(host).unwrap_or(host).into()
                }
                _ => key.value().into(),
            },
        };
        Hit {
            list: Arc::clone(&list.name),
            class: list.class,
            value,
            relation: found.relation,
            stop: list.class.stops(found.relation),
            excepted: false,
        }
    }

    /// What stops, then class, then relation.
    fn strength(&self, found: &Found) -> (bool, GuardClass, Relation) {
        let class = self.lists[found.list as usize].class;
        (class.stops(found.relation), class, found.relation)
    }

    fn strongest(&self, key: &IndicatorKey) -> Option<Found> {
        let mut best: Option<Found> = None;
        self.each(key, &mut |found| {
            if best.is_none_or(|before| self.strength(&before) < self.strength(&found)) {
                best = Some(found);
            }
        });
        best
    }

    /// Every finding about a key; of some lists more than one.
    fn each(&self, key: &IndicatorKey, tell: &mut impl FnMut(Found)) {
        let kind = key.kind();
        let mut offer = |value: u32, relation: Relation| {
            let list = self.list_of(value);
            if self.lists[list as usize].kinds.has(kind) {
                tell(Found { list, what: What::Value(value), relation });
            }
        };
        let extent = Extent::of(key);
        if !matches!(extent, Extent::Whole(_)) {
            self.exact.for_each(self, exact_hash(key), |of| of.is(key), |value| offer(value, Relation::Equal));
        }
        match extent {
            Extent::Alone => {}
            Extent::Whole(Place::Name(name)) => {
                let hash = name_hash(name);
                self.ancestors.for_each(self, hash, |of| of.lies_under(name), |v| offer(v, Relation::Contains));
                self.exact_names.for_each(self, hash, |of| of.text == name, |v| offer(v, Relation::Equal));
                self.each_above(name, true, &mut offer);
            }
            Extent::Part(Place::Name(host)) => self.each_above(host, false, &mut offer),
            Extent::Whole(Place::Net(net)) => {
                let networks = self.networks(net);
                networks.for_each_inside(net, kind, |value| offer(value, Relation::Contains));
                networks.for_each_covering(net, |value, len| {
                    offer(value, if len == net.len { Relation::Equal } else { Relation::Contained });
                });
            }
            Extent::Part(Place::Net(net)) => {
                self.networks(net).for_each_covering(net, |value, _| offer(value, Relation::Contained));
            }
        }
        // An IPv4 address mapped into IPv6 reaches what the address reaches.
        if let Some(v4) = extent.mapped() {
            self.v4.for_each_covering(v4, |value, len| {
                let same = len == v4.len && matches!(extent, Extent::Whole(_));
                offer(value, if same { Relation::Equal } else { Relation::Contained });
            });
        }
        self.each_suffix(kind, extent, tell);
        self.each_pattern(key, extent, tell);
    }

    fn each_above(&self, name: &str, whole: bool, offer: &mut impl FnMut(u32, Relation)) {
        for (steps, above) in with_ancestors(name).enumerate() {
            let hash = name_hash(above);
            let relation = if whole && steps == 0 { Relation::Equal } else { Relation::Contained };
            self.names.for_each(self, hash, |of| of.host() == above, |value| offer(value, relation));
            if steps > 0 {
                // What a pattern names is what it matches, not something inside it.
                let relation = if whole { Relation::Equal } else { Relation::Contained };
                self.below.for_each(self, hash, |of| of.text == above, |value| offer(value, relation));
            }
        }
    }

    fn each_suffix(&self, kind: IndicatorKind, extent: Extent<'_>, tell: &mut impl FnMut(Found)) {
        let (host, whole) = match extent {
            Extent::Whole(Place::Name(host)) => (host, true),
            Extent::Part(Place::Name(host)) => (host, false),
            _ => return,
        };
        if self.suffixes.is_empty() {
            return;
        }
        let Some(suffix) = public_suffix(host).filter(|suffix| is_private_suffix(suffix)) else { return };
        let is_suffix = whole && suffix.len() == host.len() && !is_one_customers(suffix);
        let relation = if is_suffix { Relation::Equal } else { Relation::Contained };
        for list in self.suffixes.iter().filter(|list| self.lists[**list as usize].kinds.has(kind)) {
            tell(Found { list: *list, what: What::Suffix, relation });
        }
    }

    fn each_pattern(&self, key: &IndicatorKey, extent: Extent<'_>, tell: &mut impl FnMut(Found)) {
        let host = match extent {
            Extent::Part(Place::Name(host)) => Some((host, Relation::Contained)),
            Extent::Whole(Place::Name(host)) if host.len() != key.value().len() => Some((host, Relation::Equal)),
            _ => None,
        };
        for (at, patterns) in self.patterns.iter().enumerate() {
            let list = patterns.list;
            if !self.lists[list as usize].kinds.has(key.kind()) {
                continue;
            }
            let mut found = |text: usize, relation: Relation| {
                tell(Found { list, what: What::Pattern(at as u32, text as u32), relation });
            };
            let texts = std::iter::once((key.value(), Relation::Equal)).chain(host);
            for (text, relation) in texts {
                if patterns.set.is_match(text)
                    && let Some(first) = patterns.set.matches(text).iter().next()
                {
                    found(first, relation);
                }
            }
            if let Some(held) = &patterns.held
                && let Some(first) = held.find(key.value())
            {
                found(patterns.set.len() + first.pattern().as_usize(), Relation::Equal);
            }
        }
    }

    fn networks(&self, net: Net) -> &Networks {
        if net.v4 { &self.v4 } else { &self.v6 }
    }

    fn text_of(&self, value: u32) -> Guarded<'_> {
        let Value { start, len, kind, .. } = self.values[value as usize];
        Guarded { kind, text: &self.text[start as usize..start as usize + len as usize] }
    }

    fn list_of(&self, value: u32) -> u16 {
        self.values[value as usize].list
    }

    /// Puts a value into the arena.
    fn keep(&mut self, list: u16, kind: IndicatorKind, text: &str, below: bool) -> u32 {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        self.values.push(Value { start, len: text.len() as u32, list, kind, below });
        (self.values.len() - 1) as u32
    }

    fn add(&mut self, list: u16, key: &IndicatorKey) {
        let value = self.keep(list, key.kind(), key.value(), false);
        let extent = Extent::of(key);
        if !matches!(extent, Extent::Whole(_)) {
            self.index(|guard| &mut guard.exact, exact_hash(key), value, |of| of.is(key));
        }
        match extent {
            Extent::Alone => {}
            Extent::Whole(Place::Name(name)) => {
                self.index(|guard| &mut guard.names, name_hash(name), value, |of| of.host() == name);
                self.add_ancestors(name, value, true);
            }
            Extent::Part(Place::Name(host)) => self.add_ancestors(host, value, false),
            Extent::Whole(Place::Net(net)) => self.add_net(net, value, true),
            Extent::Part(Place::Net(net)) => self.add_net(net, value, false),
        }
    }

    /// The names that would take this value with them: those above `name`, and unless it is `proper` the name too.
    fn add_ancestors(&mut self, name: &str, value: u32, proper: bool) {
        for above in with_ancestors(name).skip(usize::from(proper)) {
            self.index(|guard| &mut guard.ancestors, name_hash(above), value, |of| of.lies_under(above));
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
        let list = self.list_of(value);
        let Listed { class, kinds, .. } = self.lists[list as usize];
        let networks = if net.v4 { &mut self.v4 } else { &mut self.v6 };
        networks.add(net, value, whole, (list, class, kinds));
    }
}

/// Parents of wildcard rules of the public suffix list below which each name is one customer's own, although the rule makes
/// it a suffix: tunnels, machines, pages. Elsewhere a wildcard stands for regions (`*.compute.amazonaws.com`), which hold
/// many. In order.
const ONE_CUSTOMERS: &[&str] = &[
    "at.playit.plus",
    "at.ply.gg",
    "compute-1.amazonaws.com",
    "dweb.link",
    "eth.limo",
    "eth.link",
    "inbrowser.link",
    "localto.net",
    "raw.icp0.io",
    "raw.icp1.io",
    "telebit.xyz",
];

/// Whether this suffix is the name of one customer. Short labels are the providers' own, regions of theirs
/// (`gl.at.ply.gg`).
fn is_one_customers(suffix: &str) -> bool {
    suffix
        .split_once('.')
        .is_some_and(|(label, parent)| label.len() > 3 && ONE_CUSTOMERS.binary_search(&parent).is_ok())
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
        GuardList::new("reserved", GuardClass::Lifeline, RESERVED.iter().map(key).collect())
    }
}

#[cfg(test)]
mod tests;
