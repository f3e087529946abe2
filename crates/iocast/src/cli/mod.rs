//! The command line: a client of the one router.
//!
//! With `--data` the router is mounted in this process, with `--url` a server is asked; what a command does and prints
//! is the same. Nothing is decided here: a command reads its words, sends a request, and shows the answer as a table
//! for people or as JSON, NDJSON or CSV for programs. Exit codes: 0 success, 1 failure, 2 usage, 3 partial or held.

mod apply;
mod audit;
mod backup;
mod check;
mod client;
mod config;
mod connector;
mod export;
mod expressions;
mod guard;
mod indicator;
mod list;
mod notify;
mod openapi;
mod output;
mod plan;
mod progress;
mod pull;
mod reconcile;
mod rule;
mod run;
mod secret;
mod serve;
mod share;
mod source;
mod status;
mod target;
mod token;
mod user;

use crate::world::Outside;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use client::{Client, Place};
use output::{Format, Out};
use progress::{Meter, Progress};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// How a command ended, if it ran at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All of it is done: 0.
    Done,
    /// Some of it is not done, or waits for a person: 3.
    Partial,
    /// It ran and failed: 1.
    Failed,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Partial => 3,
        }
    }
}

/// Why a command could not do what was asked, said as what to do next.
#[derive(Debug)]
pub(crate) enum CliError {
    /// It failed: exit 1.
    Failed(String),
    /// It was asked for in a way that makes no sense: exit 2.
    Usage(String),
    /// Whoever read our output has seen enough: no failure.
    Closed,
}

impl CliError {
    pub(crate) fn failed(why: impl fmt::Display) -> CliError {
        CliError::Failed(why.to_string())
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::Closed,
            _ => CliError::Failed(format!("the output cannot be written: {error}")),
        }
    }
}

/// What a command gives.
pub(crate) type Outcome = Result<Exit, CliError>;

#[derive(Parser)]
#[command(
    name = "iocast",
    version,
    about = "A threat exchange: pulls indicators, merges them, and makes each destination hold exactly what it should.",
    long_about = "A threat exchange. It pulls what each source knows, keeps one record per indicator with every source's \
                  word on it, selects with business rules, and makes each destination hold exactly what it should: it \
                  adds, updates and takes back.",
    after_help = AFTER_HELP,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  iocast demo --once                         see it work, without a network
  iocast apply site.toml                     configure connections, rules, targets and sharings
  iocast pull --all                          read every source now
  iocast share --all --dry-run               show what would be sent and taken back
  iocast indicator why evil.example          why is it there, why is it not?
  iocast indicator import report.html        see what a report holds, and store it if you say so

`iocast help expressions` teaches the language of rules and searches.
Exit codes: 0 success, 1 failure, 2 usage, 3 partial or held.";

/// Options of every command, before or after its name.
#[derive(Args, Clone)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Directory of the exchange's data, opened by this process alone
    ///
    /// The directory is locked while a command runs: talk to a server that has it open with --url.
    #[arg(
        long,
        global = true,
        env = "IOCAST_DATA",
        hide_env_values = true,
        value_name = "DIR",
        default_value = "./iocast-data"
    )]
    #[arg(hide_short_help = true)]
    data: PathBuf,
    /// Address of a running server to ask instead, e.g. http://127.0.0.1:8470
    #[arg(long, global = true, env = "IOCAST_URL", hide_env_values = true, value_name = "URL", hide_short_help = true)]
    url: Option<String>,
    /// Token for the server; better in the environment than on the command line
    #[arg(
        long,
        global = true,
        env = "IOCAST_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        hide_short_help = true
    )]
    token: Option<String>,
    /// Certificate that vouches for the server, PEM: of a private authority, or its own (iocast-data/tls/self-signed.pem)
    ///
    /// It is believed instead of those this machine trusts. There is no way to believe everybody.
    #[arg(
        long,
        global = true,
        env = "IOCAST_CA_FILE",
        value_name = "FILE",
        hide_env_values = true,
        hide_short_help = true
    )]
    ca_file: Option<PathBuf>,
    /// Directory below which connections may read and write local files; may be repeated
    ///
    /// In the environment: IOCAST_FILES, directories separated as in PATH.
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    files: Vec<PathBuf>,
    /// Let connections call hosts without encryption (http://)
    #[arg(long, global = true, env = "IOCAST_ALLOW_HTTP", hide_env_values = true, hide_short_help = true)]
    #[arg(value_parser = clap::builder::FalseyValueParser::new())]
    allow_http: bool,
    /// File with the key that seals secrets, outside the data directory
    ///
    /// It is made when the first secret is sealed. By default iocast/key where this user's configuration is
    /// ($XDG_CONFIG_HOME, ~/.config). In place of a file, IOCAST_KEY holds the key itself: 32 random bytes in base64,
    /// older ones after it, separated by commas.
    #[arg(
        long,
        global = true,
        env = "IOCAST_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        hide_short_help = true
    )]
    key_file: Option<PathBuf>,
    /// Command that prints the key, in place of a file: one key a line, the one in use first
    #[arg(
        long,
        global = true,
        env = "IOCAST_KEY_COMMAND",
        hide_env_values = true,
        value_name = "COMMAND",
        hide_short_help = true
    )]
    key_command: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_short_help = true)]
    format: Format,
    /// No notes and no progress: only results and errors
    #[arg(long, short, global = true, hide_short_help = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(serve::DemoArgs),
    Apply(apply::ApplyArgs),
    Export(export::ExportArgs),
    Diff(export::DiffArgs),
    Check(check::CheckArgs),
    Pull(pull::PullArgs),
    Share(share::ShareArgs),
    Rule(rule::RuleArgs),
    #[command(visible_alias = "ioc")]
    Indicator(indicator::IndicatorArgs),
    Guard(guard::GuardArgs),
    Target(target::TargetArgs),
    List(list::ListArgs),
    Source(source::SourceArgs),
    Run(run::RunArgs),
    Plan(plan::PlanArgs),
    Connector(connector::ConnectorArgs),
    Notify(notify::NotifyArgs),
    Notice(notify::NoticeArgs),
    Status(status::StatusArgs),
    Freeze(status::FreezeArgs),
    Thaw(status::ThawArgs),
    Clock(status::ClockArgs),
    Config(config::ConfigArgs),
    Secret(secret::SecretArgs),
    User(user::UserArgs),
    Audit(audit::AuditArgs),
    Token(token::TokenArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Openapi(openapi::OpenapiArgs),
    Help(HelpArgs),
}

/// Show the help of a command, or a topic
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast help expressions\n  iocast help indicator find")]
struct HelpArgs {
    /// A command, or the topic `expressions`
    words: Vec<String>,
}

/// What a command works with.
pub(crate) struct Ctx {
    /// Options of every command.
    pub(crate) global: Global,
    /// Where results and notes go.
    pub(crate) out: Out,
    /// How far work in this process is.
    meter: Arc<Meter>,
    place: Place,
    /// Neither flag nor environment named a data directory.
    data_is_default: bool,
}

impl Ctx {
    /// Opens the exchange: mounts the router here, or prepares to ask a server.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        if let Place::Data(dir) = &self.place
            && self.data_is_default
            && !dir.exists()
        {
            return Err(CliError::Failed(format!(
                "there is no data in {}: `iocast apply FILE` makes it, --data DIR names another directory, --url URL a \
                 running server",
                dir.display()
            )));
        }
        self.client_or_new()
    }

    /// As [`Ctx::client`], and a data directory that is not there yet is made.
    pub(crate) fn client_or_new(&self) -> Result<Client, CliError> {
        let _shown = self.progress("opening");
        Client::open(&self.place, self.outside(), self.meter.clone(), &self.out)
    }

    /// For what needs no data: the server if one is named, else an empty exchange in memory.
    pub(crate) fn client_without_data(&self) -> Result<Client, CliError> {
        match &self.place {
            Place::Server { .. } => self.client_or_new(),
            _ => Client::open(&Place::Memory, self.outside(), self.meter.clone(), &self.out),
        }
    }

    /// What connections may reach beyond what they say themselves.
    pub(crate) fn outside(&self) -> Outside {
        Outside {
            files: self.global.files.clone(),
            allow_http: self.global.allow_http,
            certificate: None,
            key_file: self.global.key_file.clone().filter(|file| !file.as_os_str().is_empty()),
            // Not an option: what stands on a command line can be read by others.
            key_given: std::env::var("IOCAST_KEY").ok().filter(|key| !key.trim().is_empty()).map(kit::Secret::new),
            key_command: self.global.key_command.clone().filter(|command| !command.trim().is_empty()),
        }
    }

    /// A line that moves, while something takes its time.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        Progress::start(&self.out, what, &self.meter)
    }

    /// The data directory, for what only works on one.
    pub(crate) fn data_dir(&self, what: &str) -> Result<&PathBuf, CliError> {
        match &self.place {
            Place::Data(dir) => Ok(dir),
            _ => Err(CliError::Usage(format!("{what} works on a data directory: use --data DIR, not --url"))),
        }
    }

    /// Whether there is anything in the place this command is about.
    pub(crate) fn has_data(&self) -> bool {
        match &self.place {
            Place::Data(dir) => dir.exists(),
            Place::Server { .. } => true,
            Place::Memory => false,
        }
    }
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(words: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let command = Cli::command();
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return told_by_clap(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return told_by_clap(&error),
    };
    let ctx = match context(cli.global, &matches) {
        Ok(ctx) => ctx,
        Err(error) => return told(&error),
    };
    let done = match cli.command {
        // The demo says itself how it ended.
        Command::Demo(args) => match serve::demo(&args, &ctx) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        command => dispatch(command, &ctx),
    };
    match done {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => told(&error),
    }
}

fn told_by_clap(error: &clap::Error) -> ExitCode {
    // Help that nobody reads any more is no failure.
    let _ = error.print();
    ExitCode::from(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => 2,
    })
}

fn told(error: &CliError) -> ExitCode {
    let (text, code) = match error {
        CliError::Closed => return ExitCode::SUCCESS,
        CliError::Failed(text) => (text, 1),
        CliError::Usage(text) => (text, 2),
    };
    let text = output::printable_lines(text);
    // Where even this cannot be written the code still tells.
    let _ = writeln!(io::stderr(), "error: {text}");
    ExitCode::from(code)
}

/// A flag beats the environment; two flags that contradict each other are a mistake.
fn context(mut global: Global, matches: &ArgMatches) -> Result<Ctx, CliError> {
    let source = |id: &str| matches.value_source(id);
    let by_flag = |id: &str| source(id) == Some(ValueSource::CommandLine);
    if by_flag("data") && by_flag("url") {
        return Err(CliError::Usage(
            "--data and --url cannot be used together: is a server to be asked, or not?".into(),
        ));
    }
    if global.files.is_empty()
        && let Some(paths) = std::env::var_os("IOCAST_FILES")
    {
        global.files = std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    let place = match &global.url {
        Some(url) if !url.is_empty() && !by_flag("data") => Place::Server {
            url: url.clone(),
            token: global.token.clone().filter(|token| !token.is_empty()),
            ca_file: global.ca_file.clone().filter(|file| !file.as_os_str().is_empty()),
        },
        _ => Place::Data(global.data.clone()),
    };
    let data_is_default = source("data") == Some(ValueSource::DefaultValue);
    let out = Out::new(global.format, global.quiet);
    Ok(Ctx { global, out, meter: Arc::default(), place, data_is_default })
}

fn dispatch(command: Command, ctx: &Ctx) -> Outcome {
    match command {
        Command::Serve(args) => serve::serve(&args, ctx),
        // Before this, because it says itself how it ended.
        Command::Demo(_) => Ok(Exit::Done),
        Command::Apply(args) => apply::apply(&args, ctx),
        Command::Export(args) => export::export(&args, ctx),
        Command::Diff(args) => export::diff(&args, ctx),
        Command::Check(args) => check::check(&args, ctx),
        Command::Pull(args) => pull::pull(&args, ctx),
        Command::Share(args) => share::share(&args, ctx),
        Command::Rule(args) => rule::rule(&args, ctx),
        Command::Indicator(args) => indicator::indicator(&args, ctx),
        Command::Guard(args) => guard::guard(&args, ctx),
        Command::Target(args) => target::target(&args, ctx),
        Command::List(args) => list::list(&args, ctx),
        Command::Run(args) => run::run(&args, ctx),
        Command::Source(args) => source::source(&args, ctx),
        Command::Plan(args) => plan::plan(&args, ctx),
        Command::Connector(args) => connector::connector(&args, ctx),
        Command::Notify(args) => notify::notify(&args, ctx),
        Command::Notice(args) => notify::notice(&args, ctx),
        Command::Openapi(_) => openapi::openapi(ctx),
        Command::Status(_) => status::status(ctx),
        Command::Freeze(args) => status::freeze(&args, ctx),
        Command::Thaw(_) => status::thaw(ctx),
        Command::Clock(args) => status::clock(&args, ctx),
        Command::Config(args) => config::config(&args, ctx),
        Command::Secret(args) => secret::secret(&args, ctx),
        Command::User(args) => user::user(&args, ctx),
        Command::Audit(args) => audit::audit(&args, ctx),
        Command::Token(args) => token::token(&args, ctx),
        Command::Backup(args) => backup::backup(&args, ctx),
        Command::Restore(args) => backup::restore(&args, ctx),
        Command::Help(args) => help(&args, ctx),
    }
}

fn help(args: &HelpArgs, ctx: &Ctx) -> Outcome {
    if args.words.first().is_some_and(|word| word.starts_with("expr")) {
        ctx.out.text(expressions::CHEAT_SHEET)?;
        return Ok(Exit::Done);
    }
    let mut root = Cli::command();
    root.build();
    let mut found = &mut root;
    for word in &args.words {
        let path = found.get_bin_name().unwrap_or("iocast").to_owned();
        let Some(next) = found.find_subcommand_mut(word) else {
            return Err(CliError::Usage(format!(
                "`{path}` has no command `{word}`: `{path} --help` shows those there are"
            )));
        };
        found = next;
    }
    let text = found.render_long_help().to_string();
    ctx.out.text(&text)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;

    fn each(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&clap::Command, &str)) {
        visit(command, path);
        for next in command.get_subcommands() {
            each(next, &format!("{path} {}", next.get_name()), visit);
        }
    }

    fn built() -> clap::Command {
        let mut root = Cli::command().term_width(100);
        root.build();
        root
    }

    /// The words of an example, up to a remark, a pipe or a redirection.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        let mut chars = line.chars().peekable();
        let mut n_blanks = 0;
        while let Some(c) = chars.next() {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (Some('"'), '\\') => words.last_mut().unwrap().extend(chars.next()),
                (Some(_), c) => words.last_mut().unwrap().push(c),
                (None, '\'' | '"') => quote = Some(c),
                (None, '|' | '>' | '<') => break,
                (None, ' ') => {
                    n_blanks += 1;
                    if n_blanks == 3 {
                        break;
                    }
                    // An empty text in quotes is a word too.
                    if n_blanks == 1 {
                        words.push(String::new());
                    }
                    continue;
                }
                (None, c) => words.last_mut().unwrap().push(c),
            }
            n_blanks = 0;
        }
        if !line.ends_with("''") && words.last().is_some_and(String::is_empty) {
            words.pop();
        }
        words
    }

    #[test]
    fn definitions_hold() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_takes_the_name_of_a_global_option() {
        let root = built();
        let global: Vec<&str> =
            root.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().as_str()).collect();
        each(&root, "iocast", &mut |command, path| {
            for name in &global {
                let n = command.get_arguments().filter(|arg| arg.get_id() == name).count();
                assert!(n <= 1, "{path}: {name} stands for two things");
                let own = command.get_arguments().find(|arg| arg.get_id() == name);
                assert!(own.is_none_or(clap::Arg::is_global_set), "{path}: {name} is a global option");
            }
        });
    }

    #[test]
    fn every_command_teaches_by_examples_that_work() {
        let root = built();
        let mut wrong = Vec::new();
        each(&root, "iocast", &mut |command, path| {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| line.contains("iocast ")).collect();
            let examples: Vec<&&str> = lines
                .iter()
                .filter(|line| line.starts_with("iocast ") || line.starts_with("IOCAST_UPDATE=1 "))
                .collect();
            if examples.len() < 2 {
                wrong.push(format!("{path}: {} examples", examples.len()));
            }
            for example in examples {
                let words = words(example.trim_start_matches("IOCAST_UPDATE=1 "));
                match Cli::command().try_get_matches_from(&words) {
                    Err(error) if error.kind() != ErrorKind::DisplayHelp => {
                        wrong.push(format!("{path}: `{example}` as {words:?}: {error}"));
                    }
                    _ => {}
                }
            }
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn help_is_what_was_reviewed() {
        let root = built();
        let mut all = String::new();
        each(&root, "iocast", &mut |command, path| {
            let mut command = command.clone();
            // The options of every command are shown once.
            if path != "iocast" {
                command = command.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
            }
            all.push_str(&format!("$ {path} --help\n{}\n", command.render_long_help()));
        });
        expect_file!["help.expect"].assert_eq(&all);
    }

    #[test]
    fn a_flag_beats_the_environment() {
        let matches = |words: &[&str]| {
            let matches = Cli::command().try_get_matches_from(words).unwrap();
            let cli = Cli::from_arg_matches(&matches).unwrap();
            context(cli.global, &matches).map(|ctx| ctx.place)
        };
        let server = Place::Server { url: "http://127.0.0.1:1".into(), token: None, ca_file: None };
        assert_eq!(matches(&["iocast", "status", "--url", "http://127.0.0.1:1"]).unwrap(), server);
        assert_eq!(matches(&["iocast", "--url", "http://127.0.0.1:1", "status"]).unwrap(), server);
        assert_eq!(matches(&["iocast", "--data", "d", "status"]).unwrap(), Place::Data("d".into()));
        assert_eq!(matches(&["iocast", "status", "--data", "d"]).unwrap(), Place::Data("d".into()));
        assert!(matches(&["iocast", "--data", "d", "status", "--url", "http://x"]).is_err());
    }
}
