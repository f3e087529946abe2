//! Chromium, through the driver that comes with it: how soon a page is seen.

use crate::world::Fault;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Said where there is none.
pub(crate) const ABOUT: &str = "first paint is not measured: chromium and chromedriver are needed";

/// A browser; it ends with this value.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = request(self.port, "DELETE", &format!("/session/{}", self.session), "");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    pub(crate) fn start() -> Result<Browser, Fault> {
        let mut command = Command::new("chromedriver");
        let mut driver = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(driver.stdout.take().ok_or("the driver's words")?).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let mut browser = Browser { driver, port: port.ok_or("the driver did not start")?, session: String::new() };
        // It must go on being read.
        std::thread::spawn(move || lines.for_each(drop));
        let args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({ "goog:chromeOptions": { "args": args } });
        let made = call(browser.port, "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }))?;
        made["sessionId"].as_str().ok_or("no session of the browser")?.clone_into(&mut browser.session);
        Ok(browser)
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value, Fault> {
        call(self.port, &format!("/session/{}/{what}", self.session), body)
    }

    /// Gives it a cookie of an address.
    pub(crate) fn keep(&self, address: &str, cookie: &str) -> Result<(), Fault> {
        self.ask("url", &json!({ "url": format!("{address}/sign-in") }))?;
        let (name, value) = cookie.split_once('=').ok_or("a cookie has a name")?;
        self.ask("cookie", &json!({ "cookie": { "name": name, "value": value, "path": "/", "httpOnly": true } }))?;
        Ok(())
    }

    /// Opens a page and gives the milliseconds to its first paint, from when it was asked for.
    pub(crate) fn first_paint(&self, url: &str) -> Result<f64, Fault> {
        self.ask("url", &json!({ "url": url }))?;
        // Painting may end after loading: the answer waits for two frames.
        let script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => \
                      done(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? \
                      performance.now())))";
        let painted = self.ask("execute/async", &json!({ "script": script, "args": [] }))?;
        painted.as_f64().ok_or_else(|| format!("no paint: {painted}").into())
    }
}

fn call(port: u16, path: &str, body: &Value) -> Result<Value, Fault> {
    let mut answer: Value = serde_json::from_slice(&request(port, "POST", path, &body.to_string())?)?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!("{path}: {error}: {}", value["message"].as_str().unwrap_or_default()).into()),
        None => Ok(value),
    }
}

/// HTTP to a server on this machine that says how long its answers are.
fn request(port: u16, method: &str, path: &str, body: &str) -> Result<Vec<u8>, Fault> {
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
