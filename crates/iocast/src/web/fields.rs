//! Forms: a document as groups of typed fields, and what was posted as the document again.
//!
//! A field is declared as a connector declares a setting, so a form of a connection is the general fields of every
//! connection and the connector's own, and a connector ships no page. What is posted becomes the document that the API
//! takes, and is checked there; here only the texts of a form become numbers, lists and tables. A field that still has
//! the text it was shown with leaves its value as it was, so no document changes by being looked at.

use kit::manifest::{Setting, SettingType};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// What stands for a secret that is set.
const SET: &str = engine::seal::SET;

/// What a form posted: the values of each name, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Posted(HashMap<String, Vec<String>>);

impl Posted {
    /// Of `application/x-www-form-urlencoded` pairs. Line ends are those of a document, not of a form.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Posted {
        let mut posted = Posted::default();
        for (name, value) in pairs {
            posted.0.entry(name).or_default().push(value.replace("\r\n", "\n"));
        }
        posted
    }

    /// The first value of a name; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    /// The same without blanks around it; None where nothing is left.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }

    /// Whether there is a value at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names there are, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All values of a name.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// How a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Widget {
    /// One line.
    Line,
    /// A whole number or a number.
    Number,
    /// Several lines: a list or a table.
    Lines,
    /// A box to tick.
    Tick,
    /// One of its choices.
    Select,
    /// Some of its choices.
    Boxes,
    /// Nobody sees it.
    Secret,
}

/// One value offered.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// As it is posted.
    pub(crate) value: String,
    /// As it is shown.
    pub(crate) label: String,
    /// Whether it stands.
    pub(crate) chosen: bool,
}

/// One field, as a page shows it.
#[derive(Debug, Clone)]
pub(crate) struct FieldView {
    /// Its place in the document, dotted; also its name in the form.
    pub(crate) name: String,
    /// Its name for people.
    pub(crate) label: String,
    /// What it does.
    pub(crate) help: String,
    /// How it is shown.
    pub(crate) widget: Widget,
    /// Whether it must be given.
    pub(crate) required: bool,
    /// Whether it can be changed.
    pub(crate) locked: bool,
    /// What stands in it.
    pub(crate) text: String,
    /// What stands where nothing is given, or an example.
    pub(crate) placeholder: String,
    /// Its choices.
    pub(crate) choices: Vec<Choice>,
    /// Whether a tick stands.
    pub(crate) ticked: bool,
    /// Whether a secret is there that nobody sees.
    pub(crate) is_set: bool,
    /// What is wrong with it.
    pub(crate) errors: Vec<String>,
}

impl FieldView {
    /// Its name as an id in the page.
    pub(crate) fn id(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        format!("f-{}", self.name.chars().map(plain).collect::<String>())
    }
}

/// Fields that belong together, as a page shows them.
#[derive(Debug, Clone)]
pub(crate) struct GroupView {
    /// What they are about.
    pub(crate) title: String,
    /// A sentence about them.
    pub(crate) help: String,
    /// Whether they are shown only when asked for.
    pub(crate) folded: bool,
    /// The fields.
    pub(crate) fields: Vec<FieldView>,
}

/// A field of a document.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its place in the document, dotted.
    pub(crate) name: String,
    /// What it is.
    pub(crate) setting: Setting,
    /// Names of its choices, where they are not the values.
    pub(crate) labels: Vec<String>,
    /// What is offered to be typed; anything else may be too.
    pub(crate) locked: bool,
}

/// Fields that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// What they are about.
    pub(crate) title: String,
    /// A sentence about them.
    pub(crate) help: String,
    /// Whether they are shown only when asked for, unless something in them is given or wrong.
    pub(crate) folded: bool,
    /// The fields.
    pub(crate) fields: Vec<Field>,
}

/// The fields of a document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    /// In the order shown.
    pub(crate) groups: Vec<Group>,
}

/// What is wrong with a field: its place in the document, and the problem.
pub(crate) type Wrong = (String, String);

impl Field {
    /// A field of this name, type and label.
    pub(crate) fn new(name: &str, value_type: SettingType, label: &str, help: &str) -> Field {
        let setting = Setting {
            key: name.to_owned(),
            value_type,
            label: label.to_owned(),
            help: help.to_owned(),
            required: false,
            default: None,
            choices: Vec::new(),
            min: None,
            max: None,
            example: None,
        };
        Field { name: name.to_owned(), setting, labels: Vec::new(), locked: false }
    }

    /// A setting that a connector declares, at its place in a document.
    pub(crate) fn of(setting: &Setting, under: &str) -> Field {
        let name = format!("{under}.{}", setting.key);
        Field { name, setting: setting.clone(), labels: Vec::new(), locked: false }
    }

    /// It must be given.
    #[must_use]
    pub(crate) fn required(mut self) -> Field {
        self.setting.required = true;
        self
    }

    /// It stays as it was made.
    #[must_use]
    pub(crate) fn locked(mut self, locked: bool) -> Field {
        self.locked = locked;
        self
    }

    /// What stands where nothing is said.
    #[must_use]
    pub(crate) fn default(mut self, default: impl Into<Value>) -> Field {
        self.setting.default = Some(default.into());
        self
    }

    /// What it may be, value and label.
    #[must_use]
    pub(crate) fn choices<V: Into<String>, L: Into<String>>(mut self, all: impl IntoIterator<Item = (V, L)>) -> Field {
        for (value, label) in all {
            self.setting.choices.push(value.into());
            self.labels.push(label.into());
        }
        self
    }

    /// An example.
    #[must_use]
    pub(crate) fn example(mut self, example: &str) -> Field {
        self.setting.example = Some(example.into());
        self
    }

    fn widget(&self) -> Widget {
        match self.setting.value_type {
            SettingType::Bool if self.setting.default.is_some() => Widget::Tick,
            SettingType::Bool | SettingType::Choice | SettingType::Kind => Widget::Select,
            SettingType::List if !self.setting.choices.is_empty() => Widget::Boxes,
            SettingType::List | SettingType::Map => Widget::Lines,
            SettingType::Int | SettingType::Float => Widget::Number,
            SettingType::Secret => Widget::Secret,
            SettingType::Text | SettingType::Url | SettingType::Path | SettingType::Duration => Widget::Line,
        }
    }

    /// The text a value is shown as.
    fn shown(&self, value: Option<&Value>) -> String {
        match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => items.iter().map(text_of).collect::<Vec<_>>().join("\n"),
            Some(Value::Object(map)) => {
                map.iter().map(|(key, value)| format!("{key} = {}", text_of(value))).collect::<Vec<_>>().join("\n")
            }
            Some(other) => other.to_string(),
        }
    }

    fn view(&self, doc: &Value, errors: &[Wrong]) -> FieldView {
        let value = get(doc, &self.name);
        let setting = &self.setting;
        let widget = self.widget();
        let is_set = widget == Widget::Secret && value.and_then(Value::as_str) == Some(SET);
        let text = if is_set { String::new() } else { self.shown(value) };
        let standing = value.or(setting.default.as_ref());
        let default = self.shown(setting.default.as_ref());
        let placeholder = match (&setting.default, &setting.example) {
            _ if is_set => "set; type to replace it".to_owned(),
            (Some(_), _) if !default.is_empty() => default.lines().collect::<Vec<_>>().join(", "),
            (_, Some(example)) => {
                format!("e.g. {}", self.shown(Some(example)).lines().collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        let choices = match widget {
            Widget::Select => self.select(&text, &default),
            Widget::Boxes => {
                let chosen = |choice: &str| {
                    standing.and_then(Value::as_array).is_some_and(|items| items.iter().any(|item| item == choice))
                };
                let labels = setting.choices.iter().enumerate();
                let mut boxes: Vec<Choice> = labels
                    .map(|(at, value)| Choice {
                        value: value.clone(),
                        label: self.labels.get(at).unwrap_or(value).clone(),
                        chosen: chosen(value),
                    })
                    .collect();
                // What is no choice any more is shown all the same, to be unticked.
                for item in standing.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
                    if !setting.choices.iter().any(|choice| choice == item) {
                        boxes.push(Choice { value: item.to_owned(), label: item.to_owned(), chosen: true });
                    }
                }
                boxes
            }
            _ => Vec::new(),
        };
        let is_mine =
            |at: &str| at == self.name || at.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with(['.', '[']));
        FieldView {
            name: self.name.clone(),
            label: setting.label.clone(),
            help: setting.help.clone(),
            widget,
            required: setting.required && setting.default.is_none(),
            locked: self.locked,
            ticked: standing.and_then(Value::as_bool).unwrap_or(false),
            text,
            placeholder,
            choices,
            is_set,
            errors: errors.iter().filter(|(at, _)| is_mine(at)).map(|(_, problem)| problem.clone()).collect(),
        }
    }

    fn select(&self, text: &str, default: &str) -> Vec<Choice> {
        let setting = &self.setting;
        let mut all: Vec<(String, String)> = match setting.value_type {
            SettingType::Bool => vec![("true".into(), "yes".into()), ("false".into(), "no".into())],
            SettingType::Kind => std::iter::once("auto")
                .chain(intel::IndicatorKind::ALL.iter().map(|kind| kind.as_str()))
                .map(|kind| (kind.to_owned(), kind.to_owned()))
                .collect(),
            _ => {
                let labels = setting.choices.iter().enumerate();
                labels.map(|(at, value)| (value.clone(), self.labels.get(at).unwrap_or(value).clone())).collect()
            }
        };
        if !text.is_empty() && !all.iter().any(|(value, _)| value == text) {
            all.push((text.to_owned(), text.to_owned()));
        }
        let nothing = match all.iter().find(|(value, _)| value == default && !default.is_empty()) {
            Some((_, label)) => format!("{label} (the default)"),
            None if setting.required => "choose …".to_owned(),
            None => "as by default".to_owned(),
        };
        let mut choices = vec![Choice { value: String::new(), label: nothing, chosen: text.is_empty() }];
        choices.extend(all.into_iter().map(|(value, label)| Choice { chosen: value == text, value, label }));
        choices
    }

    /// Puts what was posted into the document.
    fn read(&self, posted: &Posted, doc: &mut Value, errors: &mut Vec<Wrong>) {
        if self.locked {
            return;
        }
        let was = get(doc, &self.name).cloned();
        let name = self.name.as_str();
        let text = posted.text(name);
        let mut wrong = |problem: String| errors.push((name.to_owned(), problem));
        let new = match self.widget() {
            Widget::Secret => {
                if posted.has(&format!("{name}.clear")) {
                    None
                } else if text.is_empty() {
                    // A reference is shown, so to empty it is to take it out; a secret is not, so nothing was said.
                    was.filter(|was| was.as_str() == Some(SET))
                } else {
                    Some(text.into())
                }
            }
            Widget::Tick => {
                let ticked = posted.has(name);
                let stood = was.as_ref().or(self.setting.default.as_ref()).and_then(Value::as_bool);
                if stood == Some(ticked) { was } else { Some(ticked.into()) }
            }
            Widget::Boxes => {
                let items = posted.all(name);
                let standing = was.as_ref().or(self.setting.default.as_ref()).and_then(Value::as_array);
                let mut stood: Vec<&str> = standing.into_iter().flatten().filter_map(Value::as_str).collect();
                let mut chosen: Vec<&str> = items.iter().map(String::as_str).filter(|item| !item.is_empty()).collect();
                stood.sort_unstable();
                chosen.sort_unstable();
                if stood == chosen {
                    was
                } else if chosen.is_empty() && self.setting.default.is_none() {
                    None
                } else {
                    Some(items.iter().filter(|item| !item.is_empty()).cloned().collect())
                }
            }
            // A browser may send a text with another end of its last line.
            _ if was.is_some() && self.shown(was.as_ref()).trim_end() == text.trim_end() => was,
            _ if text.trim().is_empty() => None,
            Widget::Number => {
                let text = text.trim();
                let is_fine = |number: &Number| self.setting.value_type == SettingType::Float || number.is_i64();
                match serde_json::from_str::<Number>(text).ok().filter(is_fine) {
                    Some(number) => Some(Value::Number(number)),
                    None => {
                        wrong(format!("\"{text}\" is not {}", self.setting.expected()));
                        Some(text.into())
                    }
                }
            }
            Widget::Select if self.setting.value_type == SettingType::Bool => Some((text == "true").into()),
            Widget::Lines if self.setting.value_type == SettingType::Map => {
                let mut map = Map::new();
                for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    match line.split_once('=') {
                        Some((key, value)) => drop(map.insert(key.trim().to_owned(), value.trim().into())),
                        None => wrong(format!("\"{line}\" is no line of the form name = value")),
                    }
                }
                Some(Value::Object(map))
            }
            Widget::Lines => {
                let items = text.lines().map(str::trim).filter(|item| !item.is_empty());
                Some(items.map(Value::from).collect())
            }
            Widget::Line | Widget::Select => Some(text.trim().into()),
        };
        set(doc, name, new);
    }
}

impl Form {
    /// Adds fields that belong together; nothing where there are none.
    pub(crate) fn group(&mut self, title: &str, help: &str, folded: bool, fields: Vec<Field>) {
        if !fields.is_empty() {
            self.groups.push(Group { title: title.to_owned(), help: help.to_owned(), folded, fields });
        }
    }

    /// The form with what the document has, and what is wrong with it.
    pub(crate) fn view(&self, doc: &Value, errors: &[Wrong]) -> Vec<GroupView> {
        let group = |group: &Group| {
            let fields: Vec<FieldView> = group.fields.iter().map(|field| field.view(doc, errors)).collect();
            let is_quiet = group.fields.iter().all(|field| get(doc, &field.name).is_none())
                && fields.iter().all(|field| field.errors.is_empty());
            GroupView { title: group.title.clone(), help: group.help.clone(), folded: group.folded && is_quiet, fields }
        };
        self.groups.iter().map(group).collect()
    }

    /// What is wrong with no field of the form: it is said above it.
    pub(crate) fn unplaced<'a>(&self, errors: &'a [Wrong]) -> Vec<&'a Wrong> {
        let fields: Vec<&Field> = self.groups.iter().flat_map(|group| &group.fields).collect();
        let has_place = |at: &str| {
            fields.iter().any(|field| {
                at == field.name || at.strip_prefix(&field.name).is_some_and(|rest| rest.starts_with(['.', '[']))
            })
        };
        errors.iter().filter(|(at, _)| !has_place(at)).collect()
    }

    /// Whether it has a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.groups.iter().flat_map(|group| &group.fields).any(|field| field.name == name)
    }

    /// What must be given and is not.
    pub(crate) fn absent(&self, doc: &Value) -> Vec<Wrong> {
        let fields = self.groups.iter().flat_map(|group| &group.fields);
        let missing = fields.filter(|field| {
            field.setting.required && field.setting.default.is_none() && get(doc, &field.name).is_none()
        });
        missing.map(|field| (field.name.clone(), "is needed".to_owned())).collect()
    }

    /// The document that was posted, over the one that is there, and what could not be read. Whether it is right says
    /// the check that every document passes.
    pub(crate) fn read(&self, posted: &Posted, base: Value) -> (Value, Vec<Wrong>) {
        let mut doc = base;
        let mut errors = Vec::new();
        for field in self.groups.iter().flat_map(|group| &group.fields) {
            field.read(posted, &mut doc, &mut errors);
        }
        (doc, errors)
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What stands at a dotted place. A key of a connector's settings has no dot in it.
pub(crate) fn get<'a>(doc: &'a Value, name: &str) -> Option<&'a Value> {
    let step = |at: &'a Value, key: &str| match at {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        at => at.get(key),
    };
    name.split('.').try_fold(doc, step).filter(|value| !value.is_null())
}

/// Puts a value at a dotted place, or takes it away; an emptied table that was not there goes too.
pub(crate) fn set(doc: &mut Value, name: &str, value: Option<Value>) {
    if let Value::Array(items) = doc {
        let (at, rest) = name.split_once('.').unwrap_or((name, ""));
        if let Some(item) = at.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
            set(item, rest, value);
        }
        return;
    }
    if !doc.is_object() {
        if value.is_none() {
            return;
        }
        *doc = Value::Object(Map::new());
    }
    let Some(map) = doc.as_object_mut() else { return };
    match name.split_once('.') {
        Some((key, rest)) => {
            if value.is_none() && !map.contains_key(key) {
                return;
            }
            set(map.entry(key).or_insert(Value::Null), rest, value);
        }
        None => match value {
            Some(value) => drop(map.insert(name.to_owned(), value)),
            None => drop(map.remove(name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a browser posts for a form that nobody touched.
    pub(crate) fn untouched(view: &[GroupView]) -> Posted {
        let mut pairs = Vec::new();
        for field in view.iter().flat_map(|group| &group.fields) {
            let name = field.name.clone();
            match field.widget {
                Widget::Tick => pairs.extend(field.ticked.then(|| (name, "on".to_owned()))),
                Widget::Select | Widget::Boxes => {
                    let chosen = field.choices.iter().filter(|choice| choice.chosen);
                    pairs.extend(chosen.map(|choice| (name.clone(), choice.value.clone())));
                }
                // A form sends lines with both ends.
                _ => pairs.push((name, field.text.replace('\n', "\r\n"))),
            }
        }
        Posted::new(pairs)
    }

    fn form() -> Form {
        let mut form = Form::default();
        let field = |key: &str, value_type| Field::new(key, value_type, key, "Some help.");
        form.group(
            "All",
            "",
            false,
            vec![
                field("text", SettingType::Text),
                field("settings.url", SettingType::Url).required(),
                field("settings.int", SettingType::Int).default(5),
                field("settings.float", SettingType::Float),
                field("settings.on", SettingType::Bool).default(true),
                field("settings.maybe", SettingType::Bool),
                field("settings.one", SettingType::Choice).choices([("a", "A"), ("b", "B")]).default("a"),
                field("settings.some", SettingType::List).choices([("x", "X"), ("y", "Y")]),
                field("settings.few", SettingType::List).choices([("x", "X"), ("y", "Y")]).default(json!(["x"])),
                field("settings.list", SettingType::List),
                field("settings.map", SettingType::Map),
                field("settings.key", SettingType::Secret),
                field("settings.kind", SettingType::Kind),
                field("settings.wait", SettingType::Duration),
            ],
        );
        form
    }

    #[test]
    fn a_document_comes_back_from_a_form_as_it_went() {
        let form = form();
        for doc in [
            json!({}),
            json!({ "text": "", "settings": {} }),
            json!({ "other": [1, 2], "settings": { "unknown": { "deep": null } } }),
            json!({ "text": " spaced ", "settings": { "url": "https://a.example", "int": 5, "float": 1.0 } }),
            json!({ "settings": { "int": -7, "float": 0.1, "on": true, "maybe": false } }),
            json!({ "settings": { "on": false, "maybe": true, "one": "a" } }),
            json!({ "settings": { "one": "gone", "some": ["y", "x", "gone"], "list": ["", " b ", "c=d"] } }),
            json!({ "settings": { "some": [], "few": [], "list": [], "map": {} } }),
            json!({ "settings": { "few": ["x"], "map": { "": "=", "a b": "c = d", "z": " " } } }),
            json!({ "settings": { "key": SET, "kind": "auto", "wait": "14d" } }),
            json!({ "settings": { "key": "env:TOKEN", "int": "not a number", "list": "not a list" } }),
        ] {
            let view = form.view(&doc, &[]);
            let (read, errors) = form.read(&untouched(&view), doc.clone());
            assert_eq!(read, doc);
            assert_eq!(errors, [], "{doc}");
        }
    }

    #[test]
    fn what_is_typed_is_the_document() {
        let form = form();
        let typed = |pairs: &[(&str, &str)], base: Value| {
            form.read(&Posted::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))), base)
        };
        let (doc, errors) = typed(
            &[
                ("text", " a <b> "),
                ("settings.url", "https://x.example"),
                ("settings.int", " 12 "),
                ("settings.float", "0.5"),
                ("settings.maybe", "false"),
                ("settings.one", "b"),
                ("settings.some", "y"),
                ("settings.list", "one\r\n\r\n two \r\n"),
                ("settings.map", "X-Key = a=b\r\n"),
                ("settings.key", "s3cret"),
                ("settings.kind", "url"),
                ("settings.wait", "5m"),
            ],
            json!({ "settings": { "some": ["x"], "list": ["old"] } }),
        );
        let expect = json!({
            "text": "a <b>",
            "settings": {
                "url": "https://x.example", "int": 12, "float": 0.5, "on": false, "maybe": false, "one": "b",
                "some": ["y"], "few": [], "list": ["one", "two"], "map": { "X-Key": "a=b" }, "key": "s3cret",
                "kind": "url", "wait": "5m",
            },
        });
        assert_eq!((doc, errors), (expect, vec![]));
        let (doc, errors) =
            typed(&[("settings.int", "1.5"), ("settings.map", "no sign"), ("settings.on", "on")], json!({}));
        assert_eq!(doc["settings"]["int"], "1.5", "what was typed is shown again");
        assert_eq!(errors[0], ("settings.int".to_owned(), "\"1.5\" is not a whole number".to_owned()));
        assert_eq!(errors[1].0, "settings.map");
        let shown = form.view(&doc, &errors);
        let field = shown[0].fields.iter().find(|field| field.name == "settings.int").unwrap();
        assert_eq!((field.text.as_str(), field.errors.len()), ("1.5", 1));
    }

    #[test]
    fn a_secret_is_written_and_never_read() {
        let form = form();
        let is = |doc: &Value| doc["settings"]["key"].clone();
        let posted = |pairs: &[(&str, &str)]| Posted::new(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())));
        for (base, pairs, expect) in [
            (json!(SET), vec![("settings.key", "")], json!(SET)),
            (json!(SET), vec![("settings.key", "new")], json!("new")),
            (json!(SET), vec![("settings.key", ""), ("settings.key.clear", "on")], Value::Null),
            (json!("env:A"), vec![("settings.key", "env:A")], json!("env:A")),
            (json!("env:A"), vec![("settings.key", "")], Value::Null),
            (Value::Null, vec![("settings.key", "")], Value::Null),
        ] {
            let (doc, _) = form.read(&posted(&pairs), json!({ "settings": { "key": base } }));
            assert_eq!(is(&doc), expect, "{pairs:?}");
        }
        let view = form.view(&json!({ "settings": { "key": SET } }), &[]);
        let field = view[0].fields.iter().find(|field| field.widget == Widget::Secret).unwrap();
        assert!(field.is_set && field.text.is_empty());
    }

    /// Every connector there is: its own examples and defaults, through a form and back, pass its own check.
    #[test]
    fn every_connector_has_a_form_that_loses_nothing() {
        let mut fields = 0;
        for connector in connectors::all() {
            let manifest = connector.manifest();
            let sides = std::iter::once(&manifest.settings).chain(manifest.actions.iter().map(|action| &action.params));
            for settings in sides {
                let mut form = Form::default();
                form.group("", "", false, settings.iter().map(|setting| Field::of(setting, "settings")).collect());
                let example = |setting: &Setting| setting.example.clone().or(setting.default.clone());
                let full: Map<String, Value> =
                    settings.iter().filter_map(|s| example(s).map(|value| (s.key.clone(), value))).collect();
                fields += settings.len();
                for doc in [json!({}), json!({ "settings": full })] {
                    let (read, errors) = form.read(&untouched(&form.view(&doc, &[])), doc.clone());
                    assert_eq!((read, errors), (doc, vec![]), "{}", manifest.name);
                }
                // Typed from nothing, it is the same document.
                let doc = json!({ "settings": full });
                let (read, errors) = form.read(&untouched(&form.view(&doc, &[])), json!({}));
                assert_eq!(errors, vec![], "{}", manifest.name);
                for (key, value) in doc["settings"].as_object().unwrap() {
                    let got =
                        read["settings"].get(key).or_else(|| settings.iter().find(|s| s.key == *key)?.default.as_ref());
                    assert_eq!(got, Some(value), "{}: {key}", manifest.name);
                }
            }
        }
        assert!(fields > 100, "{fields}");
    }
}
