//! The house rules that no lint knows: who may import whom, what must never appear where, and that what is listed exists.
//!
//! Each rule is a function from texts to problems, so each is tested with a sample that breaks it.

mod failpoints;
mod layout;
mod source;
mod walls;

use std::path::Path;

use anyhow::{Result, bail};

use crate::{faults, repo};

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    /// 1 for the first line; 0 where it is about the whole file.
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Problem {
        Problem { path: path.into(), line, what: what.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let paths = repo::paths(root)?;
    let files = repo::text_files(root, &paths)?;

    let mut problems = walls::check(&repo::metadata(root, &["--no-deps"])?);
    problems.extend(walls::lints_are_inherited(&files));
    for file in &files {
        problems.extend(source::check(file));
    }
    problems.extend(faults::problems(&files).into_iter().map(|(path, line, what)| Problem { path, line, what }));
    problems.extend(failpoints::check(&files));
    problems.extend(layout::links(&files, &paths));
    problems.extend(layout::changelog(&paths));
    problems.extend(layout::connectors(&files, &paths));
    problems.extend(layout::testdata(root, &files, &paths)?);

    problems.extend(crate::guard::drift(&files)?.into_iter().map(|list| {
        let path = format!("crates/engine/guard/lists/{list}.txt");
        Problem::new(&path, 0, "is not what its sources make: run `cargo xtask guard`")
    }));

    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        println!("tidy: {} files, nothing to mend", files.len());
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    bail!("tidy found {} problems", problems.len())
}
