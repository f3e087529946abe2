//! Pictures of the console's pages over the demo, for people to look at, and what a browser complains about meanwhile.
//!
//! The built program, a data directory of its own and Chromium through chromedriver: the set-up form makes the account, so
//! the way in is tried too. A page that is wider than its window, or that the browser logs an error about, fails the task.
//! Nothing is compared with earlier pictures: fonts differ between machines.

use anyhow::{Context as _, Result, bail};
use chromium::Browser;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Width and height of the windows.
const WINDOWS: [(u32, u32); 2] = [(1280, 900), (390, 844)];
const THEMES: [&str; 2] = ["light", "dark"];
/// Name of the picture, and the page.
const PAGES: &[(&str, &str)] = &[
    ("overview", "/overview"),
    ("indicators", "/indicators"),
    ("indicators-filter", "/indicators?q=kind%20%3D%20domain%20and%20reputation%20%3E%3D%207&col=tags&col=comment"),
    ("indicators-mistake", "/indicators?q=kind%20%3D%20ulr"),
    ("indicators-none", "/indicators?q=value%20%3D%20%22nothing.example%22"),
    (
        "indicators-builder",
        "/indicators?build=1&q=kind%20in%20(domain%2C%20url)%20and%20(reputation%20%3E%3D%207%20or%20tag%20%3D%20%22kit%22)",
    ),
    ("indicators-export", "/indicators/export?q=kind%20%3D%20domain%20or%20reputation%20%3E%3D%209"),
    ("indicators-export-none", "/indicators/export?q=value%20%3D%20%22nothing.example%22"),
    ("indicators-add", "/indicators/add"),
    ("indicators-paste", "/indicators/paste"),
    ("indicators-saved-none", "/indicators/saved"),
    ("activity", "/activity"),
    ("run", "/activity/runs/1"),
    ("deliveries", "/activity/deliveries"),
    ("audit", "/activity/audit"),
    ("plans", "/plans"),
    ("connectors", "/connectors"),
    ("connections", "/connections"),
    ("tenants", "/tenants"),
    ("rules", "/rules"),
    ("sharing", "/sharing"),
    ("targets", "/targets"),
    ("new-rule", "/configure/rule"),
    ("sharing-test", "/sharing/test?source=any&rule=malware-files&target=edr-block"),
    ("sharing-test-unsaved", "/sharing/test?source=ipsum&rule=strong-addresses&target=block-addresses&days=30"),
    ("target-edr", "/targets/edr-block"),
    ("target-ledger", "/targets/block-addresses/ledger"),
    ("target-cut", "/targets/edr-block/cut"),
    ("target-pins", "/targets/edr-block/pins"),
    ("connection-mixed", "/connections/merged-badly"),
    ("connection-failing", "/connections/down-mirror"),
    ("connection-two-way", "/connections/edr"),
    ("rules-folder", "/rules?folder=network"),
    ("rule-clone", "/configure/rule?like=strong-addresses"),
    ("new-sharing", "/configure/sharing"),
    ("new-target", "/configure/target?connection=edge"),
    ("new-taxii", "/configure/connection?connector=taxii"),
    ("refused", "/activity/refused"),
    ("notices", "/activity/notices"),
    ("audit-found", "/activity/audit?who=ada&action=user"),
    ("audit-verify", "/activity/audit/verify"),
    ("settings", "/settings"),
    ("people", "/settings/users"),
    ("tokens", "/settings/tokens?all=1"),
    ("guard", "/settings/guard"),
    ("guard-tested", "/settings/guard?value=https%3A%2F%2Fdocs.google.com%2Fx"),
    ("guard-mistake", "/settings/guard?value=not%20a%20value"),
    ("guard-list", "/settings/guard/lists/shipped:resolvers"),
    ("new-guard-list", "/settings/guard/list"),
    ("exceptions", "/settings/exceptions?value=google.com"),
    ("policy", "/settings/policy"),
    ("channels", "/settings/channels"),
    ("new-channel", "/settings/channels/one?channel=mail"),
    ("backup", "/settings/backup"),
    ("about", "/settings/about"),
    ("licences", "/settings/about/licences"),
    ("account", "/account"),
    ("settings-sign-in", "/settings/sign-in"),
    ("not-here", "/nothing/here"),
];
/// Lists whose first row is opened.
const FIRST_ROWS: &[(&str, &str)] = &[
    ("indicator", "/indicators?sort=-reputation"),
    ("plan", "/plans"),
    ("connection", "/connections"),
    ("rule", "/rules"),
    ("one-sharing", "/sharing"),
    ("plan-waiting", "/plans?status=waiting"),
    ("plan-approved", "/plans?status=approved"),
    ("plan-rejected", "/plans?status=rejected"),
    ("suspect", "/activity?status=suspect"),
    ("target", "/targets"),
    ("person", "/settings/users"),
];
/// Pages that a form leads to: name, the page of the form, and what is done on it.
const SENT: &[(&str, &str, &str)] = &[
    (
        "indicators-bulk",
        "/indicators?q=kind%20%3D%20domain",
        "document.querySelector('form[action$=bulk] [value=found]').click()",
    ),
    (
        "indicators-bulk-follows",
        "/indicators?q=reputation%20%3E%3D%207",
        "const form = document.querySelector('form[action$=bulk]'); \
         for (const [name, value] of [['act', 'verdict'], ['verdict', 'safe'], ['scope', 'found']]) \
         form.append(Object.assign(document.createElement('input'), { name, value })); form.submit()",
    ),
    (
        "indicators-bulk-wrong",
        "/indicators?q=reputation%20%3E%3D%207",
        "const form = document.querySelector('form[action$=bulk]'); \
         for (const [name, value] of [['act', 'tag'], ['scope', 'found']]) \
         form.append(Object.assign(document.createElement('input'), { name, value })); form.submit()",
    ),
    (
        "indicators-found",
        "/indicators/paste",
        "document.querySelector('textarea').value = `The group called hxxps://login[.]portal-secure[.]net/gate.php?id=\
         ${'a1'.repeat(160)} from 45[.]155[.]205[.]233, and again 45.155.205.233. It looked up its address at 8.8.8.8. \
         The dropper is 44d88612fea8a8f36de82e1278abb02f, the mail came from billing@invoice-desk[.]net. \
         See report.final.v2 and 999.1.1.1.`; document.querySelector('main form').requestSubmit()",
    ),
    (
        "indicators-added",
        "/indicators/add",
        "document.querySelector('textarea').value = '45.155.205.233\\nnonsense\\nhxxp://evil[.]example/x\\n45.155.205.233'; \
         document.querySelector('main form').requestSubmit()",
    ),
    (
        "indicators-saved",
        "/indicators?q=kind%20%3D%20domain%20and%20reputation%20%3E%3D%207",
        "const form = document.querySelector('form[action$=saved]'); form.querySelector('[name=name]').value = 'Bad names'; \
         form.requestSubmit()",
    ),
    (
        "indicator-long",
        "/indicators/add",
        "document.querySelector('textarea').value = 'http://long.example/' + 'a1b2'.repeat(300); \
         document.querySelector('[name=tags]').value = 'kit, a-tag-that-goes-on-and-on-and-on-and-on-and-on, lab'; \
         document.querySelector('[name=comment]').value = 'by hand, ' + 'and very sure of it '.repeat(9); \
         fetch('/indicators/add', { method: 'POST', body: new URLSearchParams(new FormData(document.querySelector('main form'))) }) \
         .then(() => location.assign('/indicators/url/' + encodeURIComponent(document.querySelector('textarea').value)))",
    ),
];
const PASSWORD: &str = "four words for pictures";

/// Something that ends with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(root: &Path, out: Option<&str>) -> Result<()> {
    let out = out.map_or_else(|| root.join("target/screenshots"), |out| root.join(out));
    std::fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    let built = Command::new("cargo").args(["build", "-p", "iocast", "--all-features"]).current_dir(root).status()?;
    if !built.success() {
        bail!("iocast does not build");
    }
    let binary = root.join("target/debug/iocast");
    // What somebody made for it, with plans that wait, say; else the demo.
    let data = match std::env::var_os("IOCAST_SCREENSHOTS_DATA") {
        Some(data) => std::path::PathBuf::from(data),
        None => {
            let data = root.join("target/tmp/screenshots");
            let _ = std::fs::remove_dir_all(&data);
            std::fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
            let demo = Command::new(&binary).arg("--data").arg(&data).args(["demo", "--once"]).output()?;
            if !demo.status.success() {
                bail!("the demo: {}", String::from_utf8_lossy(&demo.stderr));
            }
            data
        }
    };
    let mut server = Command::new(&binary);
    server.arg("--data").arg(&data).args(["serve", "--listen", "127.0.0.1:0"]);
    let mut server = Running(server.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?);
    let (address, code) = greeting(&mut server)?;
    let browser = Browser::start()?;
    let mut wrong = Vec::new();

    photograph(&browser, &address, "set-up", "/setup", None, &out, &mut wrong)?;
    browser.open(&format!("{address}/setup"))?;
    for (label, text) in [("Code", &*code), ("Your name", "ada"), ("Password", PASSWORD), ("Password, again", PASSWORD)]
    {
        browser.fill(label, text)?;
    }
    browser.click("Set up")?;
    browser.find("//nav[@id='nav']").context("setting up does not lead in")?;
    let only = std::env::var("IOCAST_SCREENSHOTS_ONLY").unwrap_or_default();
    let is_meant = |name: &str| only.is_empty() || only.split(',').any(|part| name.starts_with(part));
    for (name, path) in PAGES.iter().filter(|(name, _)| is_meant(name)) {
        photograph(&browser, &address, name, path, None, &out, &mut wrong)?;
    }
    for (name, path, then) in SENT.iter().filter(|(name, ..)| is_meant(name)) {
        photograph(&browser, &address, name, path, Some(then), &out, &mut wrong)?;
    }
    for (name, list) in FIRST_ROWS.iter().filter(|(name, _)| is_meant(name)) {
        browser.open(&format!("{address}{list}"))?;
        let first = browser.run("return document.querySelector('[data-href]')?.dataset.href ?? ''", &json!([]))?;
        match first.as_str() {
            Some(path) if !path.is_empty() => photograph(&browser, &address, name, path, None, &out, &mut wrong)?,
            _ => println!("{name}: {list} is empty"),
        }
    }
    println!("pictures in {}", out.display());
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// Takes all pictures of a page.
fn photograph(
    browser: &Browser,
    address: &str,
    name: &str,
    path: &str,
    then: Option<&str>,
    out: &Path,
    wrong: &mut Vec<String>,
) -> Result<()> {
    for (width, height) in WINDOWS {
        for theme in THEMES {
            browser.look(width, height, theme)?;
            browser.open(&format!("{address}{path}"))?;
            if let Some(then) = then {
                browser.run(&format!("document.documentElement.dataset.before = ''; {then}"), &json!([]))?;
                browser.find("//html[not(@data-before)]").with_context(|| format!("{name} leads nowhere"))?;
            }
            let wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth", &json!([]))?;
            if wide.as_i64().is_some_and(|wide| wide > 0) {
                wrong.push(format!("{name} at {width}: {wide} px wider than the window"));
            }
            for line in browser.log()? {
                let expected = name == "not-here" && line.contains("404");
                if !expected {
                    wrong.push(format!("{name}: {line}"));
                }
            }
            let png = browser.picture(4_000)?;
            let file = out.join(format!("{name}-{width}-{theme}.png"));
            std::fs::write(&file, png).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Where the server listens, and the code for the first account.
fn greeting(server: &mut Running) -> Result<(String, String)> {
    let mut lines = BufReader::new(server.0.stderr.take().context("the server's words")?).lines();
    let mut code = String::new();
    let mut is_next = false;
    for line in &mut lines {
        let line = line?;
        let text = line.trim();
        if text.starts_with("Nobody has an account yet") {
            is_next = true;
        } else if is_next && !text.is_empty() {
            text.clone_into(&mut code);
            is_next = false;
        }
        if let Some(address) = text.strip_prefix("listening on ") {
            let address = address.to_owned();
            // It must go on being read.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((address, code));
        }
    }
    bail!("the server ended before it listened")
}
