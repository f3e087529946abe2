//! django-oauth-toolkit, a provider of identities: people sign in at it and are what their groups there say.

use std::io::Read;
use std::process::{Child, Stdio};

use anyhow::Result;

use super::exchange::start;
use super::{Bench, printed};

const CLIENT: &str = "iocast";
const SECRET: &str = "example-client-secret";

/// To the provider and back, with the right groups, others and none; with a code that was used and a secret that is wrong.
pub(super) fn sign_in(bench: &Bench) -> Result<String> {
    let exchange = bench.exchange("data")?;
    // Somebody must be able to come in without any provider.
    exchange.run(&["user", "add", "ada", "--role", "administrator"])?;
    let served = exchange.serve()?;
    let mut command = bench.script("oidc_provider.py");
    command.args([&format!("{}/sign-in/at/corp/back", served.url), CLIENT, SECRET]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let stdout = |child: &mut Child| child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let (_provider, port) = start(&mut command, stdout, |line| line.parse::<u16>().ok())?;
    let mut browser = bench.script("oidc_browser.py");
    browser.args([&served.url, &served.token, &format!("http://127.0.0.1:{port}"), CLIENT, SECRET]);
    let seen = printed(&mut browser)?;
    Ok(format!("django-oauth-toolkit 3.4.1: {}", seen.trim()))
}
