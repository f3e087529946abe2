//! What goes over the wire: JSON in HTTP/1.1, to a server on this machine that says how long its answers are.

use anyhow::{Result, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Asks the driver, and gives the value of its answer.
pub(crate) fn call(port: u16, path: &str, body: &Value) -> Result<Value> {
    let mut answer: Value = serde_json::from_slice(&request(port, "POST", path, &body.to_string())?)?;
    let value = answer["value"].take();
    if let Some(error) = value["error"].as_str() {
        bail!("{path}: {error}: {}", value["message"].as_str().unwrap_or_default());
    }
    Ok(value)
}

pub(crate) fn request(port: u16, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
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
