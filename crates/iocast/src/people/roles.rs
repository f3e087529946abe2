//! Who may do what: one table, and one function that decides.
//!
//! The gate in front of every route asks [`decide`], the page `docs/reference/roles.md` is written from [`TABLE`], and a
//! test asks every route as every role and compares the answers with it. What is not in the table is allowed to nobody.

use super::Must;
use crate::tokens::{Caller, Scope};
use Role::{Administrator, Analyst, Approver, Auditor, Operator, Viewer};
use std::fmt;

/// What a person is in this exchange. Nobody is more than their roles together allow, and no role includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Works on indicators.
    Analyst,
    /// Configures and runs the exchange.
    Operator,
    /// Allows what would be too much, and says that the calls may go on.
    Approver,
    /// Reads who did what.
    Auditor,
    /// Keeps the accounts and the exchange itself. May never approve.
    Administrator,
}

impl Role {
    /// Every role, in the order of the table.
    pub const ALL: [Role; 6] = [Viewer, Analyst, Operator, Approver, Auditor, Administrator];

    /// The name stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Viewer => "viewer",
            Analyst => "analyst",
            Operator => "operator",
            Approver => "approver",
            Auditor => "auditor",
            Administrator => "administrator",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What it is, in a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Viewer => "reads everything but secrets, accounts and the audit log",
            Analyst => "adds, tags, mutes, judges and retracts indicators",
            Operator => "configures connections, rules, targets and sharings, sets their secrets, and runs them",
            Approver => "decides on held plans, suspect runs and guard exceptions, and ends a freeze",
            Auditor => "reads the audit log",
            Administrator => "keeps accounts, settings and backups, and configures; may never approve",
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// None at all.
    pub const NONE: Roles = Roles(0);

    /// These.
    pub fn of(roles: &[Role]) -> Roles {
        roles.iter().fold(Roles::NONE, |set, role| set.with(*role))
    }

    /// And this one.
    #[must_use]
    pub const fn with(self, role: Role) -> Roles {
        Roles(self.0 | 1 << role as u8)
    }

    /// Whether this one is among them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Those that are in it, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// Their names, as shown.
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Role::as_str).collect()
    }

    /// Reads a set as a person writes it.
    ///
    /// # Errors
    /// A name that is no role, none at all, or roles that one person may not have together.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Roles, String> {
        let mut set = Roles::NONE;
        for name in names {
            let known = || Role::ALL.map(Role::as_str).join(", ");
            set = set.with(Role::parse(name.trim()).ok_or_else(|| format!("\"{name}\" is none of {}", known()))?);
        }
        match set {
            Roles::NONE => Err(format!("at least one of {}", Role::ALL.map(Role::as_str).join(", "))),
            _ if set.has(Administrator) && set.has(Approver) => {
                Err("who is administrator may not approve: give one of administrator and approver to somebody else"
                    .to_owned())
            }
            _ => Ok(set),
        }
    }

    /// Reads a set as it is stored. Names that are no longer roles count for nothing.
    pub fn stored(text: &str) -> Roles {
        text.split(',').filter_map(Role::parse).fold(Roles::NONE, Roles::with)
    }
}

/// As stored: `analyst,approver`.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}

/// What a route, a page or a part of one needs of whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Needs {
    /// Anybody.
    Nothing,
    /// As each thing behind it says for itself.
    ItsOwn,
    /// A person who signed in with their own hands: their password and second factor. No token will do.
    Session,
    /// Whoever keeps tokens: a person's own, or everybody's for who manages people.
    Account,
    /// Fetch served lists.
    List,
    /// Push to a bucket; a token for that is for one bucket.
    Ingest,
    /// Read everything but secrets, accounts and the audit log.
    Read,
    /// Add, tag, mute, judge and retract indicators.
    AnalystWork,
    /// Pull, pass, check and verify now, within what is configured.
    RunNow,
    /// Change rules, targets, sharings and guard lists.
    EditConfig,
    /// Change what may carry a secret: connections, tenants, channels, whole configurations.
    WriteSecret,
    /// Change the settings of the whole exchange.
    EditSettings,
    /// Roll back a source, undo a run, return a target to a time.
    Undo,
    /// Ask for an exception from the guard.
    Propose,
    /// Say that what needed a person is seen to.
    Resolve,
    /// Allow or reject held plans, suspect runs and guard exceptions.
    Approve,
    /// Stop every call to a destination.
    Freeze,
    /// Let calls go on: end a freeze, trust a clock.
    Thaw,
    /// Add, change and disable accounts, and end their sessions and tokens.
    ManagePeople,
    /// Read who did what.
    ReadAudit,
    /// Write a copy of the store.
    Backup,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What is needed.
    pub needs: Needs,
    /// What it is, for the documentation.
    pub meaning: &'static str,
    /// Who may.
    pub roles: &'static [Role],
}

const EVERYBODY: &[Role] = &Role::ALL;

/// Who may do what.
pub static TABLE: &[Row] = &[
    row(Needs::Session, "change one's own password and second factor", EVERYBODY),
    row(Needs::Account, "see and end one's own sessions and tokens, make tokens", EVERYBODY),
    row(Needs::List, "fetch served lists", EVERYBODY),
    row(Needs::Read, "read everything but secrets, accounts and the audit log", EVERYBODY),
    row(Needs::Ingest, "push to buckets", &[Operator, Administrator]),
    row(Needs::AnalystWork, "add, tag, mute, judge and retract indicators", &[Analyst, Operator, Administrator]),
    row(Needs::RunNow, "pull, pass, check and verify now", &[Operator, Administrator]),
    row(Needs::EditConfig, "change rules, targets, sharings and guard lists", &[Operator, Administrator]),
    row(
        Needs::WriteSecret,
        "change connections, tenants and channels, and set their secrets",
        &[Operator, Administrator],
    ),
    row(Needs::EditSettings, "change the settings of the whole exchange", &[Administrator]),
    row(Needs::Undo, "roll back a source, undo a run, return a target to a time", &[Operator, Approver, Administrator]),
    row(Needs::Propose, "propose guard exceptions", &[Analyst, Operator, Approver, Administrator]),
    row(Needs::Resolve, "say that a notice is seen to", &[Analyst, Operator, Approver, Administrator]),
    row(Needs::Approve, "decide on held plans, suspect runs and guard exceptions", &[Approver]),
    row(Needs::Freeze, "stop every call to a destination", &[Analyst, Operator, Approver, Administrator]),
    row(Needs::Thaw, "end a freeze, trust a clock", &[Approver]),
    row(Needs::ManagePeople, "add, change and disable accounts, end anybody's sessions and tokens", &[Administrator]),
    row(Needs::ReadAudit, "read the audit log", &[Auditor, Administrator]),
    row(Needs::Backup, "write a copy of the store", &[Administrator]),
];

const fn row(needs: Needs, meaning: &'static str, roles: &'static [Role]) -> Row {
    Row { needs, meaning, roles }
}

/// Whether somebody with these roles may. What needs nothing, or says for itself, is nobody's role.
pub fn allows(roles: Roles, needs: Needs) -> bool {
    // Roles that may not go together allow nothing that one of them alone would forbid.
    if needs == Needs::Approve && roles.has(Administrator) {
        return false;
    }
    TABLE.iter().any(|row| row.needs == needs && row.roles.iter().any(|role| roles.has(*role)))
}

/// Whether a token of this scope may, whoever holds it.
pub const fn covers(scope: Scope, needs: Needs) -> bool {
    match scope {
        Scope::Ingest => matches!(needs, Needs::Ingest),
        Scope::List => matches!(needs, Needs::List),
        Scope::Read => matches!(needs, Needs::List | Needs::Read),
        Scope::Admin => true,
    }
}

/// Whether this caller may; if not, why, said to them.
///
/// # Errors
/// What they lack.
pub fn decide(caller: &Caller, needs: Needs) -> Result<(), String> {
    match needs {
        Needs::Nothing | Needs::ItsOwn => return Ok(()),
        Needs::Session if caller.session.is_none() => {
            return Err("this is for a person who has signed in, and for no token".to_owned());
        }
        _ => {}
    }
    if !covers(caller.scope, needs) {
        let least = Scope::ALL.into_iter().find(|scope| covers(*scope, needs)).unwrap_or(Scope::Admin);
        let (has, least) = (caller.scope.as_str(), least.as_str());
        return Err(format!("this needs a token with scope {least}; yours has {has}"));
    }
    if needs == Needs::Session {
        return Ok(());
    }
    // A token of a device, and the first one, are nobody's: their scope says all.
    let Some(_) = caller.user else { return Ok(()) };
    if allows(caller.roles, needs) {
        return Ok(());
    }
    let may: Vec<&str> = TABLE
        .iter()
        .filter(|row| row.needs == needs)
        .flat_map(|row| row.roles.iter().map(|role| role.as_str()))
        .collect();
    match caller.must {
        Some(Must::SetPassword) => return Err("set a password of your own first".to_owned()),
        Some(Must::EnrolSecondFactor) => {
            return Err("enrol a second factor first: who may change anything needs one here".to_owned());
        }
        None => {}
    }
    let yours = match caller.roles {
        Roles::NONE => "you have none".to_owned(),
        roles => format!("you are {}", roles.names().join(", ")),
    };
    match needs {
        Needs::Approve if caller.roles.has(Administrator) => Err("who is administrator may not approve".to_owned()),
        _ => Err(format!("this needs one of the roles {}; {yours}", may.join(", "))),
    }
}

/// The page of the documentation.
pub fn page() -> String {
    let mut text = String::from(
        "# Roles\n\nWhat each role may do. This page is written from the table that the program decides by, and a test asks \
         every route as every role.\n\nA person may have several roles and may do what any of them allows, except that nobody is \
         administrator and approver at once: who is administrator may not approve. Nobody reads a secret back, whatever their \
         roles.\n\n",
    );
    for role in Role::ALL {
        text.push_str(&format!("- **{}** {}\n", role.as_str(), role.meaning()));
    }
    text.push_str("\n| may |");
    Role::ALL.iter().for_each(|role| text.push_str(&format!(" {} |", role.as_str())));
    text.push_str("\n| --- |");
    Role::ALL.iter().for_each(|_| text.push_str(" --- |"));
    text.push('\n');
    for row in TABLE {
        text.push_str(&format!("| {} |", row.meaning));
        for role in Role::ALL {
            text.push_str(if allows(Roles::of(&[role]), row.needs) { " yes |" } else { " - |" });
        }
        text.push('\n');
    }
    text.push_str(
        "\nA token of a person may do what its scope covers and its owner may at that moment. Scopes: `read` covers reading and \
         served lists, `admin` everything its owner may but what needs a person's own hands. A token of a device has no owner: \
         `list` fetches served lists, `ingest` pushes to one bucket. The token that the first start prints has no owner either \
         and may do everything; revoke it once people have accounts and automation has tokens of its own.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_written() {
        let both = Roles::parse(["analyst", "approver"]).unwrap();
        assert_eq!(both.to_string(), "analyst,approver");
        assert_eq!(Roles::stored(&both.to_string()), both);
        assert_eq!(Roles::stored("analyst,emperor"), Roles::of(&[Analyst]));
        for (names, why) in [
            (&[][..], "at least one"),
            (&["emperor"], "none of viewer"),
            (&["Administrator"], "none of viewer"),
            (&["administrator", "approver"], "may not approve"),
        ] {
            let error = Roles::parse(names.iter().copied()).unwrap_err();
            assert!(error.contains(why), "{names:?}: {error}");
        }
    }

    #[test]
    fn an_administrator_never_approves_and_each_line_stands_once() {
        let every = Roles::of(&Role::ALL);
        for row in TABLE {
            assert_eq!(allows(every, row.needs), row.needs != Needs::Approve, "{:?}", row.needs);
            assert_eq!(TABLE.iter().filter(|other| other.needs == row.needs).count(), 1, "{:?}", row.needs);
            assert!(!allows(Roles::NONE, row.needs), "{:?}", row.needs);
        }
        for role in Role::ALL {
            let one = Roles::of(&[role]);
            assert!(!(allows(one, Needs::Approve) && allows(one, Needs::WriteSecret)), "{role:?}");
        }
    }

    #[test]
    fn the_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/roles.md");
        if std::env::var_os("IOCAST_UPDATE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(there, page(), "run with IOCAST_UPDATE=1 to write docs/reference/roles.md");
    }
}
