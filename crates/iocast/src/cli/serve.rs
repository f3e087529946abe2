//! `serve` and `demo`: what goes on until it is stopped.

use super::{CliError, Ctx, Exit, Outcome};
use crate::app::OpenOptions;
use crate::demo::{self, DemoOptions};
use crate::serve::{self, DEFAULT_LISTEN, LogFormat, Relay, ServeOptions, SinkAt, Tls};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the server: the API, the served lists, and the schedule behind them
///
/// The first start makes an administrator's token and shows it once. It answers on this machine only, unless told
/// otherwise; to answer others it needs TLS, or a proxy that speaks it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast serve
  iocast --data /var/lib/iocast --files /srv/feeds serve --listen 127.0.0.1:8470
  iocast serve --listen 0.0.0.0:8470 --tls-cert chain.pem --tls-key key.pem
  iocast serve --listen 0.0.0.0:8470 --tls-self-signed iocast.example
  iocast serve --listen 10.0.0.5:8470 --behind-proxy 10.0.0.2/32
  iocast serve --audit-file /var/log/iocast/audit.log --audit-syslog tls://log.example
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
    /// Speak TLS with this certificate and those that vouch for it, PEM
    #[arg(long, env = "IOCAST_TLS_CERT", hide_env_values = true, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM without a password
    #[arg(long, env = "IOCAST_TLS_KEY", hide_env_values = true, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak TLS with a certificate made for these names and addresses of the server, that nobody vouches for
    ///
    /// It is made once, in the data directory, and its fingerprint is shown at each start.
    #[arg(long, value_name = "NAME", num_args = 0.., value_delimiter = ',', conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: Option<Vec<String>>,
    /// Network of a proxy in front that speaks TLS; may be repeated
    ///
    /// Its word on who asks (X-Forwarded-For) is believed, and nobody else's. Without TLS of its own the server then
    /// answers this machine and these networks only.
    #[arg(long, env = "IOCAST_BEHIND_PROXY", hide_env_values = true, value_name = "NETWORK", value_delimiter = ',')]
    behind_proxy: Vec<ipnet::IpNet>,
    /// Hand the audit log on to this file, that is only added to
    #[arg(long, env = "IOCAST_AUDIT_FILE", hide_env_values = true, value_name = "FILE")]
    audit_file: Option<PathBuf>,
    /// Hand the audit log on to a syslog server: tls://HOST:PORT, tcp://, udp:// or unix:///dev/log
    #[arg(long, env = "IOCAST_AUDIT_SYSLOG", hide_env_values = true, value_name = "URL")]
    audit_syslog: Option<Relay>,
    /// Authority that vouches for that server, PEM; without it those this machine trusts
    #[arg(
        long,
        env = "IOCAST_AUDIT_SYSLOG_CA",
        hide_env_values = true,
        value_name = "FILE",
        requires = "audit_syslog"
    )]
    audit_syslog_ca: Option<PathBuf>,
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
    let outside = crate::world::Outside { certificate: args.tls_cert.clone(), ..ctx.outside() };
    let open = OpenOptions { outside, ..OpenOptions::at(dir) };
    let tls = match (&args.tls_cert, &args.tls_key, &args.tls_self_signed) {
        (Some(cert), Some(key), _) => Some(Tls::Files { cert: cert.clone(), key: key.clone() }),
        (_, _, Some(names)) => Some(Tls::SelfSigned { names: names.clone() }),
        _ => None,
    };
    let mut audit = Vec::new();
    if let Some(file) = &args.audit_file {
        audit.push(SinkAt::File(std::path::absolute(file).map_err(CliError::failed)?));
    }
    if let Some(relay) = &args.audit_syslog {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
        };
        let ca_pem = args.audit_syslog_ca.as_ref().map(read).transpose()?;
        audit.push(SinkAt::Syslog(Relay { ca_pem, ..relay.clone() }));
    }
    let options = ServeOptions {
        listen: args.listen,
        is_running: !args.no_schedule,
        tls,
        behind: args.behind_proxy.clone(),
        audit,
    };
    serve::run(open, &options).map_err(|error| CliError::Failed(format!("{error:#}")))?;
    Ok(Exit::Done)
}

pub(crate) fn demo(args: &DemoArgs, ctx: &Ctx) -> Result<ExitCode, CliError> {
    let data = ctx.data_dir("demo")?.clone();
    Ok(demo::run(DemoOptions { data, once: args.once, listen: args.listen }))
}
