//! What must not appear in a file, told from its text alone.
//!
//! Rust is first reduced to its code: comments and literals are blanked, so a rule is not broken by a sentence about it.

use super::Problem;
use crate::repo::File;

/// Above this a file owes a reason in its first comment: `//! Long because …`.
const MAX_LINES: usize = 800;

/// A word that code may not contain outside the places listed with a reason.
struct Ban {
    needles: &'static [&'static str],
    what: &'static str,
    /// Where the rule holds, as prefixes of paths; empty for everywhere.
    inside: &'static [&'static str],
    /// `(part of a path, reason)`.
    except: &'static [(&'static str, &'static str)],
}

const BELOW_IOCAST: &[&str] = &[
    "crates/intel/",
    "crates/kit/",
    "crates/connectors/",
    "crates/index/",
    "crates/store/",
    "crates/engine/",
    "xtask/",
];

const BANS: &[Ban] = &[
    Ban { needles: &["async", ".await"], what: "there is no async below iocast", inside: BELOW_IOCAST, except: &[] },
    Ban {
        needles: &["unsafe"],
        what: "unsafe code is forbidden",
        inside: &[],
        except: &[("crates/faultvfs/", "it speaks SQLite's C interface, and is in no build but that of tests")],
    },
    Ban {
        needles: &["Serialize", "Deserialize", "serde"],
        what: "intel derives no serialization: the twin lives where the format lives",
        inside: &["crates/intel/"],
        except: &[],
    },
    Ban {
        needles: &["#[ignore", "#![ignore"],
        what: "no test is ignored: mend it or delete it",
        inside: &[],
        except: &[],
    },
    Ban {
        needles: &["thread::sleep", "time::sleep", "sleep_until", "park_timeout"],
        what: "nothing sleeps: time is an argument, and waiting is waiting for something",
        inside: &[],
        except: &[("crates/kit/src/http/wait.rs", "the machine's clock as kit hands it to the live transport")],
    },
    Ban {
        needles: &["SystemTime::now", "Instant::now", "Utc::now", "Local::now", "Timestamp::now"],
        what: "time is passed in",
        inside: &[],
        except: &[
            ("crates/iocast/", "the binary is where the clock is read and handed down"),
            ("crates/kit/src/http/wait.rs", "the machine's clock as kit hands it to the live transport"),
            ("/examples/", "programs that measure read the clock to do so"),
            ("xtask/", "developer tasks print how long they took"),
            ("crates/chromium/", "tests wait for a browser so long and no longer; it is in no build but theirs"),
        ],
    },
    Ban { needles: &["todo!", "unimplemented!"], what: "what is not there is not offered", inside: &[], except: &[] },
];

/// Words of a machine or a way of working that mean nothing to a reader of this repository.
const FORBIDDEN_WORDS: &[&str] = &[concat!("..", "/shared"), concat!("/wo", "rk/")];

/// Where a tab or a blank at the end of a line is never meant.
const PROSE_AND_CODE: &[&str] = &["rs", "md", "toml", "html", "css", "js", "sql", "yml", "yaml"];

pub(super) fn check(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    if file.has_extension("rs") {
        rust(file, &mut problems);
    }
    whitespace(file, &mut problems);
    if !file.path.starts_with("testdata/") {
        for (number, line) in numbered(&file.text) {
            for word in FORBIDDEN_WORDS.iter().filter(|word| line.contains(**word)) {
                problems.push(Problem::new(
                    &file.path,
                    number,
                    format!("`{word}` means nothing to a reader of this repository"),
                ));
            }
        }
    }
    problems
}

fn rust(file: &File, problems: &mut Vec<Problem>) {
    let count = file.text.lines().count();
    if count > MAX_LINES && !has_reason_for_length(&file.text) {
        let what = format!("{count} lines: split it, or begin with `//! Long because …` (limit {MAX_LINES})");
        problems.push(Problem::new(&file.path, 0, what));
    }

    let code = code_only(&file.text);
    for ban in BANS {
        let holds = ban.inside.is_empty() || ban.inside.iter().any(|prefix| file.path.starts_with(prefix));
        if !holds || ban.except.iter().any(|(part, _)| file.path.contains(part)) {
            continue;
        }
        for (number, line) in numbered(&code) {
            if let Some(needle) = ban.needles.iter().find(|needle| contains_word(line, needle)) {
                problems.push(Problem::new(&file.path, number, format!("`{needle}`: {}", ban.what)));
            }
        }
    }
}

/// The reason stands in the comment that opens the file.
fn has_reason_for_length(text: &str) -> bool {
    text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with("//! Long because "))
}

fn whitespace(file: &File, problems: &mut Vec<Problem>) {
    if !PROSE_AND_CODE.iter().any(|extension| file.has_extension(extension)) {
        return;
    }
    for (number, line) in numbered(&file.text) {
        if line.contains('\t') {
            problems.push(Problem::new(&file.path, number, "a tab"));
        }
        if line.ends_with([' ', '\t', '\r']) {
            problems.push(Problem::new(&file.path, number, "white space at the end of the line"));
        }
    }
    // What others published is kept byte for byte: its digest is compared.
    let is_theirs = file.path.contains("/assets/vendor/");
    if !is_theirs && !file.text.is_empty() && !file.text.ends_with('\n') {
        problems.push(Problem::new(&file.path, 0, "the last line has no end"));
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // `split` and not `lines`: a carriage return at the end must be seen.
    text.split('\n').enumerate().map(|(at, line)| (at + 1, line))
}

/// Whether `needle` stands in `line` and is not part of a longer name: `unsafe_code` is not `unsafe`.
fn contains_word(line: &str, needle: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + needle.len()..].chars().next();
        let glued_before = needle.starts_with(in_name) && before.is_some_and(in_name);
        let glued_after = needle.ends_with(in_name) && after.is_some_and(in_name);
        !glued_before && !glued_after
    })
}

/// The text with comments and the insides of string and character literals blanked; every line keeps its number.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !previous.is_alphanumeric() && previous != '_') {
            length
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(c);
            previous = c;
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            previous = ' ';
            rest = &rest[skipped..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` at the start of the text.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - after.len() + hashes + 1;
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal, or 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => quoted(text, '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of a file without their places.
    fn found(path: &str, text: &str) -> Vec<String> {
        check(&File::new(path, text)).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn each_ban_has_a_sample_that_breaks_it_and_one_that_does_not() {
        let cases = [
            ("crates/kit/src/a.rs", "async fn go() {}\n", 1),
            ("crates/kit/src/a.rs", "fn go() { it.await }\n", 1),
            ("crates/iocast/src/a.rs", "async fn go() {}\n", 0),
            ("crates/kit/src/a.rs", "// async is for others\nfn go() { say(\"async\") }\n", 0),
            ("crates/kit/src/a.rs", "fn asynchronous() {}\n", 0),
            ("crates/store/src/a.rs", "fn go() { unsafe { } }\n", 1),
            ("crates/store/src/lib.rs", "#![forbid(unsafe_code)]\n", 0),
            ("crates/intel/src/a.rs", "#[derive(Serialize)]\nstruct A;\n", 1),
            ("crates/kit/src/a.rs", "#[derive(Serialize)]\nstruct A;\n", 0),
            ("crates/kit/src/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n", 1),
            ("crates/engine/tests/it/main.rs", "use std::thread; fn a() { thread::sleep(x) }\n", 1),
            ("crates/iocast/src/a.rs", "fn a() { tokio::time::sleep(x).await }\n", 1),
            ("crates/kit/src/http/wait.rs", "fn a() { std::thread::sleep(x) }\n", 0),
            ("crates/kit/src/http/live.rs", "fn a() { std::thread::sleep(x) }\n", 1),
            ("crates/engine/src/a.rs", "let now = Utc::now();\n", 1),
            ("crates/engine/src/a.rs", "let now = std::time::Instant::now();\n", 1),
            ("crates/kit/src/feed.rs", "let now = SystemTime::now();\n", 1),
            ("crates/iocast/src/a.rs", "let now = SystemTime::now();\n", 0),
            ("crates/intel/examples/speed.rs", "let now = Instant::now();\n", 0),
            ("crates/iocast/src/a.rs", "fn a() { todo!() }\n", 1),
        ];
        for (path, text, expect) in cases {
            assert_eq!(found(path, text).len(), expect, "{path}: {text}");
        }
    }

    #[test]
    fn every_ban_is_broken_by_each_of_its_words() {
        for ban in BANS {
            let folder = ban.inside.first().unwrap_or(&"crates/connectors/");
            for needle in ban.needles {
                let problems = found(&format!("{folder}src/a.rs"), &format!("{needle}\n"));
                assert!(problems.iter().any(|what| what.contains(ban.what)), "{needle}: {problems:?}");
            }
        }
    }

    #[test]
    fn a_long_file_owes_a_reason() {
        let long = "fn a() {}\n".repeat(MAX_LINES + 1);
        assert_eq!(found("crates/kit/src/a.rs", &long).len(), 1);
        assert_eq!(
            found("crates/kit/src/a.rs", &format!("//! Why.\n//! Long because it is a table.\n{long}")).len(),
            0
        );
        assert_eq!(found("crates/kit/src/a.rs", &format!("{long}//! Long because it is a table.\n")).len(), 1);
        assert_eq!(found("crates/kit/src/a.rs", &"fn a() {}\n".repeat(MAX_LINES)).len(), 0);
    }

    #[test]
    fn words_that_belong_elsewhere() {
        assert_eq!(found("README.md", &format!("see {}/x\n", concat!("..", "/shared"))).len(), 1);
        assert_eq!(found("docs/a.md", &format!("cd {}main\n", concat!("/wo", "rk/"))).len(), 1);
        assert_eq!(found("docs/a.md", "shared work\n").len(), 0);
    }

    #[test]
    fn white_space() {
        let cases = [("a\tb\n", 1), ("a \n", 1), ("a\r\n", 1), ("a", 1), ("a\n", 0), ("", 0)];
        for (text, expect) in cases {
            assert_eq!(found("docs/a.md", text).len(), expect, "{text:?}");
        }
        assert_eq!(found("crates/connectors/src/a/exchanges/pull.http", "a\tb \r\n").len(), 0, "recorded bytes stay");
    }

    #[test]
    fn only_code_is_left() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("\"a // \\\" b\" c", "            c"),
            ("r#\"a \" b\"# c", "           c"),
            ("bar\"x\"", "bar   "),
            ("'\\'' 'x' '\"' \"y\"", "                "),
            ("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)"),
            ("\"open", "     "),
            ("'é' b", "    b"),
        ];
        for (text, expect) in cases {
            assert_eq!(code_only(text), expect, "{text}");
        }
    }
}
