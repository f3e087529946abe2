//! The API before schemathesis: every operation of the OpenAPI document, with what it allows and what it does not.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Bench, printed};

/// One of each thing, so that questions have answers.
const SITE: &str = r#"
[[connection]]
name = "bucket"
connector = "api-source"
[[connection]]
name = "edge"
connector = "list"
[[target]]
name = "block"
connection = "edge"
first_fill = "allow"
[[rule]]
name = "all"
when = "reputation >= 1"
[[sharing]]
source = "any"
rule = "all"
target = "block"
"#;

/// Bounded in time by the script.
pub(super) fn schemathesis(bench: &Bench) -> Result<String> {
    let mut exchange = bench.exchange("api")?;
    exchange.apply(SITE)?;
    exchange.run(&["indicator", "add", "203.0.113.9", "evil.example.com", "--reputation", "8"])?;
    exchange.run(&["share", "--all"])?;
    let served = exchange.serve()?;
    let st = bench.python.with_file_name("st");
    let mut command = Command::new("sh");
    command
        .arg(bench.root.join("counterparts/schemathesis.sh"))
        .args([&served.url, &served.token])
        .env("ST", st)
        .env("NO_COLOR", "1")
        .current_dir(&bench.dir);
    let said = printed(&mut command)?;
    let line = |word: &str| said.lines().map(str::trim).find(|line| line.contains(word));
    let cases = line(" generated,").context("it said nothing of what it did")?;
    let operations = line("Tested:").context("it said nothing of what it asked")?;
    Ok(format!("schemathesis 4.32.5: operations {}; cases {cases}", operations.to_lowercase()))
}
