//! Signatures of Standard Webhooks, version 1 (symmetric): HMAC-SHA256 over `{id}.{timestamp}.{body}`.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kit::Secret;
use sha2::Sha256;
use std::fmt::Write as _;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Length of a key, in bytes, as the specification has it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Keys in force at once: a new one, the old one, and one to spare.
const KEYS_MOST: usize = 4;

/// Keys to sign with, each ready to be fed.
pub struct Keys(Vec<Hmac<Sha256>>);

/// What a secret must be, and how one is made.
const WANTED: &str =
    "secret: expected whsec_ and 24 to 64 bytes in base64; one is made by echo \"whsec_$(openssl rand -base64 32)\"";

impl Keys {
    /// Reads secrets separated by white space: `whsec_` and 24 to 64 bytes in base64 each, up to four.
    ///
    /// # Errors
    /// What a secret must be; never what this one is.
    pub fn parse(secret: &Secret) -> Result<Keys, String> {
        let mut keys = Vec::new();
        for text in secret.reveal().split_whitespace() {
            let bytes = text.strip_prefix(PREFIX).and_then(|text| BASE64_STANDARD.decode(text).ok());
            let bytes = bytes.filter(|bytes| KEY_BYTES.contains(&bytes.len()));
            let key = bytes.and_then(|bytes| Hmac::new_from_slice(&bytes).ok());
            keys.push(key.ok_or(WANTED)?);
        }
        match keys.len() {
            1..=KEYS_MOST => Ok(Keys(keys)),
            _ => Err(format!("secret: give one, or up to {KEYS_MOST} with spaces between them")),
        }
    }

    /// The value of `webhook-signature`: a signature a key, in order.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut out = String::new();
        for key in &self.0 {
            let mut mac = key.clone();
            mac.update(id.as_bytes());
            mac.update(format!(".{timestamp}.").as_bytes());
            mac.update(body);
            let join = if out.is_empty() { "" } else { " " };
            let _ = write!(out, "{join}v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_vector() {
        // From the tests of the reference libraries of the specification.
        let keys = Keys::parse(&Secret::new(PUBLISHED)).unwrap();
        let signed = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs() {
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        let both = Keys::parse(&Secret::new(format!("{PUBLISHED} {other}"))).unwrap().sign("msg_1", 7, b"{}");
        let each: Vec<String> = [PUBLISHED, other]
            .iter()
            .map(|secret| Keys::parse(&Secret::new(*secret)).unwrap().sign("msg_1", 7, b"{}"))
            .collect();
        assert_eq!(both, each.join(" "));
        assert_ne!(each[0], each[1]);
    }

    #[test]
    fn secrets_that_are_none() {
        let of = |n: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; n]));
        for (text, good) in [
            (PUBLISHED.to_owned(), true),
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), false),
            ("whsec_not base64".into(), false),
            ("whsec_".into(), false),
            (String::new(), false),
            (format!("{PUBLISHED} {PUBLISHED}x"), false),
            ([PUBLISHED; 5].join(" "), false),
        ] {
            match Keys::parse(&Secret::new(text.clone())) {
                Ok(_) => assert!(good, "{text}"),
                Err(why) => assert!(!good && !why.contains("MfKQ"), "{text}: {why}"),
            }
        }
    }
}
