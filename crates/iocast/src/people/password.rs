//! Passwords: which are taken, and how they are kept.
//!
//! Long, and not one that many others use: nothing else is asked of them. No rule makes people add a digit, and none makes
//! them change it. They are kept as Argon2id hashes (RFC 9106) that say their own cost.

use super::{People, fold};
use crate::api::Problem;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Shortest password, in characters.
pub(crate) const MIN_CHARS: usize = 12;
/// Longest, in characters: enough for any sentence, and for no flood.
pub(crate) const MAX_CHARS: usize = 128;

/// The cost of a hash: 19 MiB and two passes, as OWASP's cheat sheet on storing passwords has it.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Commonest first; see its head for where it comes from.
static COMMON: &str = include_str!("common-passwords.txt");

/// Whether a password is taken, for an account of this name.
///
/// # Errors
/// Why not, said to the person.
pub(crate) fn check(password: &str, name: &str) -> Result<(), &'static str> {
    match password.chars().count() {
        n if n < MIN_CHARS => return Err("the password is too short: at least 12 characters; a few words do well"),
        n if n > MAX_CHARS => return Err("the password is too long: at most 128 characters"),
        _ => {}
    }
    let lower = password.to_lowercase();
    if is_common(&lower) {
        return Err("many people use this password, so it is among the first that are tried: take another one");
    }
    // What people add so that it is long enough: digits and marks around one word that everybody knows.
    let word = lower.trim_matches(|c: char| !c.is_alphabetic());
    if word.is_empty() && repeats(&lower) || !word.is_empty() && (repeats(&lower) || is_common(word)) {
        return Err("this is a common password made longer: take another one, such as a few words");
    }
    if !word.is_empty() && (word == fold(name) || word == "iocast" || lower == fold(name)) {
        return Err("the password must not be the name with something around it");
    }
    Ok(())
}

/// Whether it stands in the list.
fn is_common(text: &str) -> bool {
    COMMON.lines().skip_while(|line| line.starts_with('#')).any(|line| line == text)
}

/// Whether it is a short piece again and again, or each character follows the one before.
fn repeats(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let piece = |n: usize| chars.iter().enumerate().all(|(at, c)| *c == chars[at % n]);
    let steps = |by: i64| chars.windows(2).all(|two| i64::from(u32::from(two[1])) - i64::from(u32::from(two[0])) == by);
    (1..=4).any(piece) || steps(1) || steps(-1)
}

fn hasher() -> Result<Argon2<'static>, Problem> {
    let (memory, passes, lanes) = COST;
    let params =
        Params::new(memory, passes, lanes, None).map_err(|error| Problem::internal(format!("argon2: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl People {
    /// What is kept of a password.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn hash(&self, password: &str) -> Result<String, Problem> {
        let _one = self.room();
        let hash = hasher()?.hash_password(password.as_bytes());
        Ok(hash.map_err(|error| Problem::internal(format!("argon2: {error}")))?.to_string())
    }

    /// Whether this is the password that was hashed. Without a hash it is not, and takes as long.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn is_password(&self, password: &str, hash: Option<&str>) -> Result<bool, Problem> {
        let decoy = match self.decoy.get() {
            Some(decoy) => decoy,
            None => {
                let made = self.hash(&super::random_hex()?)?;
                self.decoy.get_or_init(|| made)
            }
        };
        // Longer ones are nobody's, and would only cost time; they cost as much as others.
        let fits = password.chars().count() <= MAX_CHARS;
        let _one = self.room();
        let same =
            hasher()?.verify_password(if fits { password.as_bytes() } else { b"" }, hash.unwrap_or(decoy)).is_ok();
        Ok(same && fits && hash.is_some())
    }

    /// Hashes made since the process began.
    pub(crate) fn n_hashed(&self) -> u64 {
        self.n_hashed.load(Ordering::Relaxed)
    }

    /// Waits until another hash may be made: each takes much memory.
    fn room(&self) -> std::sync::MutexGuard<'_, ()> {
        self.n_hashed.fetch_add(1, Ordering::Relaxed);
        if let Ok(free) = self.hashing[0].try_lock() {
            return free;
        }
        self.hashing[1].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S02: thirty passwords and what is said to them.
    #[test]
    fn long_uncommon_passwords_are_taken_and_nothing_else_is_asked() {
        for (password, why) in [
            ("", "too short"),
            ("short", "too short"),
            ("elevenchars", "too short"),
            ("Tr0ub4dor&3", "too short"),
            ("\u{1F600}\u{1F600}\u{1F600}", "too short"),
            ("1q2w3e4r5t6y", "many people"),
            ("1Q2W3E4R5T6Y", "many people"),
            ("qwerty123456", "many people"),
            ("123456qwerty", "many people"),
            ("administrator", "many people"),
            ("finalfantasy", "many people"),
            ("Unbelievable", "many people"),
            ("aaaaaaaaaaaa", "made longer"),
            ("abababababab", "made longer"),
            ("xyz1xyz1xyz1", "made longer"),
            ("abcdefghijklm", "made longer"),
            ("zyxwvutsrqpo", "made longer"),
            ("dragon2026!!!!", "made longer"),
            ("password12345!", "made longer"),
            ("!!!!!!!Sunshine", "made longer"),
            ("000000000000", "made longer"),
            ("alice.lindqvist", "the name"),
            ("Alice.Lindqvist2026", "the name"),
            ("iocast-2026-11", "the name"),
            ("correct horse battery", ""),
            ("vier Kaffee ohne Milch", ""),
            ("\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{5408}\u{8a00}\u{8449}\u{3092}\u{9577}\u{304f}\u{3059}\u{308b}", ""),
            ("            x            y", ""),
            ("gXq7-Kd91-mmTz", ""),
            ("739105846227", ""),
        ] {
            match check(password, "Alice.Lindqvist") {
                Ok(()) => assert_eq!(why, "", "{password} is taken"),
                Err(said) => assert!(!why.is_empty() && said.contains(why), "{password}: {said}"),
            }
        }
        assert!(check(&"long enough ".repeat(10), "a").is_ok(), "120 characters");
        assert!(check(&"xq".repeat(65), "a").is_err(), "130 characters");
    }

    #[test]
    fn what_is_kept_is_argon2id_at_its_cost() {
        let people = People::default();
        let hash = people.hash("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, people.hash("correct horse battery").unwrap(), "salted");
        assert!(people.is_password("correct horse battery", Some(&hash)).unwrap());
        for wrong in ["correct horse batter", "correct horse battery ", "", &"x".repeat(4096)] {
            assert!(!people.is_password(wrong, Some(&hash)).unwrap(), "{wrong}");
        }
        assert!(!people.is_password("", None).unwrap());
    }
}
