//! Indicators, searched: the grid. What is looked at stands in the address alone, so that it can be kept, shared and
//! gone back to.

use super::builder::Node;
use super::shell::{Section, Shell};
use super::show::{Markup, When, bar, defanged, n, part};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::api::indicators::{cursor_text, place_of, sort_of};
use crate::app::App;
use crate::people::roles::Needs;
use crate::tokens::Caller;
use askama::Template;
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use engine::Hit;
use intel::expr::{Expr, quoted_text};
use intel::{IndicatorKey, Timestamp};
use serde_json::{Value, json};

/// Rows of a page where nothing is said, and the choices.
const ROWS: usize = 50;
const ROW_CHOICES: [usize; 4] = [25, 50, 100, 250];
/// The order where nothing is said.
pub(super) const SORT: &str = "-last_seen";

/// Columns beside the value: name, heading, sorted by, shown where nothing is said.
const COLUMNS: [(&str, &str, &str, bool); 12] = [
    ("kind", "Kind", "kind", true),
    ("reputation", "Reputation", "reputation", true),
    ("severity", "Severity", "severity", true),
    ("confidence", "Confidence", "confidence", false),
    ("tlp", "TLP", "tlp", true),
    ("sources", "Sources", "sources", true),
    ("tags", "Tags", "", true),
    ("first_seen", "First seen", "first_seen", false),
    ("last_seen", "Last seen", "last_seen", true),
    ("expires", "Expires", "", false),
    ("hits", "Hits", "hits", false),
    ("comment", "Comment", "", false),
];

#[derive(Template)]
#[template(path = "indicators.html")]
struct Grid {
    shell: Shell,
    query: String,
    all: bool,
    sort: String,
    rows_asked: usize,
    choices: [usize; 4],
    mistake: Option<String>,
    count: String,
    columns: Vec<Column>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    chips: Vec<Chip>,
    /// Columns chosen by name, to be kept with a saved filter.
    cols: Vec<String>,
    /// What the builder offers, where it is open.
    offers: Option<String>,
    /// Where it is opened, or closed.
    build: String,
    export: String,
    /// A new rule of this filter.
    rule: Option<String>,
    /// Why there can be none.
    no_rule: Option<String>,
}

/// A filter at hand.
struct Chip {
    label: String,
    link: String,
    title: String,
    is_here: bool,
    is_saved: bool,
}

struct Column {
    name: &'static str,
    label: &'static str,
    on: bool,
}

struct Head {
    label: &'static str,
    link: Option<String>,
    /// `ascending` or `descending`, where it is sorted by.
    sorted: Option<&'static str>,
}

struct Row {
    link: String,
    /// The row as a ticked box says it: kind and value.
    pick: String,
    value: String,
    is_off: bool,
    marks: Vec<(&'static str, String)>,
    cells: Vec<Cell>,
}

enum Cell {
    Text(String),
    Number(String),
    Long(String),
    Reputation(u8, Markup),
    Tlp(String),
    Tags(Vec<String>, usize),
    Time(Option<When>),
}

/// A value alone, in any spelling, is what somebody looks for: said as a filter.
fn meant(q: &str) -> String {
    let is_filter = q.is_empty() || q.contains(char::is_whitespace) || Expr::parse(q).is_ok();
    match IndicatorKey::parse(None, q) {
        Ok(key) if !is_filter => format!("value = {}", quoted_text(key.value())),
        _ => q.to_owned(),
    }
}

/// What is looked at.
#[derive(Clone)]
struct Ask {
    q: String,
    all: bool,
    sort: String,
    cols: Vec<String>,
    limit: usize,
    /// The builder is open.
    build: bool,
}

/// Whether there is a column of this name.
pub(super) fn is_column(col: &str) -> bool {
    COLUMNS.iter().any(|(name, ..)| *name == col)
}

impl Ask {
    fn of(fields: &Fields) -> Ask {
        let limit = fields.get("rows").parse().ok().filter(|rows| ROW_CHOICES.contains(rows)).unwrap_or(ROWS);
        let cols = fields.all("col").into_iter().filter(|col| is_column(col)).collect();
        let sort = fields.some("sort").unwrap_or(SORT).to_owned();
        let build = fields.some("build").is_some();
        Ask { q: meant(fields.get("q")), all: fields.some("all").is_some(), sort, cols, limit, build }
    }

    fn link(&self, sort: &str, after: Option<&str>) -> String {
        let mut out = format!("/indicators?q={}&sort={}", part(&self.q), part(sort));
        if self.all {
            out.push_str("&all=1");
        }
        if self.limit != ROWS {
            out.push_str(&format!("&rows={}", self.limit));
        }
        if self.build {
            out.push_str("&build=1");
        }
        for col in &self.cols {
            out.push_str(&format!("&col={col}"));
        }
        if let Some(after) = after {
            out.push_str(&format!("&after={}", part(after)));
        }
        out
    }
}

pub(super) async fn grid(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let caller = visit.seat.caller.clone();
    visit.page("Indicators", Section::Indicators, move |app, shell| make(app, shell, &caller, &fields)).await
}

/// Turns the tree of a filter into its text, or the text into its tree, for the builder.
pub(super) async fn tree(_: Visit, Sent(sent): Sent) -> Json<Value> {
    if let Some(tree) = sent.some("tree") {
        let read = Node::parse(tree).map_err(|error| vec![error]).and_then(|node| node.expr(false));
        return Json(match read {
            Ok(expr) => json!({ "text": expr.to_string() }),
            Err(errors) => json!({ "errors": errors }),
        });
    }
    Json(match Expr::parse(sent.get("when")) {
        Ok(expr) => json!({ "tree": Node::of(&expr) }),
        Err(error) => json!({ "error": format!("expected {}, found {}", error.expected, error.found) }),
    })
}

/// What the builder offers for a search: what a rule may ask, and where things are.
fn offers(app: &App) -> Result<String, Problem> {
    let config = app.engine()?.config();
    let sources: Vec<String> = config.connections.values().map(|c| c.doc.name.clone()).collect();
    let targets: Vec<String> = config.targets.values().map(|t| t.doc.name.clone()).collect();
    Ok(serde_json::to_string(&super::builder::offers(&sources, &[], Some(&targets))).unwrap_or_default())
}

/// A new rule of this filter, or why there can be none.
fn rule_of(q: &str) -> Result<Option<String>, String> {
    let Some(expr) = Some(q).filter(|q| !q.is_empty()).and_then(|q| Expr::parse(q).ok()) else { return Ok(None) };
    let text = expr.to_string();
    match Expr::parse_rule(&text) {
        Ok(_) => Ok(Some(format!("/configure/rule?when={}", part(&text)))),
        Err(error) => Err(format!("No rule of it: a rule expects {} in place of {}", error.expected, error.found)),
    }
}

fn make(app: &App, shell: Shell, caller: &Caller, fields: &Fields) -> Result<Grid, Problem> {
    let ask = Ask::of(fields);
    let engine = app.engine()?;
    let now = engine.world().now();
    let found = search(app, &ask, fields.some("after"));
    let (hits, next, count, mistake) = match found {
        Ok((hits, next, count)) => (hits, next, n(count), None),
        // The filter stays where it can be mended.
        Err(problem) if problem.status() == StatusCode::BAD_REQUEST => {
            (Vec::new(), None, String::new(), Some(problem.detail().to_owned()))
        }
        Err(problem) => return Err(problem),
    };
    let is_on =
        |name: &str, default: bool| if ask.cols.is_empty() { default } else { ask.cols.iter().any(|c| c == name) };
    let shown: Vec<&(&str, &str, &str, bool)> =
        COLUMNS.iter().filter(|(name, _, _, default)| is_on(name, *default)).collect();
    let head = |label: &'static str, by: &str| {
        let (is_down, is_up) = (ask.sort == format!("-{by}"), ask.sort == by);
        let turned = if is_down { by.to_owned() } else { format!("-{by}") };
        let sorted = if is_down {
            Some("descending")
        } else if is_up {
            Some("ascending")
        } else {
            None
        };
        Head { label, link: (!by.is_empty()).then(|| ask.link(&turned, None)), sorted }
    };
    let mut heads = vec![head("Value", "value")];
    heads.extend(shown.iter().map(|(_, label, by, _)| head(label, by)));
    let names: Vec<&str> = shown.iter().map(|(name, ..)| *name).collect();
    let chip = |label: &str, q: &str| Chip {
        label: label.to_owned(),
        link: Ask { q: q.to_owned(), ..ask.clone() }.link(&ask.sort, None),
        title: if q.is_empty() { "no filter".to_owned() } else { q.to_owned() },
        is_here: ask.q == q,
        is_saved: false,
    };
    let mut chips = vec![
        chip("Everything", ""),
        chip("Worst", "reputation >= 9"),
        chip("Files", "kind in (md5, sha1, sha256)"),
        chip("Addresses", "kind in (ipv4, ipv6)"),
        chip("Names", "kind in (domain, hostname)"),
        chip("Links", "kind = url"),
    ];
    chips.extend(super::saved::of(app, caller)?.iter().map(|saved| Chip {
        label: saved.name.clone(),
        link: super::saved::link(saved),
        title: match &saved.owner {
            owner if *owner == caller.name => saved.query.clone(),
            owner => format!("{owner}: {}", saved.query),
        },
        is_here: ask.q == saved.query && ask.all == saved.all,
        is_saved: true,
    }));
    let (rule, no_rule) = match rule_of(&ask.q) {
        Ok(rule) => (rule.filter(|_| shell.may(Needs::EditConfig)), None),
        Err(why) => (None, shell.may(Needs::EditConfig).then_some(why)),
    };
    Ok(Grid {
        chips,
        offers: if ask.build { Some(offers(app)?) } else { None },
        build: Ask { build: !ask.build, ..ask.clone() }.link(&ask.sort, None),
        export: super::export::link(&ask.q, ask.all),
        rule,
        no_rule,
        cols: ask.cols.clone(),
        columns: COLUMNS
            .iter()
            .map(|(name, label, _, default)| Column { name, label, on: is_on(name, *default) })
            .collect(),
        heads,
        rows: hits.iter().map(|hit| row(hit, &names, now)).collect(),
        next: next.map(|next| ask.link(&ask.sort, Some(&next))),
        first: fields.some("after").map(|_| ask.link(&ask.sort, None)),
        rows_asked: ask.limit,
        choices: ROW_CHOICES,
        query: ask.q,
        all: ask.all,
        sort: ask.sort,
        mistake,
        count,
        shell,
    })
}

type Found = (Vec<Hit>, Option<String>, u64);

fn search(app: &App, ask: &Ask, after: Option<&str>) -> Result<Found, Problem> {
    let engine = app.engine()?;
    let sort = sort_of(Some(&ask.sort))?;
    let after = after.map(place_of).transpose()?;
    let (hits, next, count) = engine.find_counted(&ask.q, ask.all, sort, after.as_ref(), ask.limit)?;
    Ok((hits, next.as_ref().map(cursor_text), count))
}

/// The page of an indicator.
pub(super) fn link_to(kind: &str, value: &str) -> String {
    format!("/indicators/{}/{}", part(kind), part(value))
}

fn row(hit: &Hit, columns: &[&str], now: Timestamp) -> Row {
    let mut marks = Vec::new();
    if let Some(verdict) = &hit.verdict {
        let tone = if verdict.starts_with("malicious") { "bad" } else { "ok" };
        marks.push((tone, verdict.replace('_', " ")));
    }
    if hit.muted {
        marks.push(("calm", "muted".to_owned()));
    }
    if let Some(guard) = &hit.guard {
        let word = if guard.starts_with("stopped") { "guarded" } else { "flagged" };
        marks.push(("warn", word.to_owned()));
    }
    let time = |text: &Option<String>| Cell::Time(When::maybe(text.as_deref(), now));
    let cells = columns.iter().map(|column| match *column {
        "kind" => Cell::Text(hit.kind.clone()),
        "reputation" => Cell::Reputation(hit.reputation, reputation(hit.reputation)),
        "severity" => Cell::Text(hit.severity.clone()),
        "confidence" => Cell::Number(hit.confidence.map_or_else(String::new, |confidence| confidence.to_string())),
        "tlp" => Cell::Tlp(hit.tlp.clone()),
        "sources" => Cell::Long(hit.sources.join(", ")),
        "tags" => Cell::Tags(hit.tags.iter().take(2).cloned().collect(), hit.tags.len().saturating_sub(2)),
        "first_seen" => time(&hit.first_seen),
        "last_seen" => time(&hit.last_seen),
        "expires" => time(&hit.expires_at),
        "hits" => Cell::Number(n(u64::from(hit.internal_hits) + u64::from(hit.external_hits))),
        _ => Cell::Long(hit.comment.clone().unwrap_or_default()),
    });
    Row {
        link: link_to(&hit.kind, &hit.value),
        pick: format!("{} {}", hit.kind, hit.value),
        value: defanged(&hit.kind, &hit.value),
        is_off: !hit.active,
        marks,
        cells: cells.collect(),
    }
}

/// A reputation as a bar.
pub(super) fn reputation(reputation: u8) -> Markup {
    let tone = match reputation {
        8.. => "bad",
        5..8 => "warn",
        _ => "calm",
    };
    bar(f64::from(reputation) * 10.0, tone)
}
