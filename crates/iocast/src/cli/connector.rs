//! `connector`: what there is to connect to, and the tools of those who write connectors.

use super::client::part;
use super::output::{Column, How, column, hidden, parse, printable, text, thousands};
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use intel::Observation;
use kit::files::Files;
use kit::http::{Egress, Http, HttpConfig, Recording, SystemWait};
use kit::manifest::{Manifest, SettingType};
use kit::secret::SecretResolver;
use kit::{Connector, Cx, Pulled, Rows, Secret};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Connectors: what can be pulled from and shared to, and which settings each takes
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast connector list
  iocast connector show feed
  iocast connector test feed crates/connectors/src/feed/exchanges")]
pub(crate) struct ConnectorArgs {
    #[command(subcommand)]
    command: ConnectorCommand,
}

#[derive(Subcommand)]
enum ConnectorCommand {
    /// The connectors there are
    #[command(after_help = "Examples:\n  iocast connector list\n  iocast connector list --format json")]
    List,
    /// What a connector is, with its settings and actions
    #[command(after_help = "Examples:\n  iocast connector show feed\n  iocast connector show file")]
    Show {
        /// The connector's name
        name: String,
    },
    Record(RecordArgs),
    Test(TestArgs),
}

/// Record a live session as an exchange file; secrets are replaced by their names
///
/// Calls the real service once and writes CASE.http, CASE.json and settings.json. Secrets stand as {{name}} in the
/// recording, and as an example in settings.json. Read the file before it is committed: only secrets are replaced.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast connector record urlhaus --out exchanges/            a connection that is configured
  iocast connector record feed --settings settings.json       a connector with these settings
  IOCAST_UPDATE=1 iocast connector test feed exchanges/       then write what it must yield")]
struct RecordArgs {
    /// A configured connection, or with --settings a connector
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "exchanges")]
    out: PathBuf,
    /// Settings as JSON; secrets may be "env:NAME" or "file:PATH"
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The case: what begins with `check` only checks, anything else pulls
    #[arg(long, value_name = "NAME", default_value = "pull")]
    case: String,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Hold a connector to the contract: replay its exchanges, and ask what is asked of everyone
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast connector test feed exchanges/
  IOCAST_UPDATE=1 iocast connector test feed exchanges/     accept what it yields

No call leaves this machine. Exit code 0 if it conforms, 1 if not.")]
struct TestArgs {
    /// The connector's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder of its exchanges
    #[arg(value_name = "DIR")]
    exchanges: Option<PathBuf>,
}

const COLUMNS: &[Column] = &[
    text("name", "connector"),
    text("category", "category"),
    column("source", "source", How::YesNo),
    column("destination", "destination", How::YesNo),
    text("summary", "what it does"),
    hidden("title"),
];

pub(crate) fn connector(args: &ConnectorArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        ConnectorCommand::List => {
            ctx.out.rows(&ctx.client_without_data()?.get("/api/v1/connectors", &[])?, COLUMNS)?;
            Ok(Exit::Done)
        }
        ConnectorCommand::Show { name } => {
            let answer = ctx.client_without_data()?.get(&format!("/api/v1/connectors/{}", part(name)), &[])?;
            match ctx.out.is_table() {
                true => show(&parse(&answer)?, ctx)?,
                false => ctx.out.document(&answer)?,
            }
            Ok(Exit::Done)
        }
        ConnectorCommand::Record(args) => record(args, ctx),
        ConnectorCommand::Test(args) => test(args, ctx),
    }
}

fn show(connector: &Value, ctx: &Ctx) -> Result<(), CliError> {
    let word = |value: &Value, key: &str| printable(value[key].as_str().unwrap_or_default()).into_owned();
    ctx.out.line(&format!("{}: {}", word(connector, "name"), word(connector, "title")))?;
    ctx.out.line(&format!("  {}", word(connector, "summary")))?;
    if connector["docs"].is_string() {
        ctx.out.line(&format!("  {}", word(connector, "docs")))?;
    }
    settings(&connector["settings"], "Settings", ctx)?;
    for action in connector["actions"].as_array().into_iter().flatten() {
        let name = word(action, "name");
        ctx.out.line(&format!("\nAction {name}: {}", word(action, "summary")))?;
        settings(&action["params"], &format!("Parameters of {name}"), ctx)?;
    }
    Ok(())
}

fn settings(list: &Value, title: &str, ctx: &Ctx) -> Result<(), CliError> {
    const SETTINGS: &[Column] = &[
        text("key", "key"),
        text("type", "type"),
        column("required", "needed", How::YesNo),
        text("default", "default"),
        text("help", "what it does"),
    ];
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return Ok(());
    }
    ctx.out.line(&format!("\n{title}"))?;
    ctx.out.rows(&json!(list).to_string(), SETTINGS)?;
    Ok(())
}

fn known(name: &str) -> Result<Arc<dyn Connector>, CliError> {
    let all = connectors::all();
    let names: Vec<&str> = all.iter().map(|connector| connector.manifest().name.as_str()).collect();
    let found = all.iter().find(|connector| connector.manifest().name == name).cloned();
    found.ok_or_else(|| {
        let near = engine::config::nearest(name, &names);
        let hint = near.map_or_else(
            || "`iocast connector list` shows those there are".into(),
            |near| format!("did you mean \"{near}\"?"),
        );
        CliError::Failed(format!("no connector is called \"{name}\"; {hint}"))
    })
}

fn test(args: &TestArgs, ctx: &Ctx) -> Outcome {
    let connector = known(&args.name)?;
    let wrong = kit::testkit::conformance(&*connector, args.exchanges.as_deref());
    if !ctx.out.is_table() {
        let answer = json!({ "connector": args.name, "conforms": wrong.is_empty(), "problems": wrong });
        ctx.out.document(&answer.to_string())?;
    } else if wrong.is_empty() {
        ctx.out.line(&format!("{} conforms", args.name))?;
    } else {
        for problem in &wrong {
            ctx.out.line(problem)?;
        }
    }
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Rows are only counted: what they are is for the replay to say.
#[derive(Default)]
struct Counted {
    rows: u64,
    rejected: u64,
    filtered: u64,
}

impl Rows for Counted {
    fn row(&mut self, _: Observation) {
        self.rows += 1;
    }

    fn reject(&mut self, _: &'static str, _: &str) {
        self.rejected += 1;
    }

    fn filter(&mut self, _: &'static str, n: u64) {
        self.filtered += n;
    }
}

/// Longest certificate file read, in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// Pages read at most; a recording of more is no test anybody reads.
const MAX_PAGES: usize = 20;

fn record(args: &RecordArgs, ctx: &Ctx) -> Outcome {
    let path = |extension: &str| args.out.join(format!("{}.{extension}", args.case));
    if args.case.is_empty() || !args.case.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        return Err(CliError::Usage(format!(
            "--case {:?}: letters, digits and '-', such as pull-second-page",
            args.case
        )));
    }
    let is_check = args.case.starts_with("check");
    if !is_check && !args.case.starts_with("pull") {
        return Err(CliError::Usage("--case begins with pull or check: those can be recorded".into()));
    }
    let written = [path("http"), path("json")];
    if let Some(there) = written.iter().find(|path| path.exists() && !args.force) {
        return Err(CliError::Failed(format!("{} is there already: another --case, or --force", there.display())));
    }
    let what = subject(args, ctx)?;
    let manifest = what.connector.manifest();
    let recording = Recording::default();
    let files = Files::below(ctx.global.files.clone());
    let config = http_config(&what, &files, ctx)?;
    let http = Http::recording(config, Arc::new(SystemWait::default()), &recording).map_err(CliError::Failed)?;
    let connection = what.connector.open(&what.settings).map_err(CliError::Failed)?;
    let now = crate::world::now();
    let range = intel::DAY * what.doc.initial_range_days.unwrap_or(14);
    let cx = Cx { http: &http, files: &files, now, initial_from: now.before(range) };
    let mut counted = Counted::default();
    let shown = ctx.progress("recording");
    let said = match is_check {
        true => connection.check(&cx),
        false => {
            let Some(source) = connection.source() else {
                return Err(CliError::Failed(format!(
                    "{} is no source: record a check instead (--case check)",
                    args.name
                )));
            };
            let mut after = None;
            let mut pages = 0;
            loop {
                pages += 1;
                match source.pull(after.as_ref(), &cx, &mut counted) {
                    Ok(Pulled::More(next)) if pages < MAX_PAGES => after = Some(next),
                    Ok(_) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        }
    };
    drop(shown);
    let exchanges = recording.exchanges();
    if exchanges.0.is_empty() {
        let why = said.err().map_or_else(|| "a local file needs no recording".to_owned(), |error| error.to_string());
        return Err(CliError::Failed(format!("nothing was said, so there is nothing to record: {why}")));
    }
    fs::create_dir_all(&args.out).map_err(|error| CliError::Failed(format!("{}: {error}", args.out.display())))?;
    put(&path("http"), &exchanges.write())?;
    put(&path("json"), &pretty(&json!({ "now": now.to_string() })))?;
    let kept = args.out.join("settings.json");
    if !kept.exists() || args.force {
        put(&kept, &pretty(&without_secrets(manifest, what.settings)))?;
    }
    ctx.out.line(&format!("{}: {} exchanges", path("http").display(), exchanges.0.len()))?;
    if !is_check {
        let Counted { rows, rejected, filtered } = counted;
        ctx.out.note(&format!("{} rows, {rejected} rejected, {filtered} filtered", thousands(rows)));
    }
    ctx.out.note("read it before you share it: only secrets were replaced");
    match said {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            ctx.out.warn(&format!("the session ended in an error, which is recorded: {error}"));
            Ok(Exit::Partial)
        }
    }
}

/// What is recorded.
struct Subject {
    connector: Arc<dyn Connector>,
    doc: engine::config::ConnectionDoc,
    settings: Value,
}

fn subject(args: &RecordArgs, ctx: &Ctx) -> Result<Subject, CliError> {
    if let Some(file) = &args.settings {
        let connector = known(&args.name)?;
        let wrong = |why: String| CliError::Failed(format!("{}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let given: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let mut settings = connector
            .manifest()
            .check(&given)
            .map_err(|problems| wrong(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        reveal(connector.manifest(), &mut settings).map_err(wrong)?;
        let doc = json!({ "name": args.name, "connector": args.name, "settings": {} });
        let doc = serde_json::from_value(doc).map_err(|error| wrong(error.to_string()))?;
        return Ok(Subject { connector, doc, settings });
    }
    let client = ctx.client()?;
    let app = client.app().ok_or_else(|| {
        CliError::Usage("a recording is made in this process: use --data DIR or --settings FILE, not --url".into())
    })?;
    let engine = app.engine().map_err(|_| CliError::failed("the exchange is not loaded"))?;
    let config = engine.config();
    let Some(connection) = config.connection(&args.name) else {
        return Err(CliError::Failed(format!(
            "no connection is called \"{}\"; to record a connector without one, give --settings FILE",
            args.name
        )));
    };
    if let Some(why) = &connection.locked {
        return Err(CliError::Failed(format!("{}: {why}", connection.doc.name)));
    }
    Ok(Subject {
        connector: connection.connector.clone(),
        doc: connection.doc.clone(),
        settings: connection.settings.clone(),
    })
}

/// As the connection would be called, but recorded.
fn http_config(what: &Subject, files: &Files, ctx: &Ctx) -> Result<HttpConfig, CliError> {
    let doc = &what.doc;
    let pem = |path: &Option<String>| -> Result<Option<String>, CliError> {
        let Some(path) = path else { return Ok(None) };
        let mut text = String::new();
        let file = files.open(path).map_err(CliError::failed)?;
        file.take(MAX_PEM_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| CliError::Failed(format!("{path}: {error}")))?;
        Ok(Some(text))
    };
    let secret = |key: &String| Some((key.clone(), Secret::new(what.settings.get(key)?.as_str()?)));
    let settings = what.connector.manifest().settings.iter();
    let secrets = settings.filter(|setting| setting.value_type == SettingType::Secret).map(|setting| &setting.key);
    let proxy = doc.proxy.as_ref().map(|proxy| ("proxy".to_owned(), Secret::new(proxy.clone())));
    let allow_private: Vec<ipnet::IpNet> = doc.allow_private.iter().filter_map(|net| net.parse().ok()).collect();
    let allow_http = ctx.global.allow_http || !allow_private.is_empty();
    Ok(HttpConfig {
        egress: Egress { allow_http, allow_private, ports: Vec::new() },
        proxy: doc.proxy.clone().map(Secret::new),
        ca_pem: pem(&doc.ca_file)?,
        client_cert_pem: pem(&doc.client_cert_file)?.map(Secret::new),
        secrets: secrets.filter_map(secret).chain(proxy).collect(),
        ..HttpConfig::default()
    })
}

/// Where `env:` and `file:` lead, for the person at the keyboard.
struct Here;

impl SecretResolver for Here {
    fn env(&self, name: &str) -> Result<String, String> {
        std::env::var(name).map_err(|error| error.to_string())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

fn reveal(manifest: &Manifest, settings: &mut Value) -> Result<(), String> {
    for setting in manifest.settings.iter().filter(|setting| setting.value_type == SettingType::Secret) {
        if let Some(text) = settings[&setting.key].as_str() {
            settings[&setting.key] = json!(Secret::resolve(text, &Here)?.reveal());
        }
    }
    Ok(())
}

/// Settings as they may be committed.
fn without_secrets(manifest: &Manifest, mut settings: Value) -> Value {
    for setting in manifest.settings.iter().filter(|setting| setting.value_type == SettingType::Secret) {
        if settings[&setting.key].is_string() {
            settings[&setting.key] = json!(format!("example-{}", setting.key));
        }
    }
    settings
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn put(path: &Path, text: &str) -> Result<(), CliError> {
    let wrong = |error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(wrong)
}
