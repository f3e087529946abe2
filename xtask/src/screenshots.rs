//! Pictures of the console's pages over the demo, for people to look at, and what a browser complains about meanwhile.
//!
//! The built program, a data directory of its own and Chromium through chromedriver: the set-up form makes the account, so
//! the way in is tried too. A page that is wider than its window, or that the browser logs an error about, fails the task.
//! Nothing is compared with earlier pictures: fonts differ between machines.

use anyhow::{Context as _, Result, bail};
use chromium::Browser;
use serde_json::json;
use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
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
    ("deliveries-refused", "/activity/deliveries?state=refused"),
];
/// Lists whose first row is opened, and what the row says that is meant.
const FIRST_ROWS: &[(&str, &str, &str)] = &[
    ("indicator", "/indicators?sort=-reputation", ""),
    ("indicator-guarded", "/indicators?q=dropbox.com", ""),
    ("plan", "/plans", "waiting"),
    ("suspect", "/activity?kind=pull&subject=mirror", "suspect"),
    ("undoable", "/activity?kind=share", "accepted"),
    ("failed-run", "/activity?kind=pull&subject=down-mirror", ""),
    ("connection", "/connections", ""),
    ("rule", "/rules", ""),
    ("one-sharing", "/sharing", ""),
    ("target", "/targets", ""),
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
/// Posts that fill pages of settings: path, and the form without its session token.
const POSTED: &[(&str, &str)] = &[
    ("/settings/users", "name=grace&role=analyst&role=approver"),
    (
        "/settings/users",
        "name=someone.with-a-very-long-name%2Band-more%40department.example&role=viewer&role=auditor&role=operator",
    ),
    ("/settings/tokens", "name=border+firewall&scope=list&networks=10.1.0.0%2F16"),
    ("/settings/tokens", "name=dashboard&scope=read&expires_at=2027-01-31"),
    (
        "/settings/exceptions/propose",
        "value=google.com&target=block-names&reason=Our+own+page+lies+there%3A+until+it+has+moved.&until=2027-01-31",
    ),
];
/// What they are then.
const FILLED: &[(&str, &str)] = &[
    ("people-some", "/settings/users"),
    ("tokens-some", "/settings/tokens"),
    ("exceptions-some", "/settings/exceptions"),
    ("audit-some", "/activity/audit?who=ada"),
];
/// Pages of an exchange in which nothing is configured.
const EMPTY: &[(&str, &str)] = &[
    ("empty-overview", "/overview"),
    ("empty-indicators", "/indicators"),
    ("empty-connections", "/connections"),
    ("empty-rules", "/rules"),
    ("empty-sharing", "/sharing"),
    ("empty-activity", "/activity"),
    ("empty-plans", "/plans"),
];
/// What somebody sees who may only look.
const LOOKING_ON: &[(&str, &str)] = &[
    ("viewer-overview", "/overview"),
    ("viewer-connections", "/connections"),
    ("viewer-rule", "/configure/rule?key=strong-addresses"),
    ("viewer-refused", "/activity/audit"),
];
/// Longer than anybody would write, to see what gives way, and a rule of many groups.
const STRAINED: &str = r#"
[[tenant]]
name = "the-account-of-the-subsidiary-with-the-longest-name-we-have-ever"
allow_private = ["10.1.0.0/16", "10.2.0.0/16"]

[[connection]]
name = "a-connection-whose-name-is-as-long-as-any-name-may-ever-be-here1"
connector = "manual"
enabled = false

[[rule]]
name = "a-rule-whose-name-is-as-long-as-any-name-may-be-and-nobody-reads"
folder = "a-folder-of-some-length/another-one-below-it/and-a-third-of-the-same-length"
when = """((kind in (url, domain) and (tag in ("phishing", "c2") or (reputation >= 8 and not (severity = low or \
    confidence < 30)))) or (kind in (sha256, sha1, md5) and record(source = "eset" and reputation >= 7))) and not \
    (tag = "a tag that is rather long and has spaces in it" or value contains "an-uncommonly-long-part-of-a-value.example")"""
exceptions = [
  { name = "an exception with a name that goes on for longer than any label should", values = ["198.51.100.0/24", "203.0.113.0/24"] },
  { name = "second", tags = ["ours", "a partner's own tag"] },
]
"#;
const PASSWORD: &str = "four words for pictures";
/// That of who may only look.
const OTHER: &str = "other words for pictures";

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
    let shop = Shop { browser: Browser::start()?, out, wrong: RefCell::default() };

    // Nothing yet.
    let mut site = Site::serve(&binary, &root.join("target/tmp/screenshots-empty"), &[])?;
    shop.photograph(&site, "set-up", "/setup")?;
    shop.set_up(&site)?;
    EMPTY.iter().try_for_each(|(name, path)| shop.photograph(&site, name, path))?;
    // A page that is open when its server ends complains.
    shop.browser.open("about:blank")?;
    drop(site);

    // The demo.
    shop.browser.forget()?;
    site = Site::serve(&binary, &root.join("target/tmp/screenshots"), &[&["demo", "--once"]])?;
    shop.set_up(&site)?;
    PAGES.iter().try_for_each(|(name, path)| shop.photograph(&site, name, path))?;
    SENT.iter().try_for_each(|(name, path, then)| shop.photograph_after(&site, name, path, then))?;
    for (path, form) in POSTED {
        shop.browser.open(&format!("{}/account", site.address))?;
        let post = "const request = new XMLHttpRequest(); request.open('POST', arguments[0], false); \
                    request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded'); \
                    request.send('csrf=' + document.querySelector('[name=csrf]').value + '&' + arguments[1]);";
        shop.browser.run(post, &json!([path, form]))?;
    }
    FILLED.iter().try_for_each(|(name, path)| shop.photograph(&site, name, path))?;
    for (name, list, says) in FIRST_ROWS {
        shop.browser.open(&format!("{}{list}", site.address))?;
        let first = "return [...document.querySelectorAll('[data-href]')] \
                     .find((row) => row.innerText.includes(arguments[0]))?.dataset.href ?? ''";
        match shop.browser.run(first, &json!([says]))?.as_str() {
            Some(path) if !path.is_empty() => shop.photograph(&site, name, path)?,
            _ => println!("{name}: {list} has no such row"),
        }
    }
    shop.mistaken(&site)?;
    shop.sign_in_as_viewer(&site)?;
    LOOKING_ON.iter().try_for_each(|(name, path)| shop.photograph(&site, name, path))?;
    shop.browser.forget()?;
    shop.photograph(&site, "sign-in", "/sign-in")?;
    // A page that is open when its server ends complains.
    shop.browser.open("about:blank")?;
    drop(site);

    // Stopped, and strained.
    let strained = root.join("target/tmp/strained.toml");
    std::fs::write(&strained, STRAINED)?;
    let strained = strained.to_string_lossy();
    let data = root.join("target/tmp/screenshots-strained");
    site = Site::serve(
        &binary,
        &data,
        &[&["demo", "--once"], &["apply", "--yes", &strained], &["freeze", "--note", WHY]],
    )?;
    shop.set_up(&site)?;
    for (name, path) in [
        ("frozen-overview", "/overview"),
        ("long-tenants", "/tenants"),
        ("long-rules", "/rules"),
        ("long-rule", "/configure/rule?key=a-rule-whose-name-is-as-long-as-any-name-may-be-and-nobody-reads"),
        ("long-indicator", "/indicators?sort=value"),
    ] {
        shop.photograph(&site, name, path)?;
    }
    println!("pictures in {}", shop.out.display());
    let wrong = shop.wrong.into_inner();
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// Why it is stopped.
const WHY: &str = "the gateway's vendor has an outage, and answers with what it held last week";

/// An exchange that serves.
struct Site {
    /// With its scheme.
    address: String,
    /// For the first account.
    code: String,
    _server: Running,
}

impl Site {
    /// On a directory made anew, after these commands.
    fn serve(binary: &Path, data: &Path, commands: &[&[&str]]) -> Result<Site> {
        let _ = std::fs::remove_dir_all(data);
        std::fs::create_dir_all(data).with_context(|| format!("make {}", data.display()))?;
        for words in commands {
            let done = Command::new(binary).arg("--data").arg(data).args(*words).output()?;
            if !done.status.success() {
                bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
            }
        }
        let mut server = Command::new(binary);
        server.arg("--data").arg(data).args(["serve", "--listen", "127.0.0.1:0"]);
        let mut server = Running(server.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?);
        let (address, code) = greeting(&mut server)?;
        Ok(Site { address, code, _server: server })
    }
}

/// Who takes the pictures.
struct Shop {
    browser: Browser,
    out: PathBuf,
    /// What the browser complained about.
    wrong: RefCell<Vec<String>>,
}

impl Shop {
    /// The first account, by the form; ada is in then.
    fn set_up(&self, site: &Site) -> Result<()> {
        self.browser.open(&format!("{}/setup", site.address))?;
        let typed =
            [("Code", &*site.code), ("Your name", "ada"), ("Password", PASSWORD), ("Password, again", PASSWORD)];
        typed.iter().try_for_each(|(label, text)| self.browser.fill(label, text))?;
        self.browser.click("Set up")?;
        self.browser.find("//nav[@id='nav']").context("setting up does not lead in")?;
        Ok(())
    }

    /// Forms that were sent as nobody should.
    fn mistaken(&self, site: &Site) -> Result<()> {
        for (name, path, label, text) in [
            ("mistaken-rule", "/configure/rule", "Selects", "kind = ulr"),
            ("mistaken-taxii", "/configure/connection?connector=taxii", "Name", "has a blank"),
            ("mistaken-tenant", "/configure/tenant?connector=feed", "Days of the first pull", "soon"),
        ] {
            for (width, height) in WINDOWS {
                for theme in THEMES {
                    self.browser.look(width, height, theme)?;
                    self.browser.open(&format!("{}{path}", site.address))?;
                    self.browser.fill(label, text)?;
                    self.browser.click("Save")?;
                    self.browser.find("//em")?;
                    self.keep(name, width, theme, "422")?;
                }
            }
        }
        Ok(())
    }

    /// Makes somebody who may only look, and signs them in.
    fn sign_in_as_viewer(&self, site: &Site) -> Result<()> {
        self.browser.open(&format!("{}/overview", site.address))?;
        let make = "
            const done = arguments[0];
            const headers = { 'content-type': 'application/json', 'x-csrf-token': document.querySelector('[name=csrf]').value };
            const body = JSON.stringify({ name: 'vera', roles: ['viewer'] });
            fetch('/api/v1/users', { method: 'POST', headers, body }).then((a) => a.json()).then((a) => done(a.password));";
        let first = self.browser.run_async(make, &json!([]))?;
        let first = first.as_str().context("an account for who looks on")?.to_owned();
        self.browser.forget()?;
        self.browser.open(&format!("{}/sign-in", site.address))?;
        self.browser.fill("Name", "vera")?;
        self.browser.fill("Password", &first)?;
        self.browser.click("Sign in")?;
        self.browser.find("//nav[@id='nav']")?;
        self.photograph(site, "must-set-password", "/account")?;
        self.browser.open(&format!("{}/account", site.address))?;
        for (label, text) in [("The one there is", &*first), ("New", OTHER), ("New, again", OTHER)] {
            self.browser.fill(label, text)?;
        }
        self.browser.click("Set password")?;
        self.browser.find("//nav[@id='nav']").map(drop)
    }

    /// Takes all pictures of a page.
    fn photograph(&self, site: &Site, name: &str, path: &str) -> Result<()> {
        self.photograph_after(site, name, path, "")
    }

    /// Takes all pictures of the page that what is done on another one leads to.
    fn photograph_after(&self, site: &Site, name: &str, path: &str, then: &str) -> Result<()> {
        if !is_meant(name) {
            return Ok(());
        }
        for (width, height) in WINDOWS {
            for theme in THEMES {
                self.browser.look(width, height, theme)?;
                self.browser.open(&format!("{}{path}", site.address))?;
                if !then.is_empty() {
                    self.browser.run(&format!("document.documentElement.dataset.before = ''; {then}"), &json!([]))?;
                    self.browser.find("//html[not(@data-before)]").with_context(|| format!("{name} leads nowhere"))?;
                }
                let status = match name {
                    "not-here" => "404",
                    "viewer-refused" => "403",
                    _ => "none",
                };
                self.keep(name, width, theme, status)?;
            }
        }
        Ok(())
    }

    /// The page that is open, and what is wrong with it; an answer of this status is not.
    fn keep(&self, name: &str, width: u32, theme: &str, status: &str) -> Result<()> {
        let mut wrong = self.wrong.borrow_mut();
        let wide = "return document.documentElement.scrollWidth - window.innerWidth";
        if let Some(wide) = self.browser.run(wide, &json!([]))?.as_i64().filter(|wide| *wide > 0) {
            wrong.push(format!("{name} at {width}: {wide} px wider than the window"));
        }
        let complaints = self.browser.log()?.into_iter().filter(|line| !line.contains(status));
        wrong.extend(complaints.map(|line| format!("{name}: {line}")));
        let file = self.out.join(format!("{name}-{width}-{theme}.png"));
        std::fs::write(&file, self.browser.picture(4_000)?).with_context(|| format!("write {}", file.display()))
    }
}

/// Whether a picture is asked for: by the beginnings of names in IOCAST_SCREENSHOTS_ONLY; all where nothing is said.
fn is_meant(name: &str) -> bool {
    let only = std::env::var("IOCAST_SCREENSHOTS_ONLY").unwrap_or_default();
    only.is_empty() || only.split(',').any(|part| name.starts_with(part))
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
