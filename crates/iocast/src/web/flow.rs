//! The picture of the exchange: sources, rules and targets, joined by bands as wide as what flows there is much.
//!
//! Every width is a count of entries that are there now: what a source stands by, what a rule selects, what a target
//! holds because of a rule. An indicator of two sources is in both of their bands. The counting is done once for each
//! change of what is known, not for each visitor. Where it takes long enough to be felt, a visitor sees the last count,
//! with its age, while the next one is made.

use super::show::{self, Markup, counted, escaped, n, short};
use crate::api::Problem;
use crate::app::App;
use engine::Engine;
use index::{CountBy, NotShared, Scope, Selection};
use intel::{ConnectionId, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Where something stands in the picture.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) count: u64,
    /// Enabled, and not muted.
    pub(crate) is_on: bool,
    /// Stands for all that are not drawn.
    pub(crate) is_rest: bool,
}

/// What flows.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Active indicators.
    pub(crate) active: u64,
    /// Active indicators by kind, most first.
    pub(crate) kinds: Vec<(String, u64)>,
    /// Sources with what they stand by.
    pub(crate) sources: Vec<Node>,
    /// Rules that something is shared by, with what they select.
    pub(crate) rules: Vec<Node>,
    /// Targets with what they hold.
    pub(crate) targets: Vec<Node>,
    /// From a rule to a target, by their places: what is there that the rule selects.
    pub(crate) shared: Vec<(usize, usize, u64)>,
    /// When it was counted.
    pub(crate) at: Timestamp,
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            active: 0,
            kinds: Vec::new(),
            sources: Vec::new(),
            rules: Vec::new(),
            targets: Vec::new(),
            shared: Vec::new(),
            at: Timestamp::EPOCH,
        }
    }
}

/// What a count was made from: while it stays, so does the count. A minute old at most.
type Key = (u64, usize, String, usize, i64);

/// Looks at an indicator for a rule that a page waits for; where there are more the count is made beside it.
const QUICK: usize = 2_000_000;
/// A count that is older is not shown, whatever a new one takes.
const OLDEST: Duration = Duration::from_secs(600);

/// The last count.
struct Counted {
    key: Key,
    flow: Arc<Flow>,
}

#[derive(Default)]
struct Place {
    last: Option<Counted>,
    /// Somebody counts.
    is_busy: bool,
    /// Counts that were made beside a page.
    n_beside: u64,
}

/// The last count of each open exchange, by the place of its engine.
static LAST: LazyLock<Mutex<BTreeMap<usize, Place>>> = LazyLock::new(Mutex::default);

impl Flow {
    /// Counts, or gives the last count where counting takes long.
    ///
    /// # Errors
    /// "Starting".
    pub(crate) fn of(app: &App) -> Result<Arc<Flow>, Problem> {
        let engine = app.engine()?;
        engine.advance().map_err(Problem::from)?;
        let key = key_of(engine);
        let place = Arc::as_ptr(engine) as usize;
        {
            let mut all = lock();
            // A process has one exchange; tests have many.
            if all.len() > 8 {
                all.clear();
            }
            let here = all.entry(place).or_default();
            if let Some(last) = &here.last {
                if last.key == key {
                    return Ok(last.flow.clone());
                }
                let age = engine.world().now().since(last.flow.at);
                let n_looks = key.1.saturating_mul(engine.config().rules.len() + 4);
                if n_looks > QUICK && age < OLDEST {
                    let flow = last.flow.clone();
                    if !std::mem::replace(&mut here.is_busy, true) {
                        let engine = engine.clone();
                        std::thread::spawn(move || beside(&engine, place));
                    }
                    return Ok(flow);
                }
            }
        }
        let made = made(engine);
        let flow = made.flow.clone();
        lock().entry(place).or_default().last = Some(made);
        Ok(flow)
    }

    /// How many counts were made beside pages: who shows one looks again when this changes.
    pub(crate) fn n_beside(app: &App) -> u64 {
        let place = app.engine().map_or(0, |engine| Arc::as_ptr(engine) as usize);
        lock().get(&place).map_or(0, |here| here.n_beside)
    }

    /// The picture. It says in words what it shows, and every part of it leads to its page.
    pub(crate) fn picture(&self) -> Markup {
        picture(self)
    }
}

fn key_of(engine: &Engine) -> Key {
    let known = engine.known();
    let present: usize = known.ledgers.values().map(|ledger| ledger.present().count()).sum();
    let minute = engine.world().now().micros() / 60_000_000;
    (known.index.max_revision(), known.index.len(), engine.config().version.clone(), present, minute)
}

fn beside(engine: &Arc<Engine>, place: usize) {
    let made = made(engine);
    let mut all = lock();
    let here = all.entry(place).or_default();
    (here.last, here.is_busy) = (Some(made), false);
    here.n_beside += 1;
}

fn made(engine: &Engine) -> Counted {
    // What changes while it is counted makes another key, and is counted again.
    let key = key_of(engine);
    Counted { key, flow: Arc::new(count(engine)) }
}

/// Counts everything.
fn count(engine: &Engine) -> Flow {
    let (config, now) = (engine.config(), engine.world().now());
    let known = engine.known();
    let active = known.index.active();
    let mut flow = Flow { active: active.count() as u64, at: now, ..Flow::default() };
    flow.kinds = known.index.count_by(&active, CountBy::Kind);
    // All at once: what one source stands by is a look at everything.
    let of_source = known.index.count_by_source();
    for connection in config.connections.values() {
        let count = of_source.get(&connection.id).copied().unwrap_or(0);
        let gives = connection.open.source().is_some() || engine.is_bucket(connection);
        if count > 0 || gives && connection.id != ConnectionId::MANUAL {
            flow.sources.push(Node {
                name: connection.doc.name.clone(),
                count,
                is_on: connection.doc.enabled,
                is_rest: false,
            });
        }
    }
    let mut selected: BTreeMap<String, (usize, Selection)> = BTreeMap::new();
    let mut of_sources: BTreeMap<ConnectionId, Selection> = BTreeMap::new();
    for (at, target) in config.targets.values().enumerate() {
        let ledger = known.ledgers.get(&target.id);
        let count = ledger.map_or(0, |ledger| ledger.present().count()) as u64;
        flow.targets.push(Node { name: target.doc.name.clone(), count, is_on: target.doc.enabled, is_rest: false });
        let mut by_rule: BTreeMap<usize, Selection> = BTreeMap::new();
        for sharing in &target.sharings {
            let name = &sharing.doc.rule;
            if !selected.contains_key(name) {
                let selection = known.index.select(&sharing.rule.when, Scope::Active, now, &NotShared);
                flow.rules.push(Node {
                    name: name.clone(),
                    count: selection.count() as u64,
                    is_on: !sharing.rule.muted,
                    is_rest: false,
                });
                selected.insert(name.clone(), (flow.rules.len() - 1, selection));
            }
            let (Some((rule, selection)), Some(ledger)) = (selected.get(name), ledger) else { continue };
            let mut there = ledger.present().clone();
            there.and(selection);
            if let Some(source) = sharing.source {
                there.and(of_sources.entry(source).or_insert_with(|| known.index.active_from(source)));
            }
            by_rule.entry(*rule).or_default().or(&there);
        }
        flow.shared.extend(by_rule.into_iter().map(|(rule, there)| (rule, at, there.count() as u64)));
    }
    flow
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<usize, Place>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Width of the picture.
const WIDTH: f64 = 1120.0;
/// Where columns stand: sources, the store, rules, targets.
const COLUMNS: [f64; 4] = [190.0, 430.0, 690.0, 930.0];
/// Width of a node.
const NODE: f64 = 11.0;
/// Height that all entries of the tallest column share.
const TALL: f64 = 250.0;
/// Least height of a node, and the gap after it.
const LEAST: f64 = 3.0;
const GAP: f64 = 19.0;
/// Above the first node.
const TOP: f64 = 30.0;
/// Most nodes of a column; the rest are one.
const MOST: usize = 14;

/// Places of a column's nodes: from where to where.
struct Column {
    places: Vec<(f64, f64)>,
    height: f64,
}

impl Column {
    fn of(counts: &[u64], scale: f64) -> Column {
        let mut at = TOP;
        let mut places = Vec::new();
        for count in counts {
            let height = (*count as f64 * scale).max(LEAST);
            places.push((at, at + height));
            at += height.max(12.0) + GAP;
        }
        Column { places, height: at - TOP }
    }

    /// Lets it stand in the middle of a height.
    fn centred(mut self, height: f64) -> Column {
        let down = ((height - self.height) / 2.0).max(0.0);
        for place in &mut self.places {
            *place = (place.0 + down, place.1 + down);
        }
        self
    }
}

/// The greatest nodes, and one for all others.
fn greatest(nodes: &[Node]) -> (Vec<Node>, Vec<usize>) {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(nodes.get(*at).map_or(0, |node| node.count)));
    let kept = if nodes.len() > MOST { MOST - 1 } else { nodes.len() };
    let mut shown: Vec<Node> = order.iter().take(kept).filter_map(|at| nodes.get(*at).cloned()).collect();
    let mut place_of = vec![0; nodes.len()];
    for (place, at) in order.iter().enumerate() {
        if let Some(slot) = place_of.get_mut(*at) {
            *slot = place.min(kept);
        }
    }
    if nodes.len() > kept {
        let rest: u64 = order.iter().skip(kept).filter_map(|at| nodes.get(*at)).map(|node| node.count).sum();
        let name = format!("{} others", nodes.len() - kept);
        shown.push(Node { name, count: rest, is_on: true, is_rest: true });
    }
    (shown, place_of)
}

fn clipped(name: &str) -> String {
    let mut out: String = name.chars().take(24).collect();
    if name.chars().count() > 24 {
        out.pop();
        out.push('…');
    }
    out
}

fn picture(flow: &Flow) -> Markup {
    let (sources, _) = greatest(&flow.sources);
    let (rules, rule_at) = greatest(&flow.rules);
    let (targets, target_at) = greatest(&flow.targets);
    let counts = |nodes: &[Node]| nodes.iter().map(|node| node.count).collect::<Vec<u64>>();
    let sum = |nodes: &[Node]| nodes.iter().map(|node| node.count).sum::<u64>();
    let tallest = [sum(&sources), sum(&rules), sum(&targets), flow.active].into_iter().max().unwrap_or(0).max(1);
    let scale = TALL / tallest as f64;
    let columns =
        [counts(&sources), vec![flow.active], counts(&rules), counts(&targets)].map(|c| Column::of(&c, scale));
    let height = columns.iter().map(|column| column.height).fold(120.0, f64::max);
    let [from, store, by, to] = columns.map(|column| column.centred(height));
    let total = height + TOP + 4.0;
    let mut svg = String::new();
    let label = format!(
        "{} stand by {} active indicators; {} select of them for {}",
        counted(flow.sources.len() as u64, "source"),
        n(flow.active),
        counted(flow.rules.len() as u64, "rule"),
        counted(flow.targets.len() as u64, "target"),
    );
    let _ =
        write!(svg, "<svg class=\"flow\" viewBox=\"0 0 {WIDTH} {total:.0}\" role=\"group\" aria-label=\"{label}\">");
    for (x, anchor, words) in [
        (COLUMNS[0] + NODE, "end", "Sources"),
        (COLUMNS[1] + NODE / 2.0, "middle", "Active indicators"),
        (COLUMNS[2], "start", "Rules"),
        (COLUMNS[3], "start", "Targets"),
    ] {
        let _ = write!(svg, "<text class=\"head\" x=\"{x}\" y=\"14\" text-anchor=\"{anchor}\">{words}</text>");
    }
    let middle = store.places.first().copied().unwrap_or((TOP, TOP + LEAST));
    // Into the store: the bands of sources overlap there as their indicators do.
    let given = sum(&sources).max(1) as f64;
    let mut at = middle.0;
    for (node, place) in sources.iter().zip(&from.places) {
        let share = (middle.1 - middle.0) * node.count as f64 / given;
        let words = format!("{} stands by {}", node.name, counted(node.count, "active indicator"));
        band(&mut svg, "band", (COLUMNS[0] + NODE, *place), (COLUMNS[1], (at, at + share)), node.count, &words);
        at += share;
    }
    // Out of it: a rule takes from the whole, whatever others take.
    let mut at = middle.0;
    let taken = sum(&rules).max(1) as f64;
    for (node, place) in rules.iter().zip(&by.places) {
        let share = (middle.1 - middle.0) * (node.count as f64 / taken);
        let words = format!("{} selects {}", node.name, counted(node.count, "indicator"));
        band(&mut svg, "band", (COLUMNS[1] + NODE, (at, at + share)), (COLUMNS[2], *place), node.count, &words);
        at += share;
    }
    let mut shared: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (rule, target, count) in &flow.shared {
        if let (Some(rule), Some(target)) = (rule_at.get(*rule), target_at.get(*target)) {
            *shared.entry((*rule, *target)).or_default() += count;
        }
    }
    let mut out_of = by.places.iter().map(|place| place.0).collect::<Vec<f64>>();
    let mut into = to.places.iter().map(|place| place.0).collect::<Vec<f64>>();
    for ((rule, target), count) in &shared {
        let (Some(rule_node), Some(target_node)) = (rules.get(*rule), targets.get(*target)) else { continue };
        let leaving: u64 = shared.iter().filter(|((r, _), _)| r == rule).map(|(_, count)| count).sum();
        let coming: u64 = shared.iter().filter(|((_, t), _)| t == target).map(|(_, count)| count).sum();
        let span = |places: &[(f64, f64)], at: usize, whole: u64| {
            let (top, bottom) = places.get(at).copied().unwrap_or_default();
            (bottom - top) * *count as f64 / whole.max(1) as f64
        };
        let (left, right) = (span(&by.places, *rule, leaving.max(rule_node.count)), span(&to.places, *target, coming));
        let (Some(y), Some(z)) = (out_of.get_mut(*rule), into.get_mut(*target)) else { continue };
        let words = format!(
            "{} holds {} by {}",
            target_node.name,
            counted(*count, "entry").replace("entrys", "entries"),
            rule_node.name
        );
        let (a, b) = ((COLUMNS[2] + NODE, (*y, *y + left)), (COLUMNS[3], (*z, *z + right)));
        band(&mut svg, "band out", a, b, *count, &words);
        *y += left;
        *z += right;
    }
    for (node, place) in sources.iter().zip(&from.places) {
        let link =
            format!("/indicators?q={}", show::part(&format!("source = \"{}\"", node.name.replace(['"', '\\'], ""))));
        draw(&mut svg, node, *place, COLUMNS[0], "end", or_all(node, &link), "node");
    }
    let _ = write!(
        svg,
        "<a href=\"/indicators\"><rect class=\"node\" x=\"{}\" y=\"{:.1}\" width=\"{NODE}\" height=\"{:.1}\" rx=\"2\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></a>",
        COLUMNS[1],
        middle.0,
        (middle.1 - middle.0).max(LEAST),
        COLUMNS[1] + NODE / 2.0,
        middle.0 - 8.0,
        n(flow.active),
    );
    for (node, place) in rules.iter().zip(&by.places) {
        let link = format!("/configure/rule{}", show::query(&[("key", &node.name)]));
        draw(&mut svg, node, *place, COLUMNS[2], "start", or_all(node, &link), "node");
    }
    for (node, place) in targets.iter().zip(&to.places) {
        let link = format!("/activity/deliveries{}", show::query(&[("target", &node.name)]));
        draw(&mut svg, node, *place, COLUMNS[3], "start", or_all(node, &link), "node there");
    }
    svg.push_str("</svg>");
    Markup::new(svg)
}

/// Where a node leads; what stands for several leads to the page of all.
fn or_all<'a>(node: &Node, link: &'a str) -> &'a str {
    match link.split('?').next() {
        Some("/configure/rule") if node.is_rest => "/rules",
        Some(page) if node.is_rest => page,
        _ => link,
    }
}

/// A band from one place to another. One that carries nothing is not drawn.
fn band(svg: &mut String, class: &str, from: (f64, (f64, f64)), to: (f64, (f64, f64)), count: u64, words: &str) {
    if count == 0 {
        return;
    }
    let ((x, (top, bottom)), (z, (up, down))) = (from, to);
    let half = (x + z) / 2.0;
    let (bottom, down) = (bottom.max(top + 1.0), down.max(up + 1.0));
    let _ = write!(
        svg,
        "<path class=\"{class}\" d=\"M{x} {top:.1}C{half} {top:.1} {half} {up:.1} {z} {up:.1}L{z} {down:.1}\
         C{half} {down:.1} {half} {bottom:.1} {x} {bottom:.1}Z\"><title>{}</title></path>",
        escaped(words)
    );
}

fn draw(svg: &mut String, node: &Node, (top, bottom): (f64, f64), x: f64, anchor: &str, link: &str, class: &str) {
    let off = if node.is_on { "" } else { " off" };
    let text = if anchor == "end" { x - 8.0 } else { x + NODE + 8.0 };
    let y = (top + bottom) / 2.0 + 4.0;
    let _ = write!(
        svg,
        "<a href=\"{}\"><rect class=\"{class}{off}\" x=\"{x}\" y=\"{top:.1}\" width=\"{NODE}\" height=\"{:.1}\" rx=\"2\"/>\
         <text x=\"{text}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{} <tspan class=\"dim\">{}</tspan>\
         <title>{}: {}</title></text></a>",
        escaped(link),
        bottom - top,
        escaped(&clipped(&node.name)),
        short(node.count),
        escaped(&node.name),
        n(node.count),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, count: u64) -> Node {
        Node { name: name.to_owned(), count, is_on: true, is_rest: false }
    }

    #[test]
    fn nobodys_name_becomes_a_part_of_the_picture() {
        let hostile = "</text><script>alert(1)</script>\"'&";
        let flow = Flow {
            active: 10,
            sources: vec![node(hostile, 10)],
            rules: vec![node(hostile, 5)],
            targets: vec![node(hostile, 3)],
            shared: vec![(0, 0, 3)],
            ..Flow::default()
        };
        let svg = flow.picture().to_string();
        assert!(!svg.contains("<script") && svg.contains("&lt;"), "{svg}");
    }

    #[test]
    fn it_can_be_drawn_of_nothing_and_of_very_much() {
        assert!(Flow::default().picture().to_string().ends_with("</svg>"));
        let many =
            |count: usize| (0..count).map(|at| node(&format!("n{at}"), 10_000_000 + at as u64)).collect::<Vec<_>>();
        let flow =
            Flow { active: 10_000_000, sources: many(50), rules: many(50), targets: many(50), ..Flow::default() };
        let svg = flow.picture().to_string();
        assert!(svg.contains("37 others") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
