//! Configuration files: TOML with a place for every mistake.
//!
//! A file is read whole, and every mistake in it is told at once with file, line, column and key. What only the engine
//! can find (a rule that does not parse, a name nobody has) comes back as section, name and key; [`Loaded::locate`]
//! says where that stands. Which keys exist is known by the engine's own structs and is not repeated here.

use engine::ConfigFile;
use engine::config::nearest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest file read, in bytes. A list of values belongs into a feed.
pub const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most files of one directory.
pub const MAX_FILES: usize = 1_000;
/// Most mistakes told about one file.
const MAX_PROBLEMS: usize = 100;

/// A mistake, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: PathBuf,
    /// From 1; 0 where it is about the whole file.
    pub line: usize,
    /// In characters, from 1; 0 where it is about the whole file.
    pub column: usize,
    /// The key, dotted where nested, with positions in lists: `connection[2].interval`. Empty for syntax.
    pub key: String,
    /// What is wrong and what was expected.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// What the files say, and where they say it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Everything, as one configuration.
    pub file: ConfigFile,
    /// By section, name and key: `("connection", "ipsum", "settings.url")`; the key is empty for the thing itself.
    places: BTreeMap<(String, String, String), Place>,
}

impl Loaded {
    /// Where a mistake found later stands: at its key, else at the nearest key around it, else at the thing itself.
    /// None where no file mentions it, as when it was configured before.
    pub fn locate(&self, section: &str, name: &str, key: &str) -> Option<&Place> {
        let mut key = key;
        loop {
            let place = self.places.get(&(section.to_owned(), name.to_owned(), key.to_owned()));
            if place.is_some() || key.is_empty() {
                return place;
            }
            key = key.rsplit_once('.').map_or("", |(around, _)| around);
        }
    }
}

/// Reads files, and the `*.toml` files of directories in order of name, as one configuration.
///
/// # Errors
/// Every mistake of every file.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, Vec<Problem>> {
    let mut loaded = Loaded::default();
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        match listed(path) {
            Ok(found) => files.extend(found),
            Err(problem) => problems.push(about_file(path, problem)),
        }
    }
    for path in &files {
        match text_of(path) {
            Ok(text) => read(path, &text, &mut loaded, &mut problems),
            Err(problem) => problems.push(about_file(path, problem)),
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// Reads one text as if it were a file of this name.
///
/// # Errors
/// Every mistake in it.
pub fn parse(name: &Path, text: &str) -> Result<Loaded, Vec<Problem>> {
    let mut loaded = Loaded::default();
    let mut problems = Vec::new();
    read(name, text, &mut loaded, &mut problems);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// The same configuration, each section in order of name.
pub fn sorted(mut file: ConfigFile) -> ConfigFile {
    file.tenant.sort_by(|a, b| a.name.cmp(&b.name));
    file.connection.sort_by(|a, b| a.name.cmp(&b.name));
    file.target.sort_by(|a, b| a.name.cmp(&b.name));
    file.rule.sort_by(|a, b| a.name.cmp(&b.name));
    file.sharing.sort_by_cached_key(engine::config::SharingDoc::name);
    file.guard.sort_by(|a, b| a.name.cmp(&b.name));
    file.guard_exception.sort_by_cached_key(engine::config::GuardExceptionDoc::name);
    file.notify.sort_by(|a, b| a.name.cmp(&b.name));
    file.provider.sort_by(|a, b| a.name.cmp(&b.name));
    file
}

/// Section and name of everything but the policy.
pub fn names(file: &ConfigFile) -> Vec<(&'static str, String)> {
    let mut names: Vec<(&'static str, String)> = Vec::new();
    names.extend(file.tenant.iter().map(|d| ("tenant", d.name.clone())));
    names.extend(file.connection.iter().map(|d| ("connection", d.name.clone())));
    names.extend(file.target.iter().map(|d| ("target", d.name.clone())));
    names.extend(file.rule.iter().map(|d| ("rule", d.name.clone())));
    names.extend(file.sharing.iter().map(|d| ("sharing", d.name())));
    names.extend(file.guard.iter().map(|d| ("guard", d.name.clone())));
    names.extend(file.guard_exception.iter().map(|d| ("guard_exception", d.name())));
    names.extend(file.notify.iter().map(|d| ("notify", d.name.clone())));
    names.extend(file.provider.iter().map(|d| ("provider", d.name.clone())));
    names
}

/// Writes a configuration as TOML that reads back as the same, section by section, sorted by name; a section without
/// anything in it as an empty text.
///
/// # Errors
/// A number that TOML has no way to write.
pub fn write(file: ConfigFile) -> Result<Vec<(&'static str, String)>, String> {
    let ConfigFile { policy, tenant, connection, target, rule, sharing, guard, guard_exception, notify, provider } =
        sorted(file);
    let none = ConfigFile::default;
    [
        ("policy", ConfigFile { policy, ..none() }),
        ("tenant", ConfigFile { tenant, ..none() }),
        ("connection", ConfigFile { connection, ..none() }),
        ("target", ConfigFile { target, ..none() }),
        ("rule", ConfigFile { rule, ..none() }),
        ("sharing", ConfigFile { sharing, ..none() }),
        ("guard", ConfigFile { guard, ..none() }),
        ("guard_exception", ConfigFile { guard_exception, ..none() }),
        ("notify", ConfigFile { notify, ..none() }),
        ("provider", ConfigFile { provider, ..none() }),
    ]
    .into_iter()
    .map(|(section, mut part)| {
        // TOML has no null; a setting that is null is not set.
        part.tenant.iter_mut().for_each(|doc| drop_nulls(&mut doc.settings));
        part.connection.iter_mut().for_each(|doc| drop_nulls(&mut doc.settings));
        part.target.iter_mut().for_each(|doc| drop_nulls(&mut doc.params));
        part.notify.iter_mut().for_each(|doc| drop_nulls(&mut doc.settings));
        let text = toml::to_string(&part).map_err(|error| format!("{section} cannot be written as TOML: {error}"))?;
        Ok((section, text))
    })
    .collect()
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|_, value| !value.is_null());
            table.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => {
            list.retain(|value| !value.is_null());
            list.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

fn about_file(path: &Path, problem: String) -> Problem {
    Problem { file: path.to_owned(), line: 0, column: 0, key: String::new(), problem, suggestion: None }
}

fn listed(path: &Path) -> Result<Vec<PathBuf>, String> {
    let meta = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml") && path.is_file())
        .collect();
    found.sort();
    match found.len() {
        0 => Err("is a directory without a *.toml file".to_owned()),
        n if n > MAX_FILES => Err(format!("holds {n} *.toml files, at most {MAX_FILES} are read")),
        _ => Ok(found),
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(cannot)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("is longer than {} MiB; values by the thousand belong into a feed", MAX_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("is no UTF-8 text (line {line})")
    })
}

/// One file while it is read.
struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    root: &'a DeTable<'a>,
}

fn read(path: &Path, text: &str, loaded: &mut Loaded, problems: &mut Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let reading = Reading { path, text, root: root.get_ref() };
    if !errors.is_empty() {
        for error in errors.into_iter().take(MAX_PROBLEMS) {
            let span = error.span().unwrap_or(0..0);
            problems.push(reading.problem(&span, "", error.message().to_owned(), None));
        }
        return;
    }
    let before = problems.len();
    let file = reading.config(problems);
    if problems.len() == before {
        merge(file, &reading, loaded, problems);
    }
}

/// Adds a file to what is loaded. What two files say twice is a mistake: which of them holds would be chance.
fn merge(file: ConfigFile, reading: &Reading<'_>, loaded: &mut Loaded, problems: &mut Vec<Problem>) {
    fn names<T>(section: &str, docs: &[T], name: impl Fn(&T) -> String, out: &mut Vec<(String, usize, String)>) {
        out.extend(docs.iter().enumerate().map(|(at, doc)| (section.to_owned(), at, name(doc))));
    }
    let mut all = Vec::new();
    names("tenant", &file.tenant, |d| d.name.clone(), &mut all);
    names("connection", &file.connection, |d| d.name.clone(), &mut all);
    names("target", &file.target, |d| d.name.clone(), &mut all);
    names("rule", &file.rule, |d| d.name.clone(), &mut all);
    names("sharing", &file.sharing, |d| d.name(), &mut all);
    names("guard", &file.guard, |d| d.name.clone(), &mut all);
    names("guard_exception", &file.guard_exception, |d| d.name(), &mut all);
    names("notify", &file.notify, |d| d.name.clone(), &mut all);
    names("provider", &file.provider, |d| d.name.clone(), &mut all);
    for (section, at, name) in all {
        let Some(value) = reading.root.get(section.as_str()).and_then(|list| list.get_ref().get(at)) else { continue };
        let place = reading.place(&value.span());
        let id = (section.clone(), name.clone(), String::new());
        if let Some(first) = loaded.places.get(&id) {
            let problem = format!(
                "a {section} {name:?} was described before, at {}:{}; describe each thing once",
                first.file.display(),
                first.line
            );
            problems.push(reading.problem(&value.span(), &section, problem, None));
            continue;
        }
        loaded.places.insert(id, place.clone());
        reading.keys(&section, &name, "", value, &mut loaded.places);
        // The engine names an exception by its value.
        if section == "guard_exception"
            && let Some((value_, _)) = name.split_once(" → ")
        {
            loaded.places.entry((section.clone(), value_.to_owned(), String::new())).or_insert(place);
            reading.keys(&section, value_, "", value, &mut loaded.places);
        }
    }
    if let Some(policy) = reading.root.get("policy") {
        let id = ("policy".to_owned(), String::new(), String::new());
        if let Some(first) = loaded.places.get(&id) {
            let problem = format!("there is a [policy] already, at {}:{}", first.file.display(), first.line);
            problems.push(reading.problem(&policy.span(), "policy", problem, None));
        }
        loaded.places.insert(id, reading.place(&policy.span()));
        reading.keys("policy", "", "", policy, &mut loaded.places);
        loaded.file.policy = file.policy;
    }
    loaded.file.tenant.extend(file.tenant);
    loaded.file.connection.extend(file.connection);
    loaded.file.target.extend(file.target);
    loaded.file.rule.extend(file.rule);
    loaded.file.sharing.extend(file.sharing);
    loaded.file.guard.extend(file.guard);
    loaded.file.guard_exception.extend(file.guard_exception);
    loaded.file.notify.extend(file.notify);
    loaded.file.provider.extend(file.provider);
}

/// A step from a table or list to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(Step::At(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Step::Key(key.clone())),
            _ => None,
        })
        .collect()
}

/// What the structs had against a value, in our words.
struct Mistake {
    problem: String,
    suggestion: Option<String>,
    /// What it is about.
    path: Vec<Step>,
    /// Whether it is about the key and not about its value.
    at_key: bool,
}

impl Mistake {
    /// Reads the message of serde, which knows the keys there are: nobody else has to list them.
    fn of(message: &str, path: Vec<Step>) -> Mistake {
        let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        if message.starts_with("unknown field") {
            let mut names = quoted(message);
            let key = if names.is_empty() { String::new() } else { names.remove(0) };
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let suggestion = nearest(&key, &known).map(|near| format!("did you mean \"{near}\"?"));
            let what = if path.len() == 1 { "section" } else { "key" };
            let problem = match &suggestion {
                None if !known.is_empty() => format!("unknown {what} \"{key}\"; expected one of {}", known.join(", ")),
                _ => format!("unknown {what} \"{key}\""),
            };
            return Mistake { problem, suggestion, path, at_key: true };
        }
        if let Some(key) = missing(message) {
            let problem = format!("the key \"{key}\" is missing");
            return Mistake { problem, suggestion: None, path, at_key: false };
        }
        let problem = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
        let problem = match problem.and_then(|rest| rest.rsplit_once(", expected ")) {
            Some((found, expected)) => format!("expected {}, found {found}", plain(expected)),
            None => message.to_owned(),
        };
        Mistake { problem, suggestion: None, path, at_key: false }
    }
}

/// The key that serde misses.
fn missing(message: &str) -> Option<String> {
    message.strip_prefix("missing field `")?.split('`').next().map(str::to_owned)
}

/// Names of Rust types, for people.
fn plain(expected: &str) -> String {
    let known = [
        ("a sequence", "a list"),
        ("a string", "a text"),
        ("a boolean", "true or false"),
        ("a map", "a table"),
        ("u8", "a whole number from 0 to 255"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number, 0 or more"),
        ("u64", "a whole number, 0 or more"),
        ("i64", "a whole number"),
    ];
    if let Some((_, words)) = known.iter().find(|(name, _)| *name == expected) {
        return (*words).to_owned();
    }
    if expected.starts_with("struct ") { "a table".to_owned() } else { expected.to_owned() }
}

impl Reading<'_> {
    /// The sections, thing by thing: one that cannot be read does not hide the mistakes of the others.
    fn config(&self, problems: &mut Vec<Problem>) -> ConfigFile {
        let mut sections = table(self.root);
        let mut file = ConfigFile::default();
        if let Some(policy) = sections.remove("policy") {
            file.policy = self.doc(&[Step::Key("policy".to_owned())], policy, problems);
        }
        file.tenant = self.docs("tenant", &mut sections, problems);
        file.connection = self.docs("connection", &mut sections, problems);
        file.target = self.docs("target", &mut sections, problems);
        file.rule = self.docs("rule", &mut sections, problems);
        file.sharing = self.docs("sharing", &mut sections, problems);
        file.guard = self.docs("guard", &mut sections, problems);
        file.guard_exception = self.docs("guard_exception", &mut sections, problems);
        file.notify = self.docs("notify", &mut sections, problems);
        file.provider = self.docs("provider", &mut sections, problems);
        // What is left is no section; the struct says which there are.
        self.doc::<ConfigFile>(&[], Value::Object(sections), problems);
        file
    }

    fn docs<T: DeserializeOwned>(
        &self,
        section: &str,
        sections: &mut Map<String, Value>,
        problems: &mut Vec<Problem>,
    ) -> Vec<T> {
        match sections.remove(section) {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .filter_map(|(at, item)| self.doc(&[Step::Key(section.to_owned()), Step::At(at)], item, problems))
                .collect(),
            Some(_) => {
                let suggestion = Some(format!("write [[{section}]]"));
                let mistake = Mistake {
                    problem: "there may be many of these".to_owned(),
                    suggestion,
                    path: vec![Step::Key(section.to_owned())],
                    at_key: true,
                };
                self.tell(&mistake, problems);
                Vec::new()
            }
        }
    }

    /// One thing. What is wrong in it is told and taken out, so that the next mistake comes to light.
    fn doc<T: DeserializeOwned>(&self, at: &[Step], mut value: Value, problems: &mut Vec<Problem>) -> Option<T> {
        let mut taken: Vec<Vec<Step>> = Vec::new();
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(&value) {
                Ok(doc) => return Some(doc),
                Err(error) => error,
            };
            let mut inside = steps(error.path());
            let message = error.inner().to_string();
            if let Some(key) = missing(&message) {
                let whole = [inside.as_slice(), &[Step::Key(key)]].concat();
                if taken.contains(&whole) {
                    // It was there, and what is wrong with it has been told.
                    return None;
                }
            }
            self.tell(&Mistake::of(&message, [at, &inside].concat()), problems);
            while matches!(inside.last(), Some(Step::At(_))) {
                inside.pop();
            }
            if problems.len() >= MAX_PROBLEMS || !remove(&mut value, &inside) {
                return None;
            }
            taken.push(inside);
        }
    }

    fn tell(&self, mistake: &Mistake, problems: &mut Vec<Problem>) {
        let mut key = String::new();
        for step in &mistake.path {
            match step {
                Step::Key(name) if key.is_empty() => key.push_str(name),
                Step::Key(name) => key.extend([".", name]),
                Step::At(at) => key.push_str(&format!("[{at}]")),
            }
        }
        let span = self.span(&mistake.path, mistake.at_key);
        problems.push(self.problem(&span, &key, mistake.problem.clone(), mistake.suggestion.clone()));
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: self.path.to_owned(),
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn problem(&self, span: &Range<usize>, key: &str, problem: String, suggestion: Option<String>) -> Problem {
        let Place { file, line, column } = self.place(span);
        Problem { file, line, column, key: key.to_owned(), problem, suggestion }
    }

    /// Where a path leads, or as far as it does.
    fn span(&self, path: &[Step], at_key: bool) -> Range<usize> {
        let mut span = 0..0;
        let mut value: Option<&Spanned<DeValue<'_>>> = None;
        for (n, step) in path.iter().enumerate() {
            let next = match step {
                Step::Key(key) => {
                    let table = match value {
                        None => Some(self.root),
                        Some(value) => value.get_ref().as_table(),
                    };
                    table.and_then(|table| table.get_key_value(key.as_str())).map(|(key, value)| {
                        let about_key = at_key && n + 1 == path.len();
                        (if about_key { key.span() } else { value.span() }, value)
                    })
                }
                Step::At(at) => value.and_then(|value| value.get_ref().get(*at)).map(|value| (value.span(), value)),
            };
            let Some((found, inner)) = next else { break };
            span = found;
            value = Some(inner);
        }
        span
    }

    /// Notes the place of every key of a thing. An exception in a list goes by its name, as the engine says it.
    fn keys(
        &self,
        section: &str,
        name: &str,
        around: &str,
        value: &Spanned<DeValue<'_>>,
        places: &mut BTreeMap<(String, String, String), Place>,
    ) {
        let below = |key: &str| if around.is_empty() { key.to_owned() } else { format!("{around}.{key}") };
        let inner: Vec<(String, Range<usize>, &Spanned<DeValue<'_>>)> = match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().map(|(key, value)| (below(key.get_ref()), key.span(), value)).collect()
            }
            DeValue::Array(list) => {
                let name = |item: &Spanned<DeValue<'_>>| Some(below(item.get_ref().get("name")?.get_ref().as_str()?));
                list.iter().filter_map(|item| Some((name(item)?, item.span(), item))).collect()
            }
            _ => Vec::new(),
        };
        for (key, span, value) in inner {
            let id = (section.to_owned(), name.to_owned(), key.clone());
            places.entry(id).or_insert_with(|| self.place(&span));
            self.keys(section, name, &key, value, places);
        }
    }
}

fn table(table: &DeTable<'_>) -> Map<String, Value> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.into(),
            Err(_) => Value::String(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => Value::Number(number),
            None => Value::String(number.as_str().to_owned()),
        },
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(list) => list.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(inner) => Value::Object(table(inner)),
    }
}

/// Takes the key out that a path leads to. False where there is none.
fn remove(value: &mut Value, path: &[Step]) -> bool {
    let Some((Step::Key(last), around)) = path.split_last() else { return false };
    let inner = around.iter().try_fold(value, |inner, step| match step {
        Step::Key(key) => inner.get_mut(key.as_str()),
        Step::At(at) => inner.get_mut(*at),
    });
    inner.and_then(Value::as_object_mut).is_some_and(|table| table.remove(last).is_some())
}
