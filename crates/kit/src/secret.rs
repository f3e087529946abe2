//! Values that must not be seen: tokens, passwords, keys.
//!
//! A [`Secret`] has no `Display` and no `Serialize`, its `Debug` prints `***`, and its memory is overwritten when it is
//! dropped. The only way to its content is [`Secret::reveal`], so a search for that word finds every use.

use serde::{Deserialize, Deserializer};
use std::fmt;
use zeroize::Zeroizing;

/// A secret text. It can be read from settings, and never written to them.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text; it is overwritten on drop.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The content. For the wire only: never format it into a message, a URL that is shown, or a log line.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what stands in a settings file: `env:NAME` and `file:PATH` are looked up by `resolver` (the end of line
    /// of a file is dropped), anything else is the secret itself.
    ///
    /// # Errors
    /// A sentence that names the reference, never its content.
    pub fn resolve(text: &str, resolver: &dyn SecretResolver) -> Result<Secret, String> {
        let (found, reference) = if let Some(name) = text.strip_prefix("env:") {
            (resolver.env(name), text)
        } else if let Some(path) = text.strip_prefix("file:") {
            (resolver.file(path), text)
        } else {
            return Ok(Secret::new(text));
        };
        match found {
            Ok(found) => {
                let found = Zeroizing::new(found);
                let content = found.trim_end_matches(['\r', '\n']);
                if content.is_empty() {
                    return Err(format!("the secret {reference} is empty"));
                }
                Ok(Secret::new(content))
            }
            Err(why) => Err(format!("the secret {reference} cannot be read: {why}")),
        }
    }

    /// As [`Secret::resolve`], and a sealed text (`sealed:…`) is opened by `resolver` for the place it stands at.
    ///
    /// # Errors
    /// A sentence that names the reference, never a content.
    pub fn resolve_at(place: &str, text: &str, resolver: &dyn SecretResolver) -> Result<Secret, String> {
        if !Secret::is_sealed(text) {
            return Secret::resolve(text, resolver);
        }
        match resolver.unseal(place, text) {
            Ok(found) => Ok(Secret::new(found)),
            Err(why) => Err(format!("the sealed secret cannot be opened: {why}")),
        }
    }

    /// Is this a text that [`SecretResolver::seal`] made?
    pub fn is_sealed(text: &str) -> bool {
        text.starts_with(SEALED)
    }

    /// Is this text a reference that [`Secret::resolve`] would look up?
    pub fn is_reference(text: &str) -> bool {
        text.starts_with("env:") || text.starts_with("file:")
    }
}

/// What a sealed text begins with.
pub const SEALED: &str = "sealed:";

/// Where references are looked up and secrets are sealed. The process passes the real one, tests a table.
pub trait SecretResolver {
    /// The environment variable of this name.
    ///
    /// # Errors
    /// Why there is none, without any content.
    fn env(&self, name: &str) -> Result<String, String>;
    /// The content of the file at this path.
    ///
    /// # Errors
    /// Why it cannot be read, without any content.
    fn file(&self, path: &str) -> Result<String, String>;
    /// Opens what [`SecretResolver::seal`] made for this very place. By default nothing is sealed, so nothing opens.
    ///
    /// # Errors
    /// Why it cannot be opened and what to do, without any content.
    fn unseal(&self, place: &str, sealed: &str) -> Result<String, String> {
        let _ = (place, sealed);
        Err("there is no key here".to_owned())
    }
    /// Whether the key that this was sealed with is not here, so that it may be there again some day.
    fn lacks_key(&self, sealed: &str) -> bool {
        let _ = sealed;
        false
    }
    /// Seals a secret for one place, as a text that begins with [`SEALED`]. None: here secrets are kept as they are,
    /// because nothing outlives the process.
    ///
    /// # Errors
    /// Why it cannot be sealed and what to do, without any content.
    fn seal(&self, place: &str, text: &str) -> Result<Option<String>, String> {
        let _ = (place, text);
        Ok(None)
    }
}

/// Knows no reference: for worlds without secrets.
#[derive(Debug, Clone, Copy)]
pub struct NoSecrets;

impl SecretResolver for NoSecrets {
    fn env(&self, _: &str) -> Result<String, String> {
        Err("no environment is read here".to_owned())
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("no secret files are read here".to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        // The error for a value of another type would quote it.
        String::deserialize(deserializer).map(Secret::new).map_err(|_| serde::de::Error::custom("a secret is a text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;

    impl SecretResolver for Table {
        fn env(&self, name: &str) -> Result<String, String> {
            if name == "TOKEN" { Ok("canary\n".into()) } else { Err("it is not set".into()) }
        }
        fn file(&self, path: &str) -> Result<String, String> {
            match path {
                "/run/token" => Ok("canary\r\n".into()),
                "/run/empty" => Ok("\n".into()),
                _ => Err("no such file".into()),
            }
        }
    }

    #[test]
    fn references_are_looked_up() {
        for (text, expect) in [
            ("plain", Ok("plain")),
            ("env:TOKEN", Ok("canary")),
            ("file:/run/token", Ok("canary")),
            ("env:OTHER", Err("the secret env:OTHER cannot be read: it is not set")),
            ("file:/none", Err("the secret file:/none cannot be read: no such file")),
            ("file:/run/empty", Err("the secret file:/run/empty is empty")),
        ] {
            let got = Secret::resolve(text, &Table);
            assert_eq!(got.as_ref().map(Secret::reveal).map_err(String::as_str), expect, "{text}");
        }
    }

    #[test]
    fn content_is_not_printed() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        let error = serde_json::from_str::<Secret>("[\"canary\"]").unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        let error = serde_json::from_str::<Secret>("12345678").unwrap_err().to_string();
        assert!(!error.contains("12345678"), "{error}");
    }
}
