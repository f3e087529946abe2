//! Copies of everything, and what this exchange is.

use super::settings::done;
use super::shell::{Section, Shell};
use super::show::{When, n};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::app::upkeep::BackupShown;
use askama::Template;
use axum::response::Response;
use std::path::Path;

const BACKUP: &str = "/settings/backup";
/// Every crate and script that is in the program, with its licence: made and checked by `cargo xtask deps`.
const LICENCES: &str = include_str!("../../../../docs/reference/licences.md");

/// A length as people read it: `812 B`, `48.2 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

struct BackupRow {
    backup: BackupShown,
    size: String,
    at: Option<When>,
}

#[derive(Template)]
#[template(path = "backup.html")]
struct BackupPage {
    shell: Shell,
    mistakes: Vec<String>,
    name: String,
    /// Where they lie; None: everything is in memory.
    folder: Option<String>,
    rows: Vec<BackupRow>,
    all: String,
    has_keys: bool,
}

fn backup_page(app: &App, shell: Shell, name: Option<&str>, mistakes: Vec<String>) -> Result<BackupPage, Problem> {
    let now = app.now();
    let backups = app.backups();
    let stamp: String = now.to_string().chars().take(19).filter(|c| !matches!(c, ':')).collect();
    Ok(BackupPage {
        mistakes,
        name: name.map_or_else(|| format!("iocast-{}.db", stamp.replace('T', "-")), str::to_owned),
        folder: app.backups_dir().map(|dir| dir.display().to_string()),
        all: size(backups.iter().map(|backup| backup.bytes).sum()),
        rows: backups
            .into_iter()
            .map(|backup| BackupRow { size: size(backup.bytes), at: backup.at.map(|at| When::at(at, now)), backup })
            .collect(),
        has_keys: app.keys().is_some(),
        shell,
    })
}

pub(super) async fn backup(visit: Visit) -> Result<Response, Problem> {
    visit.page("Backup", Section::Settings, |app, shell| backup_page(app, shell, None, Vec::new())).await
}

pub(super) async fn do_backup(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    let typed = form.clone();
    visit
        .act_or(
            ("Backup".to_owned(), Section::Settings, BACKUP.to_owned()),
            move |app, caller| {
                // A page never names a place on the server, whoever asks.
                let name = form.get("name");
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.chars().all(is_plain) {
                    return Err(Problem::invalid(
                        "name: letters, digits and . - _, at most 100, not beginning with a dot",
                    ));
                }
                let caller = crate::tokens::Caller { is_local: false, ..caller.clone() };
                app.back_up(&caller, Path::new(name))?;
                Ok(done(BACKUP, "backed-up"))
            },
            move |app, shell, mistakes| backup_page(app, shell, typed.some("name"), mistakes),
        )
        .await
}

#[derive(Template)]
#[template(path = "about.html")]
struct AboutPage {
    shell: Shell,
    opened: When,
    build: String,
    sqlite: &'static str,
    folder: String,
    /// What, and how large.
    sizes: Vec<(&'static str, String)>,
    /// What, and how many.
    counts: Vec<(&'static str, String)>,
    crates: usize,
}

pub(super) async fn about(visit: Visit) -> Result<Response, Problem> {
    visit
        .page("About", Section::Settings, |app, shell| {
            let engine = app.engine()?;
            let config = engine.config();
            let mut sizes = Vec::new();
            if let Some(data) = app.data_size() {
                sizes.push(("Everything", size(data.all)));
                sizes.push(("Database", size(data.database)));
                sizes.push(("Served lists", size(data.lists)));
                sizes.push(("Backups", size(data.backups)));
            }
            let known = engine.known();
            let memory = known.index.memory().total();
            sizes.push(("Index in memory", size(memory as u64)));
            let mut entries = 0;
            for ledger in known.ledgers.values() {
                entries += ledger.present().count() as u64;
            }
            let counts = vec![
                ("Indicators known", n(known.index.len() as u64)),
                ("What sources say of them", n(known.index.n_records() as u64)),
                ("Entries at targets", n(entries)),
                ("Connections", n(config.connections.len() as u64)),
                ("Rules", n(config.rules.len() as u64)),
                ("Targets", n(config.targets.len() as u64)),
                ("Sharings", n(config.file.sharing.len() as u64)),
            ];
            drop(known);
            let kind = if cfg!(debug_assertions) { "debug build" } else { "release build" };
            Ok(AboutPage {
                opened: When::at(app.opened(), app.now()),
                build: format!("{kind} for {}, {}", std::env::consts::OS, std::env::consts::ARCH),
                sqlite: store::library(),
                folder: app.store().path().map_or_else(|| "in memory".to_owned(), |path| path.display().to_string()),
                sizes,
                counts,
                crates: licences().len(),
                shell,
            })
        })
        .await
}

/// One thing that others wrote.
#[derive(Debug, PartialEq, Eq)]
struct Licence {
    name: &'static str,
    version: &'static str,
    licence: &'static str,
}

/// The rows of the tables of the page.
fn licences() -> Vec<Licence> {
    let cells = |line: &'static str| -> Option<Licence> {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        let (name, version, licence) = (cells.next()?, cells.next()?, cells.next()?);
        let is_row = !name.starts_with("---") && version != "Version";
        is_row.then_some(Licence { name, version, licence })
    };
    LICENCES.lines().filter_map(cells).collect()
}

#[derive(Template)]
#[template(path = "licences.html")]
struct LicencesPage {
    shell: Shell,
    q: String,
    rows: Vec<Licence>,
}

pub(super) async fn all_licences(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Licences", Section::Settings, move |_, shell| {
            let q = query.get("q").to_lowercase();
            let is_meant = |row: &Licence| row.name.contains(&q) || row.licence.to_lowercase().contains(&q);
            Ok(LicencesPage {
                rows: licences().into_iter().filter(is_meant).collect(),
                q: query.get("q").to_owned(),
                shell,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_by_people() {
        for (bytes, expect) in
            [(0, "0 B"), (999, "999 B"), (48_200, "48.2 kB"), (48_200_000, "48.2 MB"), (7_000_000_000, "7.0 GB")]
        {
            assert_eq!(size(bytes), expect);
        }
    }

    #[test]
    fn the_program_says_what_is_in_it() {
        let all = licences();
        assert!(all.len() > 100, "{}", all.len());
        for name in ["htmx", "idiomorph", "axum", "rusqlite", "qrcode"] {
            assert!(all.iter().any(|row| row.name.starts_with(name) && !row.licence.is_empty()), "{name}");
        }
    }
}
