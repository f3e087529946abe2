//! Jobs that somebody asks for, instead of waiting for the loop.

use super::App;
use crate::api::Problem;
use engine::{Mode, PullReport, ShareReport};
use kit::Cx;

/// Which connections or targets.
pub(crate) enum Which {
    /// All that are enabled, in the order of the configuration.
    All,
    /// These, in this order.
    Named(Vec<String>),
}

impl Which {
    /// What a body said: names, or all.
    pub(crate) fn of(names: Vec<String>, all: bool, what: &str) -> Result<Which, Problem> {
        match (names.is_empty(), all) {
            (true, true) => Ok(Which::All),
            (false, false) => Ok(Which::Named(names)),
            (true, false) => Err(Problem::invalid(format!("say which: \"{what}\": [names], or \"all\": true"))),
            (false, true) => Err(Problem::invalid(format!("say either \"{what}\" or \"all\", not both"))),
        }
    }
}

impl Which {
    /// As the audit log says it.
    pub(crate) fn words(&self) -> String {
        match self {
            Which::All => "all".to_owned(),
            Which::Named(names) => names.join(", "),
        }
    }
}

impl App {
    /// Whether a connection works with its settings: None if it does, else why not.
    pub(crate) fn check(&self, name: &str, who: &str) -> Result<Option<String>, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        let Some(connection) = config.connection(name) else {
            let names: Vec<&str> = config.connections.values().map(|c| c.doc.name.as_str()).collect();
            let hint = engine::config::nearest(name, &names);
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            return Err(Problem::not_found(format!("no connection is called \"{name}\"{hint}")));
        };
        let world = engine.world();
        let now = world.now();
        // Before the call: it is made with the connection's secrets.
        self.audit(who, "connection.check", name, "{}")?;
        let checked = engine.http_of(connection).and_then(|http| {
            let initial_from = now.before(connection.initial_range);
            connection.open.check(&Cx { http: &http, files: world.files(), now, initial_from })
        });
        Ok(checked.err().map(|error| error.to_string()))
    }

    /// Pulls sources one after the other: a report each, in order. A failing source does not stop the others.
    pub(crate) fn pull(&self, which: &Which) -> Result<Vec<PullReport>, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        let names: Vec<String> = match which {
            Which::Named(names) => names.clone(),
            Which::All => {
                let sources = config.connections.values().filter(|c| c.doc.enabled && c.open.source().is_some());
                sources.map(|c| c.doc.name.clone()).collect()
            }
        };
        // A name that is mistyped is told before anything is pulled.
        for name in &names {
            if config.connection(name).is_none() {
                engine.pull(name, self.progress())?;
            }
        }
        let mut reports = Vec::with_capacity(names.len());
        for name in &names {
            let report = engine.pull(name, self.progress())?;
            if report.touched > 0 {
                self.hurry();
            }
            reports.push(report);
        }
        self.tell_now();
        Ok(reports)
    }

    /// Runs passes over targets one after the other: a report each, in order.
    pub(crate) fn pass(
        &self,
        which: &Which,
        mode: Mode,
        expect: Option<&str>,
        who: &str,
    ) -> Result<Vec<ShareReport>, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        let names: Vec<String> = match which {
            Which::Named(names) => names.clone(),
            Which::All => {
                let targets = config.targets.values().filter(|target| target.doc.enabled);
                targets.map(|target| target.doc.name.clone()).collect()
            }
        };
        for name in &names {
            if config.target(name).is_none() {
                engine.share(name, Mode { dry_run: true, approve: false }, self.progress())?;
            }
        }
        if expect.is_some() && names.len() != 1 {
            return Err(Problem::invalid("a hash names the plan of one target: name that one".to_owned()));
        }
        if mode.approve {
            for name in &names {
                engine.may_approve(name, who)?;
            }
        }
        let mut reports = Vec::with_capacity(names.len());
        for name in &names {
            reports.push(engine.share_expecting(name, mode, expect, self.progress())?);
        }
        if !mode.dry_run {
            self.tell_now();
        }
        Ok(reports)
    }
}
