//! `docs/reference/connectors.md` is the manifests in words. It is made here, and held against what is committed, so
//! that no page can say what no connector does. `IOCAST_UPDATE=1 cargo test -p connectors` writes it anew.

use intel::IndicatorKind;
use kit::manifest::{Action, Delivery, Manifest, Pool, Render, Setting, SettingType, SourceSpec, Style};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const HEAD: &str = "\
# Connectors

Every connector that comes with iocast, with its settings, as its manifest says. This page is made from the manifests by
`IOCAST_UPDATE=1 cargo test -p connectors`; a test fails while it differs. `iocast connector show NAME` says the same.

What every connection has besides (interval, aging, TLP, tags and more) is in
[configuration.md](../configuration.md#connection).
";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that writes what it expects is told so by the environment")]
fn the_reference_page_says_what_the_manifests_say() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/connectors.md");
    if std::env::var_os("IOCAST_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(committed.lines()).position(|(made, there)| made != there);
    assert!(
        page == committed,
        "{} is out of date from line {}; IOCAST_UPDATE=1 cargo test -p connectors writes it anew",
        path.display(),
        differs.unwrap_or_else(|| page.lines().count().min(committed.lines().count())) + 1
    );
}

#[test]
fn every_link_leads_to_a_heading() {
    let page = page();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let links: Vec<&str> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 20, "{links:?}");
    for link in links {
        assert!(headings.contains(&link), "no heading for {link}");
    }
}

fn page() -> String {
    let all = connectors::all();
    let manifests: Vec<&Manifest> = all.iter().map(|connector| connector.manifest()).collect();
    let mut out = HEAD.to_owned();
    out.push_str("\n| Connector | Source | Destination | What it is |\n| --- | --- | --- | --- |\n");
    for manifest in &manifests {
        let Manifest { name, source, actions, summary, .. } = manifest;
        let yes = |is: bool| if is { "yes" } else { "" };
        line(
            &mut out,
            &format!(
                "| [{name}](#{name}) | {} | {} | {} |",
                yes(source.is_some()),
                yes(!actions.is_empty()),
                cell(summary)
            ),
        );
    }
    for manifest in manifests {
        connector(&mut out, manifest);
    }
    out
}

fn connector(out: &mut String, manifest: &Manifest) {
    line(
        out,
        &format!("\n## {}\n\n**{}** ({}). {}", manifest.name, manifest.title, manifest.category, manifest.summary),
    );
    if let Some(docs) = &manifest.docs {
        line(out, &format!("See <{docs}>."));
    }
    if let Some(terms) = manifest.feed.as_ref().and_then(|feed| feed.get("terms")).and_then(Value::as_str) {
        line(out, &format!("Terms: {terms}."));
    }
    if let Some(limits) = manifest.limits {
        let (calls, burst) = (limits.requests_per_minute, limits.burst);
        line(
            out,
            &format!(
                "Calls: at most {calls} a minute for each account, {burst} at once; `requests_per_minute` of the connection says otherwise."
            ),
        );
    }
    if let Some(source) = &manifest.source {
        line(out, "\nAs a source:\n");
        as_source(out, source);
        if let Some(feed) = &manifest.feed {
            what_is_read(out, feed);
        }
    }
    if !manifest.settings.is_empty() {
        line(out, "\nSettings:\n");
        settings(out, &manifest.settings);
    }
    for action in &manifest.actions {
        self::action(out, action);
    }
}

fn as_source(out: &mut String, source: &SourceSpec) {
    let style = match source.style {
        Style::Whole => "every pull reads all of it",
        Style::Incremental => "a pull reads what came since the last one",
        Style::Hosted => "nothing is pulled: it comes to us",
    };
    line(out, &format!("* {style}"));
    line(out, &format!("* kinds: {}", kinds(&source.kinds)));
    line(
        out,
        match source.complete() {
            true => "* complete: what it no longer lists is taken back after a run that is believed",
            false => "* not complete: what it no longer lists ages out",
        },
    );
    if let Some(interval) = source.interval {
        line(out, &format!("* interval: {}", duration(interval)));
    }
    if let Some(days) = source.aging_days {
        line(out, &format!("* aging: {days} days"));
    }
    if let Some(reputation) = source.reputation {
        line(out, &format!("* reputation where a row says none: {reputation}"));
    }
    if let Some(tlp) = source.tlp {
        line(out, &format!("* TLP: {tlp}"));
    }
}

/// The part of a feed's description that tells a reader what becomes of a row.
fn what_is_read(out: &mut String, feed: &Value) {
    for (key, words) in [("format", "format"), ("tags", "tags added")] {
        match feed.get(key) {
            Some(Value::String(text)) => line(out, &format!("* {words}: {text}")),
            Some(Value::Array(items)) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                line(out, &format!("* {words}: {}", items.join(", ")));
            }
            _ => {}
        }
    }
}

fn action(out: &mut String, action: &Action) {
    line(out, &format!("\nAction `{}`: {}\n", action.name, action.summary));
    line(
        out,
        match action.delivery {
            Delivery::Items => "* entries are sent and taken back one by one",
            Delivery::List => "* the whole list is replaced at once",
            Delivery::Replace => "* the whole list is replaced at once, with what others have in it",
            Delivery::Hosted => "* iocast serves it itself",
        },
    );
    line(out, &format!("* kinds: {}", kinds(&action.kinds)));
    if action.render == Render::NoScheme {
        line(out, "* URLs are written without their scheme");
    }
    if action.delivery == Delivery::Items {
        match action.batch_bytes {
            Some(bytes) => line(out, &format!("* at most {} entries and {bytes} bytes of them a call", action.batch)),
            None => line(out, &format!("* at most {} entries a call", action.batch)),
        }
    }
    line(out, if action.can_retract { "* entries can be taken back" } else { "* entries cannot be taken back" });
    if !action.idempotent {
        line(
            out,
            "* what is sent twice is there twice, so an answer that was lost is asked for before anything is repeated",
        );
    }
    match (action.can_read, action.can_look) {
        (true, _) => line(out, "* all that is there can be read, what others put there included"),
        (false, true) => line(out, "* it can be asked what is there, entry by entry"),
        (false, false) => {}
    }
    if let Some(lag) = action.lag {
        line(out, &format!("* what it says may be {} old", duration(lag)));
    }
    if action.deploys {
        line(
            out,
            "* what is sent takes effect with one commit at the end of a pass, never with what others have pending",
        );
    }
    if action.marks {
        line(out, "* what it writes carries this exchange's id");
    }
    if action.holds_expiry {
        line(out, "* an entry carries the date on which it ends");
    }
    if let Some(capacity) = action.capacity {
        let pool = match action.pool {
            Pool::List => "each list",
            Pool::Connection => "all targets of a connection together",
            Pool::Tenant => "all targets of an account together",
        };
        line(out, &format!("* at most {capacity} entries: {pool}"));
    }
    if let Some(bytes) = action.max_bytes {
        line(out, &format!("* at most {bytes} bytes"));
    }
    if !action.params.is_empty() {
        line(out, "\nParameters:\n");
        settings(out, &action.params);
    }
}

fn settings(out: &mut String, settings: &[Setting]) {
    line(out, "| Key | Type | Default | What it does |\n| --- | --- | --- | --- |");
    for setting in settings {
        let default = match &setting.default {
            Some(value) => format!("`{}`", written(value)),
            None if setting.required => "**required**".to_owned(),
            None => String::new(),
        };
        let mut help = setting.help.clone();
        if let Some(example) = &setting.example {
            let _ = write!(help, " Example: `{}`.", written(example));
        }
        line(out, &format!("| `{}` | {} | {} | {} |", setting.key, type_of(setting), cell(&default), cell(&help)));
    }
}

fn type_of(setting: &Setting) -> String {
    let choices = setting.choices.join(", ");
    let of = |what: &str| if choices.is_empty() { what.to_owned() } else { format!("{what} of {choices}") };
    let words = match setting.value_type {
        SettingType::Text => "text".to_owned(),
        SettingType::Url => "address".to_owned(),
        SettingType::Int => "whole number".to_owned(),
        SettingType::Float => "number".to_owned(),
        SettingType::Bool => "true or false".to_owned(),
        SettingType::Choice => format!("one of {choices}"),
        SettingType::List => of("list"),
        SettingType::Map => "table of texts".to_owned(),
        SettingType::Secret => "secret".to_owned(),
        SettingType::Path => "path".to_owned(),
        SettingType::Duration => "duration".to_owned(),
        SettingType::Kind => "kind or auto".to_owned(),
    };
    match (setting.min, setting.max) {
        (Some(min), Some(max)) => format!("{words}, {min} to {max}"),
        (Some(min), None) => format!("{words}, at least {min}"),
        (None, Some(max)) => format!("{words}, at most {max}"),
        (None, None) => words,
    }
}

/// A value as it is written in TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let items: Vec<String> = table.iter().map(|(key, value)| format!("{key:?} = {}", written(value))).collect();
            format!("{{ {} }}", items.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn kinds(kinds: &[IndicatorKind]) -> String {
    match kinds.is_empty() {
        true => "any".to_owned(),
        false => kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        _ if secs.is_multiple_of(86_400) => format!("{} d", secs / 86_400),
        _ if secs.is_multiple_of(3_600) => format!("{} h", secs / 3_600),
        _ if secs.is_multiple_of(60) => format!("{} min", secs / 60),
        _ => format!("{secs} s"),
    }
}

/// A text inside a table: a bar would end the cell, and a star begin a stress.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(" * ", " `*` ").replace(" ** ", " `**` ")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
