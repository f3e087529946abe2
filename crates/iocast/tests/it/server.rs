//! The binary as a server: a real process, a real socket, real signals.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Server {
    child: Child,
    address: String,
    token: Option<String>,
}

impl Server {
    /// Starts one and waits until it says where it listens.
    fn start(data: &std::path::Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iocast"))
            .args(["--data", data.to_str().unwrap(), "serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut token = None;
        let mut said = String::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended early: {said}")).unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some(found) = line.split_whitespace().find(|word| word.starts_with("ioc_")) {
                token = Some(found.to_owned());
            }
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().to_owned();
            }
        };
        // Whoever does not read standard error must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, address, token }
    }

    fn get(&self, path: &str, token: Option<&str>) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let auth = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{auth}Connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[test]
fn a_server_starts_once_and_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(&data);
    let token = server.token.clone().expect("the first start shows a token");
    assert!(server.get("/healthz", None).starts_with("HTTP/1.1 200"));
    assert!(server.get("/api/v1/status", None).starts_with("HTTP/1.1 401"));
    // It answers "starting" until everything is loaded.
    let status = loop {
        let status = server.get("/api/v1/status", Some(&token));
        if !status.starts_with("HTTP/1.1 503") {
            break status;
        }
    };
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    let second = Command::new(env!("CARGO_BIN_EXE_iocast"))
        .args(["--data", data.to_str().unwrap(), "serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by process"), "{said}");
    // A connection that says nothing does not keep it from ending.
    let idle = TcpStream::connect(&server.address).unwrap();
    server.signal("-TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    drop(idle);

    let mut again = Server::start(&data);
    assert_eq!(again.token, None, "the token is shown once");
    again.signal("-INT");
    assert_eq!(again.child.wait().unwrap().code(), Some(0));
}
