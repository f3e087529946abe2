//! The demo: a whole exchange on real feeds in one command, without a network and without a question.
//!
//! It is the shop's window and the shop's test: the same app, engine and connectors as ever, over feeds that are part of
//! the program and two simulated tools that share both ways. What comes out does not depend on the date, so a test can
//! say what every number must be.

mod feeds;
mod life;
mod report;
mod tools;
mod world;

pub use world::Clock;

use crate::app::{App, OpenOptions};
use crate::serve::{self, ServeOptions};
use crate::{configfile, tokens};
use anyhow::{Context as _, anyhow};
use engine::config::GuardDoc;
use engine::{Engine, Mode, PullReport, ShareReport, Silent, World};
use intel::{DAY, IndicatorKey};
use kit::Connector;
use life::Life;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;
use tools::{Product, ToolConnector};
use world::DemoWorld;

/// What `iocast demo` was asked.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The data directory, made where there is none.
    pub data: PathBuf,
    /// End after the table instead of serving.
    pub once: bool,
    /// Where to serve.
    pub listen: SocketAddr,
}

/// The folder of a data directory that is the demo's own.
const FOLDER: &str = "demo";
/// The configuration in that folder.
const CONFIG: &str = "demo.toml";

/// Runs the demo and says how it ended.
pub fn run(options: DemoOptions) -> ExitCode {
    let DemoOptions { data, once: only_once, listen } = options;
    let clock: Clock = Arc::new(crate::world::now);
    let mut out = io::stdout();
    let done = if only_once { once(&data, clock, &mut out) } else { keep_running(&data, listen, clock, &mut out) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "iocast demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The demo up to its final table, at the times a clock tells.
///
/// # Errors
/// A data directory that cannot be used or is held by another process, or an output that cannot be written.
pub fn once(data: &Path, clock: Clock, out: &mut dyn Write) -> anyhow::Result<()> {
    let stage = Stage::open(data, clock)?;
    stage.play(out)?;
    stage.look_without_server(out)
}

/// Lets an ordinary command or server open what the demo made: gives it the simulated tools and the demo's folder. Any
/// other data directory is left as it is.
pub fn prepare(options: &mut OpenOptions) {
    let Some(folder) = options.data.as_deref().map(folder).filter(|folder| folder.join(CONFIG).is_file()) else {
        return;
    };
    options.outside.files.push(folder);
    for product in [Product::Edr, Product::Gateway] {
        if let Ok(made) = ToolConnector::new(product) {
            let is_there = options.extra_connectors.iter().any(|there| there.manifest().name == made.manifest().name);
            if !is_there {
                options.extra_connectors.push(Arc::new(made));
            }
        }
    }
}

/// The folder of a data directory that the demo's feeds, tools and files lie in.
fn folder(data: &Path) -> PathBuf {
    let path = data.join(FOLDER);
    std::path::absolute(&path).unwrap_or(path)
}

/// An open demo.
struct Stage {
    data: PathBuf,
    folder: PathBuf,
    app: Arc<App>,
    engine: Arc<Engine>,
    world: Arc<DemoWorld>,
    edr: Arc<ToolConnector>,
    gateway: Arc<ToolConnector>,
}

impl Stage {
    /// Writes out what is not there yet, opens the exchange and applies the configuration.
    fn open(data: &Path, clock: Clock) -> anyhow::Result<Stage> {
        let folder = folder(data);
        for name in ["feeds", "out", "tools"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        }
        feeds::write_out(&folder.join("feeds"))?;
        let config = folder.join(CONFIG);
        if !config.exists() {
            fs::write(&config, configuration(&folder)?)
                .with_context(|| format!("{} cannot be written", config.display()))?;
        }
        let tool = |product| ToolConnector::new(product).map(Arc::new).map_err(|why| anyhow!(why));
        let (edr, gateway) = (tool(Product::Edr)?, tool(Product::Gateway)?);
        let world = Arc::new(DemoWorld::new(clock, folder.clone()));
        let app = App::open(OpenOptions {
            world: Some(world.clone()),
            extra_connectors: vec![edr.clone(), gateway.clone()],
            ..OpenOptions::at(data)
        })?;
        let engine = app.engine().map_err(|problem| anyhow!("{problem}"))?.clone();
        let stage = Stage { data: data.to_owned(), folder, app, engine, world, edr, gateway };
        stage.apply(&config)?;
        Ok(stage)
    }

    fn apply(&self, path: &Path) -> anyhow::Result<()> {
        let loaded = configfile::load(&[path.to_owned()]).map_err(|problems| {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow!("{}; delete it to begin anew", told.join("\n"))
        })?;
        let mut file = loaded.file;
        let mut values = feeds::names_of(feeds::POPULAR)?;
        // Some are no names of hosts.
        values.retain(|name| IndicatorKey::parse(None, name).is_ok());
        file.guard.push(GuardDoc::of("moz-top500", Some("popular"), values));
        self.engine.apply(&file, "demo", false)?;
        Ok(())
    }

    /// Everything up to the final table and what explains it.
    fn play(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let config = self.engine.config();
        writeln!(
            out,
            "iocast demo: {} connections, {} rules, {} targets. Nothing leaves this machine; it asks no network.",
            config.connections.len() - 1,
            config.rules.len(),
            config.targets.len()
        )?;
        writeln!(out, "Data in {}; feeds, tools and configuration in {}.", self.data.display(), self.shown(""))?;
        write!(out, "\n{}", feeds::CREDITS)?;

        report::heading(out, "PULL", "what every source says, folded into one record per indicator")?;
        report::pull_head(out)?;
        let sources: Vec<&str> =
            config.connections.values().filter(|c| c.open.source().is_some()).map(|c| c.doc.name.as_str()).collect();
        for name in &sources {
            let pulled: PullReport = self.engine.pull(name, &Silent)?;
            report::pulled(out, &pulled)?;
        }
        if sources.contains(&"mirror") {
            feeds::lose_most_of_the_mirror(&self.folder.join("feeds"))?;
            writeln!(out, "  and again, when most of the mirror is lost:")?;
            report::pulled(out, &self.engine.pull("mirror", &Silent)?)?;
        }

        report::heading(out, "SHARE", "what the rules select goes to the targets, and nothing else")?;
        report::share_head(out)?;
        self.pass(out)?;

        report::heading(out, "ECHO", "the tools are asked again: what we put there comes back and counts for nothing")?;
        report::pull_head(out)?;
        for name in ["edr", "gateway"].iter().filter(|name| sources.contains(name)) {
            report::pulled(out, &self.engine.pull(name, &Silent)?)?;
        }
        writeln!(out)?;
        report::share_head(out)?;
        let passes = self.pass(out)?;

        report::heading(out, "TABLE", "where everything stands: a second run prints the same")?;
        report::table(out, &self.engine, &passes)?;

        report::heading(out, "WHY", "is a value where it is, and why is another one not")?;
        for (value, targets) in EXAMPLES {
            report::why(out, &self.engine.why(value, None)?, targets)?;
            writeln!(out)?;
        }
        Ok(())
    }

    fn pass(&self, out: &mut dyn Write) -> anyhow::Result<Vec<ShareReport>> {
        let mut passes = Vec::new();
        for target in self.engine.config().targets.values() {
            let pass = self.engine.share(&target.doc.name, Mode::default(), &Silent)?;
            report::shared(out, &pass, &self.engine)?;
            passes.push(pass);
        }
        Ok(passes)
    }

    /// A path in the demo's folder, as the person wrote the data directory.
    fn shown(&self, name: &str) -> String {
        self.data.join(FOLDER).join(name).display().to_string()
    }

    fn look_without_server(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        report::heading(out, "LOOK", "at what it made")?;
        let data = self.data.display();
        let commands = [
            format!("iocast --data {data} list show block-names"),
            format!("iocast --data {data} indicator why dropbox.com"),
            format!("iocast --data {data} indicator find 'source = \"edr\"'"),
            format!("iocast demo --data {data}    # goes on from here, serves the lists, and lives"),
        ];
        commands.iter().try_for_each(|command| writeln!(out, "  {command}"))?;
        writeln!(out, "  {}", self.shown("out/siem.csv"))?;
        Ok(())
    }

    fn look(&self, out: &mut dyn Write, listen: SocketAddr, token: &str) -> anyhow::Result<()> {
        report::heading(out, "LOOK", "around: lists that firewalls fetch, a file, and commands for another window")?;
        for target in self.engine.config().targets.values() {
            if let Some(list) = self.engine.list(&target.doc.name) {
                let entries = report::grouped(list.entries);
                writeln!(out, "  http://{listen}/lists/{:<18} {entries} lines", target.doc.name)?;
            }
        }
        writeln!(out, "  {}\n", self.shown("out/siem.csv"))?;
        writeln!(out, "  export IOCAST_URL=http://{listen}\n  export IOCAST_TOKEN={token}")?;
        let config = self.shown(CONFIG);
        let commands = [
            "iocast status".to_owned(),
            "iocast indicator why dropbox.com".to_owned(),
            "iocast indicator find 'source = \"edr\"'".to_owned(),
            "iocast indicator verdict invoice-portal.example.net safe    # and see it taken back".to_owned(),
            format!("iocast apply {config}    # after a change in it: the lists follow"),
        ];
        commands.iter().try_for_each(|command| writeln!(out, "  {command}"))?;
        writeln!(out, "\nThe tools live on; what happens is told here. Ctrl-C ends it, and the next start goes on.\n")?;
        out.flush()?;
        Ok(())
    }
}

/// Values worth asking about, and the targets where the answer is interesting.
const EXAMPLES: &[(&str, &[&str])] =
    &[("invoice-portal.example.net", &["gateway-block", "edr-block"]), ("dropbox.com", &["edr-block"])];

/// The demo's configuration, for this folder.
fn configuration(folder: &Path) -> anyhow::Result<String> {
    let path = folder.to_str().with_context(|| format!("{}: the path must be UTF-8", folder.display()))?;
    if path.contains(['*', '?']) || path.chars().any(char::is_control) {
        return Err(anyhow!("{path}: the demo's folder cannot have *, ? or control characters in its path"));
    }
    Ok(include_str!("config.toml").replace("@demo/", &format!("{}/", path.replace('\\', "\\\\").replace('"', "\\\""))))
}

/// The demo, and then the exchange it made, served until somebody stops it.
fn keep_running(data: &Path, listen: SocketAddr, clock: Clock, out: &mut dyn Write) -> anyhow::Result<()> {
    // Before anything else: who cannot be served should not wait to hear it. Port 0 becomes a port here.
    let reserved =
        TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}; --listen says where"))?;
    let listen = reserved.local_addr()?;
    let stage = Stage::open(data, clock)?;
    stage.play(out)?;
    let now = stage.world.now();
    let token = tokens::NewToken::generate().map_err(|error| anyhow!("no randomness for a token: {error}"))?;
    // For a day: whoever runs the demo again gets another.
    stage.engine.store().put_token("demo", &token.hash, tokens::Scope::Admin.as_str(), now, Some(now.after(DAY)))?;
    stage.look(out, listen, token.secret.reveal())?;
    let Stage { folder, app, engine, world, edr, gateway, .. } = stage;
    // The server opens the directory itself, as ever.
    drop((app, engine, reserved));
    let path = |name: &str| folder.join("tools").join(name).to_string_lossy().into_owned();
    let life = Life::new(edr.tool(path("edr.json")), gateway.tool(path("gateway.json")), world.clone());
    let (stop, stopped) = channel();
    let living = std::thread::spawn(move || life.go_on(&stopped));
    let open = OpenOptions { world: Some(world), extra_connectors: vec![edr, gateway], ..OpenOptions::at(data) };
    let served = serve::run(open, &ServeOptions { listen, ..ServeOptions::default() });
    drop(stop);
    // A panic there was told when it happened.
    let _ = living.join();
    served
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_configuration_is_written_for_its_folder() {
        let text = configuration(Path::new("/data \"one\"/demo")).unwrap();
        assert!(!text.contains("\"@demo"), "a place was left out");
        assert!(text.contains(r#"url = "/data \"one\"/demo/feeds/ipsum/3.txt""#));
        let loaded = configfile::parse(Path::new("demo.toml"), &text).unwrap();
        assert_eq!((loaded.file.rule.len(), loaded.file.target.len()), (4, 6));
        assert!(loaded.file.rule.iter().all(|rule| !rule.exceptions.is_empty()));
        assert!(configuration(Path::new("/da*a/demo")).is_err());
    }
}
