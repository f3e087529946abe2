//! `serve` and `demo`: what goes on until it is stopped.

use super::{CliError, Ctx, Exit, Outcome};
use crate::app::OpenOptions;
use crate::demo::{self, DemoOptions};
use crate::serve::{self, DEFAULT_LISTEN, LogFormat, ServeOptions};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Run the server: the API, the served lists, and the schedule behind them
///
/// The first start makes an administrator's token and shows it once. It answers on this machine only, unless told
/// otherwise, and speaks no TLS: put a server that does in front of it before it leaves the machine.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast serve
  iocast --data /var/lib/iocast --files /srv/feeds serve --listen 127.0.0.1:8470
  curl -H \"Authorization: Bearer $IOCAST_TOKEN\" http://127.0.0.1:8470/lists/block-ip

IOCAST_LOG sets what is logged: error, warn, info (default), debug.")]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// How log lines are written, to standard error
    #[arg(long, value_enum, default_value_t = Log::Text)]
    log: Log,
    /// Do not pull and share by itself: only answer
    #[arg(long)]
    no_schedule: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// See it work: real feeds, two simulated tools, rules, five targets; no network
///
/// Makes an exchange in the data directory, pulls, selects and shares, says what it does, and goes on with a short
/// interval until it is stopped.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast demo\n  iocast demo --once\n  iocast --data /tmp/demo demo --listen 127.0.0.1:8471"
)]
pub(crate) struct DemoArgs {
    /// End after the final table
    #[arg(long)]
    once: bool,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,
}

pub(crate) fn serve(args: &ServeArgs, ctx: &Ctx) -> Outcome {
    let dir = ctx.data_dir("serve")?;
    serve::init_log(match args.log {
        Log::Text => LogFormat::Text,
        Log::Json => LogFormat::Json,
    });
    let open = OpenOptions { outside: ctx.outside(), ..OpenOptions::at(dir) };
    let options = ServeOptions { listen: args.listen, is_running: !args.no_schedule };
    serve::run(open, &options).map_err(|error| CliError::Failed(format!("{error:#}")))?;
    Ok(Exit::Done)
}

pub(crate) fn demo(args: &DemoArgs, ctx: &Ctx) -> Result<ExitCode, CliError> {
    let data = ctx.data_dir("demo")?.clone();
    Ok(demo::run(DemoOptions { data, once: args.once, listen: args.listen }))
}
