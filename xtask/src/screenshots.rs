//! Pictures of the console's pages over the demo, for people to look at, and what a browser complains about meanwhile.
//!
//! The built program, a data directory of its own and Chromium through chromedriver: the set-up form makes the account, so
//! the way in is tried too. A page that is wider than its window, or that the browser logs an error about, fails the task.
//! Nothing is compared with earlier pictures: fonts differ between machines.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
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
    ("not-here", "/nothing/here"),
];
/// Lists whose first row is opened.
const FIRST_ROWS: &[(&str, &str)] = &[
    ("indicator", "/indicators?sort=-reputation"),
    ("plan", "/plans"),
    ("connection", "/connections"),
    ("rule", "/rules"),
    ("one-sharing", "/sharing"),
    ("target", "/targets"),
    ("person", "/settings/users"),
];
/// Forms that are sent once the empty pages are pictured: path and fields, as a browser writes them.
const SENT: &[(&str, &str)] = &[
    ("/settings/users", "name=grace&role=analyst&role=approver"),
    (
        "/settings/users",
        "name=someone.with-a-very-long-name%2Band-more%40department.example&role=viewer&role=auditor&role=operator",
    ),
    ("/settings/tokens", "name=border+firewall&scope=list"),
    ("/settings/tokens", "name=dashboard&scope=read&expires_at=2027-01-31"),
    (
        "/settings/exceptions/propose",
        "value=google.com&target=block-names&reason=Our+own+page+lies+there%3A+until+it+has+moved.&until=2027-01-31",
    ),
    (
        "/settings/channels/one",
        "channel=webhook&name=chat&enabled=on&settings.url=https%3A%2F%2Fchat.example%2Fhook&on=frozen&on=denied",
    ),
    ("/settings/backup", "name=today.db"),
    ("/freeze", "note=A+feed+lists+half+of+the+internet"),
];
/// And the pages that show what came of it.
const FILLED: &[(&str, &str)] = &[
    ("settings-frozen", "/settings"),
    ("people-some", "/settings/users"),
    ("tokens-some", "/settings/tokens"),
    ("exceptions-some", "/settings/exceptions"),
    ("channels-some", "/settings/channels"),
    ("backup-some", "/settings/backup"),
    ("notices-some", "/activity/notices"),
    ("audit-some", "/activity/audit?who=ada"),
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
    let data = root.join("target/tmp/screenshots");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
    let demo = Command::new(&binary).arg("--data").arg(&data).args(["demo", "--once"]).output()?;
    if !demo.status.success() {
        bail!("the demo: {}", String::from_utf8_lossy(&demo.stderr));
    }
    let mut server = Command::new(&binary);
    server.arg("--data").arg(&data).args(["serve", "--listen", "127.0.0.1:0"]);
    let mut server = Running(server.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?);
    let (address, code) = greeting(&mut server)?;
    let (_driver, port) = driver()?;
    let browser = Browser::new(port)?;
    let mut wrong = Vec::new();

    photograph(&browser, &address, "set-up", "/setup", &out, &mut wrong)?;
    browser.open(&format!("{address}/setup"))?;
    browser.run(&format!(
        "for (const [k, v] of Object.entries({})) document.querySelector(`[name=${{k}}]`).value = v; \
         document.querySelector('form').requestSubmit();",
        json!({ "code": code, "name": "ada", "password": PASSWORD, "again": PASSWORD })
    ))?;
    // The driver looks until it is there.
    browser.ask("timeouts", &json!({ "implicit": 10_000 }))?;
    if let Err(error) = browser.ask("element", &json!({ "using": "css selector", "value": "nav.side" })) {
        bail!("setting up does not lead in: {error}: {}", browser.run("return document.body.innerText")?);
    }
    for (name, path) in PAGES {
        photograph(&browser, &address, name, path, &out, &mut wrong)?;
    }
    for (name, list) in FIRST_ROWS {
        browser.open(&format!("{address}{list}"))?;
        let first = browser.run("return document.querySelector('[data-href]')?.dataset.href ?? ''")?;
        match first.as_str() {
            Some(path) if !path.is_empty() => photograph(&browser, &address, name, path, &out, &mut wrong)?,
            _ => println!("{name}: {list} is empty"),
        }
    }
    for (path, form) in SENT {
        browser.open(&format!("{address}/account"))?;
        browser.run(&format!(
            "const request = new XMLHttpRequest(); request.open('POST', {path:?}, false); \
             request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded'); \
             request.send('csrf=' + document.querySelector('[name=csrf]').value + '&' + {form:?});"
        ))?;
    }
    for (name, path) in FILLED {
        photograph(&browser, &address, name, path, &out, &mut wrong)?;
    }
    // What is shown once has no address of its own.
    browser.open(&format!("{address}/account"))?;
    browser.run(&format!(
        "const form = document.querySelector('[action=\"/account/second-factor\"]'); \
         form.elements.password.value = {PASSWORD:?}; form.requestSubmit();"
    ))?;
    browser.ask("element", &json!({ "using": "css selector", "value": "svg.qr" }))?;
    pictures(&browser, None, "second-factor", &out, &mut wrong)?;
    println!("pictures in {}", out.display());
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// Takes all pictures of a page.
fn photograph(
    browser: &Browser,
    address: &str,
    name: &str,
    path: &str,
    out: &Path,
    wrong: &mut Vec<String>,
) -> Result<()> {
    pictures(browser, Some(&format!("{address}{path}")), name, out, wrong)
}

/// The same; None: of the page that is open.
fn pictures(browser: &Browser, url: Option<&str>, name: &str, out: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for (width, height) in WINDOWS {
        for theme in THEMES {
            browser.look(width, height, theme)?;
            if let Some(url) = url {
                browser.open(url)?;
            }
            let wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth")?;
            if wide.as_i64().is_some_and(|wide| wide > 0) {
                wrong.push(format!("{name} at {width}: {wide} px wider than the window"));
            }
            for line in browser.log()? {
                let expected = name == "not-here" && line.contains("404");
                if !expected {
                    wrong.push(format!("{name}: {line}"));
                }
            }
            let png = browser.picture()?;
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

fn driver() -> Result<(Running, u16)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Running(command.spawn().context("chromedriver (Debian: chromium-driver) is needed")?);
    let mut lines = BufReader::new(child.0.stdout.take().context("chromedriver's words")?).lines();
    for line in &mut lines {
        if let Some((_, port)) = line?.split_once("successfully on port ") {
            let port = port.trim_end_matches('.').parse().context("chromedriver's port")?;
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((child, port));
        }
    }
    bail!("chromedriver did not start")
}

/// A browser, through WebDriver.
struct Browser {
    port: u16,
    session: String,
}

impl Browser {
    fn new(port: u16) -> Result<Browser> {
        let args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"];
        let wanted = json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } });
        let made = call(port, "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }))?;
        let session = made["sessionId"].as_str().context("a session of the browser")?.to_owned();
        Ok(Browser { port, session })
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        call(self.port, &format!("/session/{}/{what}", self.session), body)
    }

    fn devtools(&self, command: &str, params: &Value) -> Result<Value> {
        self.ask("goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    fn open(&self, url: &str) -> Result<()> {
        self.ask("url", &json!({ "url": url })).map(drop)
    }

    fn run(&self, script: &str) -> Result<Value> {
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn look(&self, width: u32, height: u32, theme: &str) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.devtools("Emulation.setEmulatedMedia", &media).map(drop)
    }

    /// What the browser has complained about since it was asked last.
    fn log(&self) -> Result<Vec<String>> {
        let entries = self.ask("se/log", &json!({ "type": "browser" }))?;
        let serious = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        let words = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        Ok(entries.as_array().into_iter().flatten().filter(serious).map(words).collect())
    }

    /// The whole page as PNG, to 4,000 px.
    fn picture(&self) -> Result<Vec<u8>> {
        let size = self.run("return [innerWidth, Math.min(document.documentElement.scrollHeight, 4000)]")?;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let taken = self.devtools(
            "Page.captureScreenshot",
            &json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }),
        )?;
        Ok(unpacked(taken["data"].as_str().context("a picture")?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = request(self.port, "DELETE", &format!("/session/{}", self.session), "");
    }
}

fn call(port: u16, path: &str, body: &Value) -> Result<Value> {
    let mut answer: Value = serde_json::from_slice(&request(port, "POST", path, &body.to_string())?)?;
    let value = answer["value"].take();
    if let Some(error) = value["error"].as_str() {
        bail!("{path}: {error}: {}", value["message"].as_str().unwrap_or_default());
    }
    Ok(value)
}

/// HTTP to a server on this machine that says how long its answers are.
fn request(port: u16, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Base64 to bytes; what is none of its letters is passed over.
fn unpacked(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut held, mut n_bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for six in text.bytes().filter_map(digit) {
        held = held << 6 | u32::from(six);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            out.push((held >> n_bits & 0xff) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_unpacked() {
        for (text, expect) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9v\nYmFy", "foobar")] {
            assert_eq!(unpacked(text), expect.as_bytes(), "{text}");
        }
    }
}
