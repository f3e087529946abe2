//! The console in Chromium, as people use it: the binary serves, the browser clicks and types.
//!
//! `cargo xtask browser` runs them with what they need. Where there is no browser they say so and show nothing; with `CI`
//! or `IOCAST_BROWSER` set that is a failure.

mod hostile;
mod sight;
mod stories;

use crate::people::{PASSWORD, person};
use crate::support::{StillWorld, TestApp};
use chromium::Browser;
use engine::World as _;
use intel::Timestamp;
use iocast::app::{App, OpenOptions};
use iocast::demo;
use iocast::people::roles::{Needs, Role, Roles, allows};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Says why a test that needs a browser shows nothing. True: there is nothing to test with.
fn is_skipped(missing: Option<String>) -> bool {
    let Some(missing) = missing else { return false };
    let must = ["CI", "IOCAST_BROWSER"].iter().any(|name| std::env::var_os(name).is_some());
    assert!(!must, "{missing}");
    let _ = writeln!(std::io::stderr(), "SKIPPED, NOTHING WAS CHECKED: {missing}");
    true
}

/// An exchange that serves.
struct Site {
    dir: TempDir,
    child: Child,
    /// With its scheme.
    address: String,
    /// What it printed for the first account.
    code: String,
}

impl Site {
    /// On what is in this folder.
    fn serve(dir: TempDir) -> Site {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        let at = dir.path().canonicalize().unwrap();
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(&at).stdin(Stdio::null());
        command.env("IOCAST_DATA", data(&at)).env("IOCAST_KEY_FILE", at.join("seal.key"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut said, mut code, mut is_next) = (String::new(), String::new(), false);
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended early: {said}")).unwrap();
            let text = line.trim();
            if is_next && !text.is_empty() {
                text.clone_into(&mut code);
                is_next = false;
            }
            is_next |= text.starts_with("Nobody has an account yet");
            if let Some(address) = text.strip_prefix("listening on ") {
                break address.to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // It must go on being read.
        std::thread::spawn(move || lines.for_each(drop));
        Site { dir, child, address, code }
    }

    /// A new one.
    fn new() -> Site {
        Site::serve(TempDir::new().unwrap())
    }

    /// One that something was done to before.
    fn after(seed: impl FnOnce(&TestApp)) -> Site {
        Site::on(TempDir::new().unwrap(), seed)
    }

    /// The same, on what is in a folder already.
    fn on(dir: TempDir, seed: impl FnOnce(&TestApp)) -> Site {
        let world = StillWorld::new(Vec::new());
        let now = (iocast::world::now().micros() - world.now().micros()) / 1_000_000;
        world.advance(now - 60);
        let mut options = OpenOptions { world: Some(world.clone()), ..OpenOptions::at(data(dir.path())) };
        demo::prepare(&mut options);
        let app = TestApp::over(App::open(options).unwrap(), world);
        seed(&app);
        drop(app);
        Site::serve(dir)
    }

    /// The demo, and people of each role, called as it.
    fn demo() -> Site {
        let dir = TempDir::new().unwrap();
        let clock: demo::Clock = Arc::new(|| Timestamp::from_micros(iocast::world::now().micros()));
        demo::once(&data(dir.path()), clock, &mut Vec::new()).unwrap();
        Site::on(dir, |app| {
            for (name, roles) in PEOPLE {
                person(app, name, roles);
            }
        })
    }

    fn open(&self, browser: &Browser, path: &str) {
        browser.open(&format!("{}{path}", self.address)).unwrap();
    }

    /// Signs in by the form.
    fn sign_in(&self, browser: &Browser, name: &str) {
        browser.forget().unwrap();
        self.open(browser, "/sign-in");
        browser.fill("Name", name).unwrap();
        browser.fill("Password", PASSWORD).unwrap();
        browser.click("Sign in").unwrap();
        browser.find(NAV).unwrap();
    }

    /// Asks the API as who is signed in.
    fn api(&self, browser: &Browser, method: &str, path: &str, body: &Value) -> Value {
        let script = "
            const [method, path, body, done] = arguments;
            const csrf = document.querySelector('[name=csrf]').value;
            const headers = { 'content-type': 'application/json', 'x-csrf-token': csrf };
            fetch(path, { method, headers, body: method === 'GET' ? undefined : JSON.stringify(body) })
                .then(async (answer) => done({ status: answer.status, body: await answer.json() }))
                .catch((error) => done({ status: 0, body: String(error) }));";
        browser.run_async(script, &json!([method, path, body])).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.dir;
    }
}

/// What is on every page of somebody who is in.
const NAV: &str = "//nav[@id='nav']";

/// Who is here. No one person may do everything, and nobody approves what is their own.
const PEOPLE: &[(&str, &[&str])] = &[
    ("vera", &["viewer"]),
    ("otto", &["operator", "analyst", "approver", "auditor"]),
    ("petra", &["approver"]),
    ("ada", &["administrator"]),
];

fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

impl Site {
    fn reload_until(&self, browser: &Browser, path: &str, xpath: &str) {
        browser.reload_until(&format!("{}{path}", self.address), xpath).unwrap();
    }
}

/// Whether this one of them may open, or press, what needs this.
fn may(who: &str, needs: Needs) -> bool {
    let (_, names) = PEOPLE.iter().find(|(name, _)| *name == who).unwrap();
    let roles: Vec<Role> =
        names.iter().map(|name| *Role::ALL.iter().find(|role| role.as_str() == *name).unwrap()).collect();
    matches!(needs, Needs::Nothing | Needs::Session) || allows(Roles::of(&roles), needs)
}
