//! The real world: the machine's clock and randomness, calls out, files.
//!
//! Everything a connection says about how it may be called is turned into a client here, and nowhere else. Certificates
//! are files, so they are read below the directories the operator allowed, like any other.

use crate::notify::{self, Outdoors};
use crate::seal::{KeyPlace, Keys};
use engine::World;
use engine::config::{Connection, Provider};
use engine::notice::{Channel, Letter};
use intel::Timestamp;
use kit::files::Files;
use kit::http::{Egress, Http, HttpConfig, Paces, SystemWait, Tokens, Wait};
use kit::secret::SecretResolver;
use kit::{ConnectorError, Secret};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// Longest certificate file read, in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// How long each step of asking a provider of identities may take.
const SIGN_IN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What every connection may do beyond what it says itself.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Directories below which files may be read and written.
    pub files: Vec<PathBuf>,
    /// The file with the key that seals secrets. None: where the system keeps configuration (`default_key_file`).
    pub key_file: Option<PathBuf>,
    /// The key itself, in place of a file: `IOCAST_KEY`.
    pub key_given: Option<Secret>,
    /// The command that prints it, in place of a file.
    pub key_command: Option<String>,
    /// Calls without encryption are allowed to every host; otherwise only inside a connection's private networks.
    pub allow_http: bool,
    /// The file of the certificate that the server proves itself with, where it is not of its own making.
    pub certificate: Option<PathBuf>,
}

impl Outside {
    /// Where the keys are that seal secrets.
    pub fn key_place(&self) -> KeyPlace {
        match (&self.key_given, &self.key_command, &self.key_file) {
            (Some(given), _, _) => KeyPlace::Given(given.clone()),
            (None, Some(command), _) => KeyPlace::Command(command.clone()),
            (None, None, Some(file)) => KeyPlace::File(file.clone()),
            (None, None, None) => default_key_file().map_or(KeyPlace::Nowhere, KeyPlace::File),
        }
    }

    /// Whether somebody said where the keys are.
    pub fn names_key(&self) -> bool {
        self.key_given.is_some() || self.key_command.is_some() || self.key_file.is_some()
    }
}

/// The world as it is.
pub struct RealWorld {
    files: Files,
    allow_http: bool,
    wait: Arc<dyn Wait>,
    /// None: secrets are kept as they are, because nothing outlives the process.
    keys: Option<Arc<Keys>>,
    paces: Arc<Paces>,
    tokens: Arc<Tokens>,
    started: std::time::Instant,
    /// As they were at the start: a server speaks with what it read then.
    certificates: Vec<(String, Timestamp)>,
}

impl RealWorld {
    /// With these permissions.
    pub fn new(outside: Outside) -> RealWorld {
        let wait: Arc<dyn Wait> = Arc::new(SystemWait::default());
        let paces = Paces::new(Arc::clone(&wait), getrandom::u64().unwrap_or_default());
        RealWorld {
            files: Files::below(outside.files),
            allow_http: outside.allow_http,
            wait,
            keys: None,
            paces,
            tokens: Tokens::new(),
            started: std::time::Instant::now(),
            certificates: outside
                .certificate
                .iter()
                .filter_map(|file| Some((file.display().to_string(), crate::tls::end_of(file)?)))
                .collect(),
        }
    }

    /// The same, sealing secrets with these keys.
    #[must_use]
    pub fn sealing(self, keys: Arc<Keys>) -> RealWorld {
        RealWorld { keys: Some(keys), ..self }
    }

    fn pem(&self, path: &str, what: &str) -> Result<String, ConnectorError> {
        let denied = |why: String| ConnectorError::Denied(format!("the {what} {path}: {why}"));
        let file = self.files.open(path)?;
        if file.len > MAX_PEM_BYTES {
            return Err(denied(format!("is longer than {} KiB, which no certificate is", MAX_PEM_BYTES >> 10)));
        }
        let mut text = String::new();
        file.take(MAX_PEM_BYTES).read_to_string(&mut text).map_err(|error| denied(error.to_string()))?;
        Ok(text)
    }
}

/// What time it is by the machine's clock; before 1970 it is 1970.
pub fn now() -> Timestamp {
    #[cfg(feature = "rig")]
    if let Some(stands) = crate::rig::clock() {
        return stands;
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.after(since)
}

/// Where the key file is unless somebody says otherwise: beside other configuration of this user. None where the system
/// names no such place.
pub fn default_key_file() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let config =
        dir("XDG_CONFIG_HOME").or_else(|| dir("HOME").map(|home| home.join(".config"))).or_else(|| dir("APPDATA"));
    Some(config?.join("iocast").join("key"))
}

impl SecretResolver for RealWorld {
    fn env(&self, name: &str) -> Result<String, String> {
        std::env::var(name).map_err(|_| "the variable is not set".to_owned())
    }

    /// Only below the directories the operator allowed, like any other file.
    fn file(&self, path: &str) -> Result<String, String> {
        self.pem(path, "secret").map_err(|error| error.to_string())
    }

    fn seal(&self, place: &str, text: &str) -> Result<Option<String>, String> {
        self.keys.as_ref().map(|keys| keys.seal(place, text)).transpose()
    }

    fn unseal(&self, place: &str, sealed: &str) -> Result<String, String> {
        match &self.keys {
            Some(keys) => keys.unseal(place, sealed),
            None => Err("there is no key here".to_owned()),
        }
    }

    fn lacks_key(&self, sealed: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.lacks(sealed))
    }
}

impl World for RealWorld {
    fn now(&self) -> Timestamp {
        now()
    }

    fn monotonic(&self) -> Option<std::time::Duration> {
        Some(self.started.elapsed())
    }

    fn random(&self) -> u64 {
        #[cfg(feature = "rig")]
        if let Some(chance) = crate::rig::chance() {
            return chance;
        }
        // Jitter and names, nothing secret: where the system has no randomness to give, the clock will do.
        getrandom::u64().unwrap_or_else(|_| now().micros().cast_unsigned())
    }

    fn secrets(&self) -> &dyn SecretResolver {
        self
    }

    fn certificates(&self) -> Vec<(String, Timestamp)> {
        self.certificates.clone()
    }

    fn notices(&self) -> Vec<String> {
        self.keys.as_ref().map(|keys| keys.notices()).unwrap_or_default()
    }

    fn http(&self, connection: &Connection) -> Result<Http, ConnectorError> {
        let doc = &connection.doc;
        let allow_private: Vec<ipnet::IpNet> = doc.allow_private.iter().filter_map(|net| net.parse().ok()).collect();
        let ca_pem = doc.ca_file.as_deref().map(|path| self.pem(path, "ca_file")).transpose()?;
        let client = doc.client_cert_file.as_deref().map(|path| self.pem(path, "client_cert_file")).transpose()?;
        let mut secrets = connection.secrets.clone();
        if let Some(proxy) = &doc.proxy {
            secrets.push(("proxy".to_owned(), Secret::new(proxy.clone())));
        }
        for setting in &connection.connector.manifest().settings {
            if setting.value_type == kit::manifest::SettingType::Secret
                && let Some(text) = connection.settings.get(&setting.key).and_then(serde_json::Value::as_str)
            {
                secrets.push((setting.key.clone(), Secret::new(text)));
            }
        }
        let timeouts = kit::http::Timeouts::default();
        #[cfg(feature = "rig")]
        let timeouts = match crate::rig::patience() {
            Some(first_byte) => kit::http::Timeouts { first_byte, ..timeouts },
            None => timeouts,
        };
        let config = HttpConfig {
            timeouts,
            // Inside a network that was allowed by name, products without encryption are a fact of life.
            egress: Egress {
                allow_http: self.allow_http || !allow_private.is_empty(),
                allow_private,
                ports: Vec::new(),
            },
            proxy: doc.proxy.clone().map(Secret::new),
            ca_pem,
            client_cert_pem: client.map(Secret::new),
            jitter_seed: self.random(),
            pace: Some(self.paces.of(connection.account(), connection.rate())),
            tokens: Some(Arc::clone(&self.tokens)),
            secrets,
            ..HttpConfig::default()
        };
        Http::live(config, self.wait.clone()).map_err(ConnectorError::Denied)
    }

    fn provider_http(&self, provider: &Provider) -> Result<Http, ConnectorError> {
        let doc = &provider.doc;
        let allow_private: Vec<ipnet::IpNet> = doc.allow_private.iter().filter_map(|net| net.parse().ok()).collect();
        let ca_pem = doc.ca_file.as_deref().map(|path| self.pem(path, "ca_file")).transpose()?;
        let mut secrets: Vec<(String, Secret)> = Vec::new();
        secrets.extend(provider.client_secret.clone().map(|secret| ("client_secret".to_owned(), secret)));
        secrets.extend(doc.proxy.clone().map(|proxy| ("proxy".to_owned(), Secret::new(proxy))));
        let config = HttpConfig {
            // Inside a network that was allowed by name, as for connections.
            egress: Egress {
                allow_http: self.allow_http || !allow_private.is_empty(),
                allow_private,
                ports: Vec::new(),
            },
            proxy: doc.proxy.clone().map(Secret::new),
            ca_pem,
            // Somebody waits in front of a browser.
            timeouts: kit::http::Timeouts {
                connect: SIGN_IN_PATIENCE,
                first_byte: SIGN_IN_PATIENCE,
                stall: SIGN_IN_PATIENCE,
                total: SIGN_IN_PATIENCE,
                ..kit::http::Timeouts::default()
            },
            limits: kit::decode::Limits {
                max_input: MAX_PEM_BYTES,
                max_output: MAX_PEM_BYTES,
                ..kit::decode::Limits::default()
            },
            retries: 1,
            jitter_seed: self.random(),
            secrets,
            ..HttpConfig::default()
        };
        Http::live(config, self.wait.clone()).map_err(ConnectorError::Denied)
    }

    fn tell(&self, channel: &Channel, letter: &Letter) -> Result<(), ConnectorError> {
        let doc = &channel.doc;
        let allow_private: Vec<ipnet::IpNet> = doc.allow_private.iter().filter_map(|net| net.parse().ok()).collect();
        let ca_pem = doc.ca_file.as_deref().map(|path| self.pem(path, "ca_file")).transpose()?;
        let egress = Egress { allow_http: self.allow_http, allow_private, ports: Vec::new() };
        let http = || {
            let config = HttpConfig {
                // Inside a network that was allowed by name, as for connections.
                egress: Egress { allow_http: self.allow_http || !egress.allow_private.is_empty(), ..egress.clone() },
                ca_pem: ca_pem.clone(),
                jitter_seed: self.random(),
                secrets: channel.secrets.iter().map(|(key, secret)| (key.clone(), secret.clone())).collect(),
                ..HttpConfig::default()
            };
            Http::live(config, self.wait.clone()).map_err(ConnectorError::Denied)
        };
        notify::tell(
            channel,
            letter,
            &Outdoors { egress: egress.clone(), ca_pem: ca_pem.clone(), now: now(), http: &http },
        )
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn paces(&self) -> Option<&Paces> {
        Some(&self.paces)
    }

    #[cfg(feature = "rig")]
    fn step(&self, point: &'static str) -> Result<(), engine::Stopped> {
        crate::rig::pass(point);
        Ok(())
    }
}
