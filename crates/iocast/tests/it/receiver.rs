//! A receiver of webhooks on the loopback, for tests of the real binary: does each message once, by its id.

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Told {
    held: BTreeSet<String>,
    ids: BTreeSet<String>,
    repeats: usize,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    told: Arc<Mutex<Told>>,
}

impl Receiver {
    /// Listens until the process ends.
    pub(crate) fn new() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let told = Arc::new(Mutex::new(Told::default()));
        let shared = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&shared);
                // Who is killed leaves in the middle of anything.
                std::thread::spawn(move || serve(&stream, &told));
            }
        });
        Receiver { url, told }
    }

    pub(crate) fn held(&self) -> BTreeSet<String> {
        self.told.lock().unwrap().held.clone()
    }

    /// Messages that came again.
    pub(crate) fn repeats(&self) -> usize {
        self.told.lock().unwrap().repeats
    }
}

/// Takes one message after another; None: the other side has gone.
fn serve(stream: &TcpStream, told: &Mutex<Told>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut id, mut length, mut line) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() { break } else { continue }
            };
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => value.clone_into(&mut id),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let message: Value = serde_json::from_slice(&body).ok()?;
        {
            let mut told = told.lock().unwrap();
            if told.ids.insert(id) {
                for item in message["data"]["items"].as_array()? {
                    let value = item["value"].as_str()?.to_owned();
                    if item["op"] == "remove" {
                        told.held.remove(&value)
                    } else {
                        told.held.insert(value)
                    };
                }
            } else {
                told.repeats += 1;
            }
        }
        (&mut &*stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}
