//! Chromium through WebDriver, for the tests that do as a person does and for the pictures. Nothing that is shipped
//! imports it.
//!
//! It is a dozen calls of a protocol that is JSON over HTTP on this machine. The crates for it are async, bring 30 and
//! more others, and one of them under the MPL; what they add is not used here. It never sleeps: the driver itself looks
//! again until what is asked for is there, or [`PATIENCE`] is over.

mod wire;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long something may take to come up on a page.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long one look at a page takes that is loaded again until something is there.
const GLANCE: Duration = Duration::from_millis(250);
/// What WebDriver calls a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Finds the control that a label, an `aria-label` or a placeholder names, as a person does: among those one can see.
/// `Where / Name`: in the box with that heading. `Name #2`: the second of that name.
const CONTROL: &str = r#"
    const [asked] = arguments;
    const clean = (text) => (text ?? "").replace(/\s+/g, " ").trim();
    let [where, name] = asked.includes(" / ") ? asked.split(" / ") : ["", asked];
    const nth = Number(name.match(/ #(\d+)$/)?.[1] ?? 1);
    name = name.replace(/ #\d+$/, "");
    const said = (at) => {
        const label = at.labels?.[0];
        const words = label ? (label.querySelector("span") ?? label).textContent : at.ariaLabel;
        return clean(words ?? at.placeholder).replace(/ \(needed\)$/, "");
    };
    const head = (box) => clean(box.querySelector(":scope > legend, :scope > summary, :scope > header > h2")?.textContent);
    const inside = (at) => {
        for (let box = at.parentElement; where && box; box = box.parentElement) if (head(box) === where) return true;
        return !where;
    };
    const all = [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
        .filter((at) => at.checkVisibility({ visibilityProperty: true }) && inside(at));
    const exact = all.filter((at) => said(at) === name);
    return (exact.length ? exact : all.filter((at) => said(at).startsWith(name)))[nth - 1] ?? null;"#;

/// Why there is no browser to test with; None: there is one.
pub fn missing() -> Option<String> {
    let runs = |name: &str| {
        let mut command = Command::new(name);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs("chromedriver") {
        return Some("chromedriver is missing (Debian: apt-get install chromium-driver)".to_owned());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    if !names.into_iter().any(runs) {
        return Some("chromium is missing (Debian: apt-get install chromium)".to_owned());
    }
    None
}

/// Something that ends with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A browser with a profile of its own, and one window.
pub struct Browser {
    port: u16,
    session: String,
    // Last: it is needed to end the session.
    _driver: Running,
}

impl Browser {
    /// Starts chromedriver on a free port, and a headless Chromium.
    ///
    /// # Errors
    /// What is missing, or what the driver says.
    pub fn start() -> Result<Browser> {
        let (driver, port) = driver()?;
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--lang=en-GB",
        ];
        let wanted = json!({
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
            "unhandledPromptBehavior": "ignore",
            "timeouts": { "implicit": millis(PATIENCE), "script": 60_000 },
        });
        let made = wire::call(port, "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }))?;
        let session = made["sessionId"].as_str().context("a session of the browser")?.to_owned();
        Ok(Browser { port, session, _driver: driver })
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        wire::call(self.port, &format!("/session/{}/{what}", self.session), body)
    }

    /// Sends a command of the DevTools protocol.
    ///
    /// # Errors
    /// What the browser says.
    pub fn devtools(&self, command: &str, params: &Value) -> Result<Value> {
        self.ask("goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// Opens an address and waits until it is loaded.
    ///
    /// # Errors
    /// An address that cannot be opened.
    pub fn open(&self, url: &str) -> Result<()> {
        self.ask("url", &json!({ "url": url })).map(drop)
    }

    /// The address of the page.
    ///
    /// # Errors
    /// What the browser says.
    pub fn address(&self) -> Result<String> {
        let text = self.run("return location.href", &json!([]))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a function's body in the page; the page's policy does not bind it.
    ///
    /// # Errors
    /// What the script throws.
    pub fn run(&self, script: &str, args: &Value) -> Result<Value> {
        self.ask("execute/sync", &json!({ "script": script, "args": args }))
    }

    /// The same for one that calls its last argument when it is done, within a minute.
    ///
    /// # Errors
    /// What the script throws.
    pub fn run_async(&self, script: &str, args: &Value) -> Result<Value> {
        self.ask("execute/async", &json!({ "script": script, "args": args }))
    }

    /// Runs a script in every page from now on, before anything of the page itself.
    ///
    /// # Errors
    /// What the browser says.
    pub fn before_each_page(&self, script: &str) -> Result<()> {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script })).map(drop)
    }

    /// Sets the window's size, and whether the person likes it `light` or `dark`.
    ///
    /// # Errors
    /// What the browser says.
    pub fn look(&self, width: u32, height: u32, theme: &str) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.devtools("Emulation.setEmulatedMedia", &media).map(drop)
    }

    /// What the browser has complained about since it was asked last.
    ///
    /// # Errors
    /// What the browser says.
    pub fn log(&self) -> Result<Vec<String>> {
        let entries = self.ask("se/log", &json!({ "type": "browser" }))?;
        let serious = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        let words = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        Ok(entries.as_array().into_iter().flatten().filter(serious).map(words).collect())
    }

    /// The whole page as PNG, to so many pixels of height.
    ///
    /// # Errors
    /// What the browser says.
    pub fn picture(&self, max_height: u32) -> Result<Vec<u8>> {
        let script = "return [innerWidth, Math.min(document.documentElement.scrollHeight, arguments[0])]";
        let size = self.run(script, &json!([max_height]))?;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.devtools("Page.captureScreenshot", &params)?;
        BASE64.decode(taken["data"].as_str().context("a picture")?).context("a picture")
    }

    /// Everything that can be read on the page.
    ///
    /// # Errors
    /// What the browser says.
    pub fn text(&self) -> Result<String> {
        let text = self.run("return document.body.innerText", &json!([]))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until there is an element that an XPath names. Gives a reference to it.
    ///
    /// # Errors
    /// There is none after [`PATIENCE`]; what the page says instead.
    pub fn find(&self, xpath: &str) -> Result<Value> {
        match self.ask("element", &json!({ "using": "xpath", "value": xpath })) {
            Ok(element) => Ok(element),
            Err(error) => bail!(
                "{error:#}\n{xpath} is not on {}, which says\n{}",
                self.address().unwrap_or_default(),
                self.text().unwrap_or_default()
            ),
        }
    }

    /// Whether there is one now.
    ///
    /// # Errors
    /// What the browser says.
    pub fn has(&self, xpath: &str) -> Result<bool> {
        let script = "return document.evaluate(arguments[0], document, null, XPathResult.BOOLEAN_TYPE).booleanValue";
        let there = self.run(script, &json!([format!("boolean({xpath})")]))?;
        Ok(there.as_bool() == Some(true))
    }

    /// Waits until the page says this somewhere, to be read.
    ///
    /// # Errors
    /// It does not.
    pub fn says(&self, text: &str) -> Result<()> {
        let text = quoted(text);
        self.find(&format!("//body//*[not(self::script)][contains(normalize-space(.), {text})]")).map(drop)
    }

    /// Loads an address again and again until the page has what an XPath names.
    ///
    /// # Errors
    /// It has not within [`PATIENCE`] times four.
    pub fn reload_until(&self, url: &str, xpath: &str) -> Result<()> {
        let begin = Instant::now();
        self.patience(GLANCE)?;
        let outcome = loop {
            self.open(url)?;
            match self.find(xpath) {
                Ok(_) => break Ok(()),
                Err(error) if begin.elapsed() > PATIENCE * 4 => break Err(error),
                Err(_) => {}
            }
        };
        self.patience(PATIENCE)?;
        outcome
    }

    fn patience(&self, time: Duration) -> Result<()> {
        self.ask("timeouts", &json!({ "implicit": millis(time) })).map(drop)
    }

    /// Clicks on an element that an XPath names, when it is there.
    ///
    /// # Errors
    /// There is none, or it cannot be clicked.
    pub fn click_at(&self, xpath: &str) -> Result<()> {
        let element = self.find(xpath)?;
        self.on(&element, "click", &json!({})).with_context(|| format!("click {xpath}"))
    }

    /// Clicks on the button, link or summary with this text or name.
    ///
    /// # Errors
    /// There is none, or it cannot be clicked.
    pub fn click(&self, text: &str) -> Result<()> {
        let text = quoted(text);
        self.click_at(&format!(
            "//*[self::button or self::a or self::summary][not(ancestor::details[not(@open)] and not(self::summary))]\
             [normalize-space(.)={text} or @aria-label={text}]"
        ))
    }

    /// Types into the field with this label, in place of what is in it.
    ///
    /// # Errors
    /// There is no such field, or it takes nothing.
    pub fn fill(&self, label: &str, text: &str) -> Result<()> {
        let element = self.control(label)?;
        self.on(&element, "clear", &json!({})).with_context(|| format!("clear {label}"))?;
        self.on(&element, "value", &json!({ "text": text })).with_context(|| format!("type into {label}"))
    }

    /// Waits until the field with this label holds this text.
    ///
    /// # Errors
    /// It does not.
    pub fn find_value(&self, label: &str, text: &str) -> Result<()> {
        let element = self.control(label)?;
        let begin = Instant::now();
        loop {
            let value = self.run("return arguments[0].value", &json!([element]))?;
            if value == text {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{label} holds {value}, not {text}");
            }
        }
    }

    /// Ticks, or unticks, the box or choice with this label.
    ///
    /// # Errors
    /// There is no such box.
    pub fn tick(&self, label: &str) -> Result<()> {
        let element = self.control(label)?;
        self.on(&element, "click", &json!({})).with_context(|| format!("tick {label}"))
    }

    /// Chooses from the list with this label, by the text that is shown.
    ///
    /// # Errors
    /// There is no such list, or no such choice in it.
    pub fn choose(&self, label: &str, option: &str) -> Result<()> {
        let list = self.control(label)?;
        let script = "return [...arguments[0].options].find((one) => one.textContent.trim() === arguments[1]) ?? null";
        let found = self.run(script, &json!([list, option]))?;
        if found.is_null() {
            bail!("{label} offers no {option}");
        }
        self.on(&found, "click", &json!({})).with_context(|| format!("choose {option}"))
    }

    /// Forgets every cookie.
    ///
    /// # Errors
    /// What the browser says.
    pub fn forget(&self) -> Result<()> {
        self.devtools("Network.clearBrowserCookies", &json!({})).map(drop)
    }

    /// Answers the question that the browser asks with yes.
    ///
    /// # Errors
    /// It asks none.
    pub fn say_yes(&self) -> Result<()> {
        self.ask("alert/accept", &json!({})).map(drop)
    }

    /// Presses keys where the cursor is.
    ///
    /// # Errors
    /// What the browser says.
    pub fn press(&self, keys: &str) -> Result<()> {
        let active = self.run("return document.activeElement ?? document.body", &json!([]))?;
        self.on(&active, "value", &json!({ "text": keys }))
    }

    /// Waits for a control: scripts may still be making it.
    fn control(&self, label: &str) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let found = self.run(CONTROL, &json!([label]))?;
            if !found.is_null() {
                return Ok(found);
            }
            if begin.elapsed() > PATIENCE {
                bail!("there is no field {label} on {}, which says\n{}", self.address()?, self.text()?);
            }
        }
    }

    fn on(&self, element: &Value, what: &str, body: &Value) -> Result<()> {
        let id = element[ELEMENT].as_str().context("an element")?;
        self.ask(&format!("element/{id}/{what}"), body).map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = wire::request(self.port, "DELETE", &format!("/session/{}", self.session), "");
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A text as XPath writes it, which knows no escape.
fn quoted(text: &str) -> String {
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    let parts: Vec<String> = text.split('\'').map(|part| format!("'{part}'")).collect();
    format!("concat({})", parts.join(", \"'\", "))
}

fn driver() -> Result<(Running, u16)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Running(command.spawn().context("chromedriver (Debian: chromium-driver) is needed")?);
    let mut lines = BufReader::new(child.0.stdout.take().context("chromedriver's words")?).lines();
    for line in &mut lines {
        if let Some((_, port)) = line?.split_once("successfully on port ") {
            let port = port.trim_end_matches('.').parse().context("chromedriver's port")?;
            // It must go on being read.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((child, port));
        }
    }
    bail!("chromedriver did not start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_for_xpath() {
        for (text, expect) in [("Save", "'Save'"), ("", "''"), ("it's", "concat('it', \"'\", 's')")] {
            assert_eq!(quoted(text), expect, "{text}");
        }
    }
}
