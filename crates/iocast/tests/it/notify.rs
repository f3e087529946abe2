//! Telling people, through the binary and to real receivers: a webhook, a mail server, two syslog collectors.

use crate::support::Ran;
use connectors::signing::Keys;
use kit::Secret;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// `canary-notify-secret-1234567890` and `canary-notify-other-0987654321`, in base64.
const SIGNING: &str = "whsec_Y2FuYXJ5LW5vdGlmeS1zZWNyZXQtMTIzNDU2Nzg5MA==";
const CANARIES: [&str; 3] = ["Y2FuYXJ5LW5vdGlmeS1zZWNyZXQ", "canary-token-44d1", "canary-mail-8c20"];

/// What a receiver was told, and whether there is more.
type Heard = Arc<(Mutex<Vec<String>>, Condvar)>;

/// Takes connections one after the other until the process ends.
fn listen(answer: impl Fn(TcpStream) -> Option<String> + Send + 'static) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let into = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let said = answer(stream);
            into.0.lock().unwrap().extend(said);
            into.1.notify_all();
        }
    });
    (port, heard)
}

/// One request, whole, as `header: value` lines, an empty one and the body.
fn http(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        text.push_str(&line.trim_end().replace("\r\n", ""));
        text.push('\n');
        if line.trim().is_empty() {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = n.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    text.push_str(&String::from_utf8(body).ok()?);
    let mut out = stream;
    out.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").ok()?;
    Some(text)
}

/// One mail: envelope and text, as the client said them.
fn smtp(stream: TcpStream) -> Option<String> {
    let mut out = stream.try_clone().ok()?;
    let mut say = |text: &str| out.write_all(format!("{text}\r\n").as_bytes());
    say("220 sink.example ESMTP").ok()?;
    let mut text = String::new();
    let mut in_data = false;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        match (in_data, line.as_str()) {
            (true, ".") => {
                in_data = false;
                say("250 taken").ok()?;
            }
            (true, _) => {}
            (false, "DATA") => {
                in_data = true;
                say("354 go on").ok()?;
            }
            (false, "QUIT") => {
                say("221 bye").ok()?;
                return Some(text);
            }
            (false, _) => say("250 sink.example").ok()?,
        }
        text.push_str(&line);
        text.push('\n');
    }
    Some(text)
}

fn counted(mut stream: TcpStream) -> Option<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

struct Desk {
    dir: TempDir,
    hook: Heard,
    mail: Heard,
    tcp: Heard,
    udp: UdpSocket,
}

impl Desk {
    fn new() -> Desk {
        let (hook_port, hook) = listen(|stream| http(&stream));
        let (mail_port, mail) = listen(smtp);
        let (tcp_port, tcp) = listen(counted);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let udp_port = udp.local_addr().unwrap().port();
        let desk = Desk { dir: TempDir::new().unwrap(), hook, mail, tcp, udp };
        let files = desk.dir.path().canonicalize().unwrap().display().to_string();
        fs::write(desk.dir.path().join("list.txt"), "203.0.114.7\n203.0.114.8\n").unwrap();
        let site = format!(
            r#"
[policy]
public_url = "https://iocast.example"

[[connection]]
name = "levels"
connector = "feed"
settings = {{ url = "file://{files}/list.txt", format = "text", kind = "auto" }}

[[connection]]
name = "edge"
connector = "list"

[[target]]
name = "block-ip"
connection = "edge"

[[rule]]
name = "addresses"
when = 'kind = ipv4'

[[sharing]]
source = "any"
rule = "addresses"
target = "block-ip"

[[notify]]
name = "hook"
channel = "webhook"
allow_private = ["127.0.0.0/8"]
settings = {{ url = "http://127.0.0.1:{hook_port}/in", secret = "{SIGNING}", token = "canary-token-44d1" }}

[[notify]]
name = "soc-mail"
channel = "mail"
allow_private = ["127.0.0.0/8"]
on = ["plan_waiting"]
[notify.settings]
server = "127.0.0.1"
port = {mail_port}
security = "none"
from = "iocast@example.org"
to = ["soc@example.org", "night@example.org"]

[[notify]]
name = "away"
channel = "mail"
enabled = false
[notify.settings]
server = "mail.example"
user = "iocast"
password = "canary-mail-8c20"
from = "iocast@example.org"
to = ["soc@example.org"]

[[notify]]
name = "log-udp"
channel = "syslog"
allow_private = ["127.0.0.0/8"]
settings = {{ transport = "udp", server = "127.0.0.1", port = {udp_port}, facility = "local0" }}

[[notify]]
name = "log-tcp"
channel = "syslog"
allow_private = ["127.0.0.0/8"]
settings = {{ transport = "tcp", server = "127.0.0.1", port = {tcp_port} }}
"#
        );
        fs::write(desk.dir.path().join("site.toml"), site).unwrap();
        desk
    }

    fn run(&self, line: &str) -> Ran {
        let dir = self.dir.path().canonicalize().unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_iocast"))
            .args(line.split(' '))
            .current_dir(&dir)
            .env_clear()
            .env("IOCAST_DATA", "data")
            .env("IOCAST_FILES", &dir)
            .env("IOCAST_KEY_FILE", "keys/key")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let ran = Ran::from(done);
        for canary in CANARIES {
            assert!(
                !ran.out.contains(canary) && !ran.err.contains(canary),
                "{line} says {canary}\n{}{}",
                ran.out,
                ran.err
            );
        }
        ran
    }

    fn datagram(&self) -> String {
        let mut buffer = [0; 4096];
        let n = self.udp.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    fn has_datagram(&self) -> bool {
        self.udp.set_nonblocking(true).unwrap();
        let has = self.udp.recv(&mut [0; 4096]).is_ok();
        self.udp.set_nonblocking(false).unwrap();
        has
    }

    /// Whether any byte of the data directory spells a text.
    fn stored(&self, text: &str) -> bool {
        let mut open = vec![self.dir.path().join("data")];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else if fs::read(entry.path()).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
                    return true;
                }
            }
        }
        false
    }
}

/// What was heard, once there is as much as this. The receiver notes it after it has answered.
fn heard(by: &Heard, n: usize) -> Vec<String> {
    let all = by.0.lock().unwrap();
    by.1.wait_timeout_while(all, Duration::from_secs(5), |all| all.len() < n).unwrap().0.clone()
}

/// Canaries stand in every credential of every channel; each channel is told the same thing once by the real binary, and
/// neither what it prints (status, lists, exports, differences, refusals) nor the data directory holds one of them.
#[test]
fn people_are_told_once_by_every_channel_and_no_secret_is() {
    let desk = Desk::new();
    desk.run("apply site.toml").code(0).says("settings.secret: *** set ***");
    desk.run("pull --all").code(0);
    desk.run("share --all").code(3);
    desk.run("share --all").code(3);

    let hooks = heard(&desk.hook, 1);
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    let (head, body) = hooks[0].split_once("\n\n").unwrap();
    let headers: BTreeMap<String, &str> =
        head.lines().filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
    let keys = Keys::parse(&Secret::new(SIGNING)).unwrap();
    let signed = keys.sign(headers["webhook-id"], headers["webhook-timestamp"].parse().unwrap(), body.as_bytes());
    assert_eq!(headers["webhook-signature"], signed);
    assert_eq!(headers["authorization"], "Bearer canary-token-44d1", "the receiver gets the real secret");
    let notice: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&notice["type"], &notice["data"]["kind"]), (&"notice".into(), &"plan_waiting".into()));
    assert_eq!(notice["data"]["text"], "A plan of block-ip waits for approval: it would add 2.");
    assert_eq!(notice["data"]["link"], "https://iocast.example/api/v1/plans/1");

    let mails = heard(&desk.mail, 1);
    assert_eq!(mails.len(), 1, "{mails:?}");
    for part in [
        "MAIL FROM:<iocast@example.org>",
        "RCPT TO:<soc@example.org>",
        "RCPT TO:<night@example.org>",
        "Subject: [iocast] target block-ip: plan waiting",
        "Auto-Submitted: auto-generated",
        "What to do: `iocast plan show 1`",
    ] {
        assert!(mails[0].contains(part), "{part}: {}", mails[0]);
    }
    let datagram = desk.datagram();
    assert!(
        datagram.starts_with("<132>1 ") && datagram.contains(" - iocast - plan_waiting - \u{feff}target block-ip: "),
        "{datagram}"
    );
    let frames = heard(&desk.tcp, 1);
    let (length, frame) = frames[0].split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), frame.len());
    assert!(!desk.has_datagram() && frames.len() == 1, "once");

    let status = desk.run("status").code(0).says("1 needs a person").says("told to soc-mail");
    assert!(
        status.out.find("A plan of block-ip waits").unwrap() < status.out.find("block-ip  ").unwrap(),
        "{}",
        status.out
    );
    desk.run("notice list").says("A plan of block-ip waits for approval").says("iocast plan approve 1");
    desk.run("notify list").says("soc-mail");
    desk.run("notify test hook").code(0).says("hook took it");
    assert!(heard(&desk.hook, 2)[1].contains("This is a test"));
    desk.run("notify test nobody").code(1).says("no notify channel is called \"nobody\"");

    let export = desk.run("export").code(0).says("[[notify]]").out;
    fs::write(desk.dir.path().join("export.toml"), &export).unwrap();
    desk.run("apply export.toml").says("nothing to change");
    fs::write(desk.dir.path().join("moved.toml"), export.replace("127.0.0.1:", "127.0.0.9:")).unwrap();
    desk.run("apply moved.toml").code(1).says("give the secret again: the notify goes elsewhere now");
    fs::write(
        desk.dir.path().join("clear.toml"),
        export.replace("server = \"mail.example\"", "server = \"other.example\""),
    )
    .unwrap();
    desk.run("apply clear.toml").code(1).says("notify \"away\", settings.password");
    let without = export.split("[[notify]]").next().unwrap();
    fs::write(desk.dir.path().join("less.toml"), without).unwrap();
    desk.run("apply less.toml --prune --yes").code(0).says("nobody is told through it any more");
    desk.run("notify list").says("nobody is told");
    for canary in CANARIES {
        assert!(!desk.stored(canary), "{canary} stands in the data directory");
    }
}

#[test]
fn a_channel_that_is_down_fails_nothing_and_is_seen() {
    let desk = Desk::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = fs::read_to_string(desk.dir.path().join("site.toml")).unwrap();
    let port = site.split("port = ").nth(1).unwrap().lines().next().unwrap();
    fs::write(desk.dir.path().join("site.toml"), site.replacen(port, &gone.to_string(), 1)).unwrap();
    desk.run("apply site.toml").code(0);
    desk.run("pull --all").code(0);
    desk.run("share --all --approve").code(0);
    desk.run("freeze").code(0);
    desk.run("share --all").code(0);
    assert!(heard(&desk.hook, 1).len() == 1 && heard(&desk.mail, 0).is_empty());
    fs::write(
        desk.dir.path().join("site.toml"),
        fs::read_to_string(desk.dir.path().join("site.toml")).unwrap().replace("on = [\"plan_waiting\"]\n", ""),
    )
    .unwrap();
    desk.run("apply site.toml").code(0);
    desk.run("share --all").code(0);
    desk.run("status").says("soc-mail does not take what it is told (1 waiting)").says("the mail server");
    desk.run("notify test soc-mail").code(1).says("soc-mail did not take it");
}

#[test]
fn what_is_not_encrypted_does_not_leave() {
    let desk = Desk::new();
    let site = fs::read_to_string(desk.dir.path().join("site.toml")).unwrap();
    fs::write(desk.dir.path().join("site.toml"), site.replace("allow_private = [\"127.0.0.0/8\"]\n", "")).unwrap();
    desk.run("apply site.toml").code(0);
    for channel in ["hook", "soc-mail", "log-udp", "log-tcp"] {
        desk.run(&format!("notify test {channel}")).code(1).says("denied");
    }
    // Somebody who allows http to everybody still has not allowed this machine's own network.
    for channel in ["soc-mail", "log-udp", "log-tcp"] {
        desk.run(&format!("--allow-http notify test {channel}")).code(1).says("allow its network");
    }
    assert!(!desk.has_datagram() && desk.hook.0.lock().unwrap().is_empty() && desk.tcp.0.lock().unwrap().is_empty());
}
