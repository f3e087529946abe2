//! What stands around every page: navigation, search, who one is, how it looks, and what everybody must know.

use super::assets;
use super::routes;
use super::show::{self, Markup};
use crate::api::Problem;
use crate::app::App;
use crate::app::live::Pulse;
use crate::people::Seat;
use crate::people::roles::{self, Needs};
use crate::tokens::Caller;
use axum::http::{HeaderMap, header};

/// A part of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Everything at a glance.
    Overview,
    /// What is known.
    Indicators,
    /// Who it is from and goes to.
    Connections,
    /// Accounts that connections share.
    Tenants,
    /// What is selected.
    Rules,
    /// What goes where.
    Sharing,
    /// What happened.
    Activity,
    /// How the exchange is run.
    Settings,
}

/// Where each part is: icon, address, name. Those without a page are left out.
const NAV: [(Section, &str, &str, &str); 8] = [
    (Section::Overview, "layout-dashboard", "/overview", "Overview"),
    (Section::Indicators, "bug", "/indicators", "Indicators"),
    (Section::Connections, "plug", "/connections", "Connections"),
    (Section::Tenants, "building-2", "/tenants", "Tenants"),
    (Section::Rules, "list-filter", "/rules", "Rules"),
    (Section::Sharing, "share-2", "/sharing", "Sharing"),
    (Section::Activity, "activity", "/activity", "Activity"),
    (Section::Settings, "settings", "/settings", "Settings"),
];

/// The pages of parts that have several: part, address, name. Who may not open one is not led to it.
const SUBS: [(Section, &str, &str); 17] = [
    (Section::Activity, "/activity", "Runs"),
    (Section::Activity, "/activity/deliveries", "Deliveries"),
    (Section::Activity, "/activity/refused", "Refused"),
    (Section::Activity, "/plans", "Plans"),
    (Section::Activity, "/activity/notices", "Notices"),
    (Section::Activity, "/activity/audit", "Audit"),
    (Section::Settings, "/settings", "All settings"),
    (Section::Settings, "/account", "Your account"),
    (Section::Settings, "/settings/users", "People"),
    (Section::Settings, "/settings/tokens", "API tokens"),
    (Section::Settings, "/settings/sign-in", "Sign-in"),
    (Section::Settings, "/settings/guard", "Guard"),
    (Section::Settings, "/settings/exceptions", "Exceptions"),
    (Section::Settings, "/settings/policy", "Policy"),
    (Section::Settings, "/settings/channels", "Channels"),
    (Section::Settings, "/settings/backup", "Backup"),
    (Section::Settings, "/settings/about", "About"),
];

/// One page of a part that has several.
pub(crate) struct SubItem {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
    pub(crate) is_here: bool,
}

/// The pages of a part that somebody may open.
fn subs(section: Section, caller: &Caller, here: &str) -> Vec<SubItem> {
    let path = here.split('?').next().unwrap_or_default();
    let is_below = |href: &str| path.strip_prefix(href).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let opens = |href: &str| {
        let page = routes::TABLE.iter().find(|page| page.path == href);
        page.is_some_and(|page| roles::decide(caller, page.needs).is_ok())
    };
    let there: Vec<_> = SUBS.iter().filter(|(part, href, _)| *part == section && opens(href)).collect();
    // The one that says most of the address.
    let at = there.iter().map(|(_, href, _)| *href).filter(|href| is_below(href)).max_by_key(|href| href.len());
    there.into_iter().map(|(_, href, label)| SubItem { href, label, is_here: at == Some(*href) }).collect()
}

/// How pages look, as a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the system.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// The cookie that keeps it. Nothing secret, and no state of the exchange.
    pub(crate) const COOKIE: &'static str = "iocast-theme";

    /// Its name in cookie, form and page.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// By name; what is none is `auto`.
    pub(crate) fn parse(text: &str) -> Theme {
        [Theme::Light, Theme::Dark].into_iter().find(|theme| theme.as_str() == text).unwrap_or_default()
    }

    /// Of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Theme {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == Theme::COOKIE).map_or(Theme::Auto, |(_, value)| Theme::parse(value))
    }
}

/// One line of the navigation.
pub(crate) struct NavItem {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
    pub(crate) icon: Markup,
    pub(crate) is_here: bool,
    /// Things that wait for a person there; 0: nothing is shown.
    pub(crate) badge: u64,
}

/// What every template needs. It stands in the field `shell` of each.
pub(crate) struct Shell {
    pub(crate) title: String,
    pub(crate) theme: Theme,
    pub(crate) nav: Vec<NavItem>,
    /// The pages of this part, where it has several.
    pub(crate) subs: Vec<SubItem>,
    /// Who is here; empty: nobody.
    pub(crate) who: String,
    /// What they are, in words.
    pub(crate) role: String,
    /// The same for the table of roles: what they may not do is not offered.
    pub(crate) caller: Option<Caller>,
    /// To be carried by every form in its field `csrf`.
    pub(crate) csrf: String,
    /// Why no call to a destination begins, as a sentence.
    pub(crate) frozen: Option<String>,
    /// What went wrong with the store or the clock, as sentences.
    pub(crate) troubles: Vec<String>,
    /// This address, to come back to.
    pub(crate) here: String,
    /// What was just done, as a sentence.
    pub(crate) done: Option<&'static str>,
    /// How things were when the page was made: it hears of what changes from then on. Empty: it hears of nothing.
    pub(crate) live: String,
}

impl Shell {
    /// Around a page that is for anybody.
    pub(crate) fn bare(title: impl Into<String>, theme: Theme) -> Shell {
        Shell {
            title: title.into(),
            theme,
            nav: Vec::new(),
            subs: Vec::new(),
            who: String::new(),
            role: String::new(),
            caller: None,
            csrf: String::new(),
            frozen: None,
            troubles: Vec::new(),
            here: String::new(),
            done: None,
            live: String::new(),
        }
    }

    /// Around a page for somebody.
    ///
    /// # Errors
    /// A store that cannot be read, or "starting".
    pub(crate) fn of(
        app: &App,
        seat: &Seat,
        title: String,
        section: Section,
        theme: Theme,
        here: String,
    ) -> Result<Shell, Problem> {
        let engine = app.engine()?;
        // Before anything the page shows: what changes while it is made is told once more than needed, and not missed.
        let live = Pulse::of(app)?;
        let waiting = live.waiting;
        let nav = NAV.iter().filter(|(.., href, _)| routes::TABLE.iter().any(|page| page.path == *href));
        let nav = nav.map(|(part, icon, href, label)| NavItem {
            href,
            label,
            icon: show::icon(icon),
            is_here: *part == section,
            badge: if *part == Section::Overview { waiting } else { 0 },
        });
        let frozen = engine.frozen_by()?.map(|by| {
            let who = by.who.map_or_else(String::new, |who| format!(" by {who}"));
            let note = by.note.map_or_else(String::new, |note| format!(": {note}"));
            match by.by.as_str() {
                "restore" => {
                    "This exchange was restored from a backup: targets wait until somebody adopts what they hold."
                        .to_owned()
                }
                _ => format!("Frozen{who}{note}. Nothing is sent to any destination."),
            }
        });
        let mut troubles: Vec<String> = engine.clock_warning().into_iter().collect();
        if let Some(trouble) = app.trouble() {
            troubles.push(format!(
                "Nothing can be written: {}. Nothing is pulled or shared until that is mended.",
                trouble.as_str()
            ));
        }
        Ok(Shell {
            nav: nav.collect(),
            subs: subs(section, &seat.caller, &here),
            who: seat.caller.name.clone(),
            role: role(seat),
            caller: Some(seat.caller.clone()),
            csrf: seat.csrf.clone(),
            frozen,
            troubles,
            here,
            // Who has a password to set first is let in nowhere else, and not to the stream.
            live: if seat.caller.must.is_some() { String::new() } else { live.to_string() },
            ..Shell::bare(title, theme)
        })
    }

    /// Whether who is here may.
    pub(crate) fn may(&self, needs: Needs) -> bool {
        self.caller.as_ref().is_some_and(|caller| roles::decide(caller, needs).is_ok())
    }

    pub(crate) fn may_approve(&self) -> bool {
        self.may(Needs::Approve)
    }

    pub(crate) fn may_connect(&self) -> bool {
        self.may(Needs::WriteSecret)
    }

    pub(crate) fn may_freeze(&self) -> bool {
        self.may(Needs::Freeze)
    }

    pub(crate) fn may_judge(&self) -> bool {
        self.may(Needs::AnalystWork)
    }

    pub(crate) fn may_thaw(&self) -> bool {
        self.may(Needs::Thaw)
    }

    pub(crate) fn may_set(&self) -> bool {
        self.may(Needs::EditSettings)
    }

    pub(crate) fn may_edit(&self) -> bool {
        self.may(Needs::EditConfig)
    }

    pub(crate) fn may_propose(&self) -> bool {
        self.may(Needs::Propose)
    }

    pub(crate) fn may_run(&self) -> bool {
        self.may(Needs::RunNow)
    }

    pub(crate) fn may_resolve(&self) -> bool {
        self.may(Needs::Resolve)
    }

    pub(crate) fn may_undo(&self) -> bool {
        self.may(Needs::Undo)
    }

    /// A moment to the minute.
    pub(crate) fn stamp(&self, at: &str) -> String {
        at.get(..16).unwrap_or(at).replace('T', " ")
    }

    /// An icon, by name.
    pub(crate) fn icon(&self, name: &str) -> Markup {
        show::icon(name)
    }

    /// The address of a file of the program.
    pub(crate) fn file(&self, name: &str) -> String {
        assets::address(name)
    }

    /// Of the program.
    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

fn role(seat: &Seat) -> String {
    match &seat.user {
        Some(person) => person.roles.join(", "),
        None => format!("token with scope {}", seat.caller.scope.as_str()),
    }
}
