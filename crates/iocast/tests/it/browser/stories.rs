//! What people come for, done as they would.

use super::{NAV, PEOPLE, Site, is_skipped};
use crate::people::{PASSWORD, person};
use chromium::Browser;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use totp_rs::{Builder, Secret};

/// What the feed lists: two that are bad, and one that a rule excepts.
const FEED: &str = "45.155.205.99\n45.155.205.100\n193.32.162.10\n";

/// A web server that has one list, for as long as the test runs.
fn feed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/list.txt", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let length = FEED.len();
            let _ = write!(
                stream.get_mut(),
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{FEED}"
            );
        }
    });
    address
}

fn set_up(browser: &Browser, site: &Site, code: &str) {
    site.open(browser, "/");
    browser.says("Set up iocast").unwrap();
    for (label, text) in [("Code", code), ("Your name", "ada"), ("Password", PASSWORD), ("Password, again", PASSWORD)] {
        browser.fill(label, text).unwrap();
    }
    browser.click("Set up").unwrap();
}

#[test]
fn the_first_account_is_made_with_the_printed_code_and_only_once() {
    if is_skipped(chromium::missing()) {
        return;
    }
    let (site, browser) = (Site::new(), Browser::start().unwrap());
    set_up(&browser, &site, "00000-00000-00000-00000");
    browser.find("//*[@role='alert']").unwrap();
    assert!(!browser.has(NAV).unwrap());
    set_up(&browser, &site, &site.code);
    browser.says("Nothing flows yet").unwrap();
    // Somebody who looked over the shoulder.
    let other = Browser::start().unwrap();
    site.open(&other, "/setup");
    assert!(other.address().unwrap().ends_with("/sign-in"), "{}", other.address().unwrap());
    let again = "
        const [code, password, done] = arguments;
        const body = new URLSearchParams({ code, name: 'eve', password, again: password });
        fetch('/setup', { method: 'POST', body }).then(async (answer) => done([answer.status, await answer.text()]));";
    let answer = other.run_async(again, &json!([site.code, PASSWORD])).unwrap();
    assert!(answer[0].as_u64().unwrap() >= 400, "{answer}");
    // And out again.
    browser.click_at("//details[@class='user']/summary").unwrap();
    browser.click("Sign out").unwrap();
    browser.fill("Name", "ada").unwrap();
    browser.fill("Password", "not this one at all").unwrap();
    browser.click("Sign in").unwrap();
    browser.find("//*[@role='alert']").unwrap();
    site.sign_in(&browser, "ada");
    assert_eq!(browser.log().unwrap().iter().filter(|line| !line.contains("401") && !line.contains("422")).count(), 0);
}

/// From nothing to a list that a firewall fetches, and back.
#[test]
fn a_source_a_rule_with_an_exception_a_sharing_an_approval_and_an_undo() {
    if is_skipped(chromium::missing()) {
        return;
    }
    let site = Site::after(|app| PEOPLE.iter().for_each(|(name, roles)| drop(person(app, name, roles))));
    let browser = Browser::start().unwrap();
    site.sign_in(&browser, "otto");

    // An account, from the card of a connector.
    browser.click("Tenants").unwrap();
    browser.click("New tenant").unwrap();
    browser.fill("Search", "feed").unwrap();
    browser.press("\u{E007}").unwrap();
    browser.click("Set up feed").unwrap();
    browser.fill("Name", "our-lab").unwrap();
    browser.click("Network").unwrap();
    browser.fill("Private networks it may reach", "127.0.0.0/8").unwrap();
    browser.click("Save").unwrap();
    browser.says("Saved.").unwrap();

    // A source by the guided form; a mistake first.
    browser.click("Connections").unwrap();
    browser.click("New connection").unwrap();
    browser.click("Set up feed").unwrap();
    browser.fill("Name", "lab feed").unwrap();
    browser.choose("Tenant", "our-lab").unwrap();
    browser.fill("Interval", "1s").unwrap();
    browser.fill("Address", &feed()).unwrap();
    browser.click("Save").unwrap();
    browser.find("//label[contains(@class,'wrong')]//input[@name='name'][@value='lab feed']").unwrap();
    browser.fill("Name", "lab-feed").unwrap();
    browser.click("What its records count for").unwrap();
    browser.fill("Reputation instead of its own", "8").unwrap();
    browser.click("Save").unwrap();
    browser.says("Saved.").unwrap();
    site.reload_until(&browser, "/indicators", "//tr[@data-href][3]");
    browser.says("45[.]155[.]205[.]99").unwrap();

    // A list that a firewall fetches.
    browser.click("Connections").unwrap();
    browser.click("New connection").unwrap();
    browser.click("Set up list").unwrap();
    browser.fill("Name", "edge").unwrap();
    browser.click("Save").unwrap();
    browser.says("Saved.").unwrap();
    browser.click("Sharing").unwrap();
    browser.click("Targets").unwrap();
    browser.click("New target").unwrap();
    browser.fill("Name", "block-ip").unwrap();
    browser.choose("Connection", "edge").unwrap();
    browser.click("How carefully").unwrap();
    browser.fill("Interval", "1s").unwrap();
    browser.click("Save").unwrap();
    browser.says("Saved.").unwrap();

    // A rule by clicking: addresses that are bad enough, but not one network.
    browser.click("Rules").unwrap();
    browser.click("New rule").unwrap();
    browser.fill("Name", "bad-addresses").unwrap();
    browser.choose("Kind: values", "ipv4").unwrap();
    browser.click("Add a condition").unwrap();
    browser.choose("What is compared #2", "Reputation").unwrap();
    browser.choose("How it is compared #2", "is at least").unwrap();
    browser.fill("Reputation: value", "7").unwrap();
    browser.press("\u{E004}").unwrap();
    browser.find_value("Selects", "kind = ipv4 and reputation >= 7").unwrap();
    browser.fill("Exception 1 / Name", "a partner").unwrap();
    browser.fill("Exception 1 / Values", "193.32.160.0/19").unwrap();
    browser.fill("A value to ask about", "193.32.162.10").unwrap();
    browser.click("Test without saving").unwrap();
    browser.find("//*[@id='trial'][contains(., 'a partner')]").unwrap();
    browser.says("193[.]32[.]162[.]10").unwrap();
    browser.click("Save").unwrap();
    browser.says("Saved.").unwrap();

    // What goes where. The first fill waits for a person.
    browser.click("Sharing").unwrap();
    browser.click("New sharing").unwrap();
    browser.choose("Source", "lab-feed").unwrap();
    browser.choose("Rule", "bad-addresses").unwrap();
    browser.choose("Target", "block-ip").unwrap();
    browser.click("Save").unwrap();
    browser.says("Saved.").unwrap();
    site.reload_until(&browser, "/plans", "//tr[@data-href][contains(., 'waiting')]");
    // It is otto's own, so somebody else is asked.
    site.sign_in(&browser, "petra");
    browser.find("//li[contains(., 'block-ip')]//a").unwrap();
    browser.click_at("//li[contains(., 'block-ip')]//a").unwrap();
    browser.says("+2").unwrap();
    assert!(!browser.text().unwrap().contains("193[.]32[.]162[.]10"), "it is excepted");
    browser.fill("Note", "as we agreed on Monday").unwrap();
    browser.click("Approve").unwrap();
    browser.says("Approved.").unwrap();
    site.reload_until(&browser, "/activity/deliveries", "//tbody/tr[2][contains(., 'present')]");

    // Why?
    site.sign_in(&browser, "otto");
    browser.fill("Search indicators", "45.155.205.99").unwrap();
    browser.press("\u{E007}").unwrap();
    browser.click("45[.]155[.]205[.]99").unwrap();
    browser.find("//details[contains(@class,'target')][contains(., 'block-ip')][contains(., 'there')]").unwrap();
    site.open(&browser, "/indicators/ipv4/193.32.162.10");
    browser.find("//details[contains(@class,'target')][contains(., 'a partner')]").unwrap();

    // Undone: another plan, another approval.
    site.open(&browser, "/activity?kind=share");
    browser.click_at("//tr[@data-href][contains(., 'block-ip')][contains(., '2 accepted')]//a").unwrap();
    browser.click("Plan to undo it").unwrap();
    browser.says("The plan that undoes it waits").unwrap();
    let plan = browser.address().unwrap();
    site.sign_in(&browser, "petra");
    browser.open(&plan).unwrap();
    browser.click("Approve").unwrap();
    browser.says("Approved.").unwrap();
    site.reload_until(&browser, "/activity/deliveries", "//body[not(.//tbody/tr[contains(., 'present')])]");
    assert_eq!(browser.log().unwrap().iter().filter(|line| !line.contains("422")).count(), 0);
}

#[test]
fn a_viewer_sees_everything_and_may_press_nothing() {
    if is_skipped(chromium::missing()) {
        return;
    }
    let (site, browser) = (Site::demo(), Browser::start().unwrap());
    site.sign_in(&browser, "vera");
    let no_offers = "
        const may = new Set(['/theme', '/sign-out', '/account/password', '/account/second-factor', '/indicators/saved']);
        const forms = [...document.querySelectorAll('form[method=post]')].filter((form) => !form.querySelector('fieldset:disabled'));
        const to = forms.flatMap((form) => [form, ...form.querySelectorAll('[formaction]')])
            .map((at) => new URL(at.getAttribute('formaction') ?? at.getAttribute('action'), location).pathname);
        return to.filter((path) => !may.has(path));";
    for path in [
        "/overview",
        "/indicators?all=1",
        "/plans",
        "/rules",
        "/connections",
        "/sharing",
        "/targets",
        "/activity/runs/1",
    ] {
        site.open(&browser, path);
        browser.find(NAV).unwrap();
        assert_eq!(browser.run(no_offers, &json!([])).unwrap(), json!([]), "{path}");
        if browser.has("//tr[@data-href]//a").unwrap() {
            browser.click_at("//tr[@data-href]//a").unwrap();
            browser.find("//h1").unwrap();
            assert_eq!(browser.run(no_offers, &json!([])).unwrap(), json!([]), "the first of {path}");
        }
    }
    assert!(!browser.has("//a[contains(., 'New ')]").unwrap());
    let log = browser.log().unwrap();
    assert!(log.is_empty(), "{log:?}");
    let refused = site.api(&browser, "POST", "/api/v1/freeze", &json!({}));
    assert_eq!(refused["status"], 403, "{refused}");
    // Who types the address is told, in words, and can go on.
    site.open(&browser, "/activity/audit");
    browser.find("//h1[.='Not allowed']").unwrap();
    browser.click("To the overview").unwrap();
    browser.find("//h1[.='Overview']").unwrap();
}

#[test]
fn a_second_factor_is_enrolled_and_asked_for() {
    if is_skipped(chromium::missing()) {
        return;
    }
    let site = Site::after(|app| drop(person(app, "ada", &["administrator"])));
    let browser = Browser::start().unwrap();
    site.sign_in(&browser, "ada");
    browser.click_at("//details[@class='user']/summary").unwrap();
    browser.click("Your account").unwrap();
    browser.fill("Your password", PASSWORD).unwrap();
    browser.click("Enrol").unwrap();
    browser.says("Read this with your authenticator").unwrap();
    let secret = browser.run("return document.querySelector('pre').innerText.trim()", &json!([])).unwrap();
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret.as_str().unwrap()).unwrap()).build().unwrap();
    let at = |step: i64| {
        let secs = u64::try_from(iocast::world::now().micros() / 1_000_000 + step * 30).unwrap();
        totp.generate(secs).to_string()
    };
    browser.fill("The code it shows", &at(0)).unwrap();
    browser.click("Confirm").unwrap();
    browser.says("Keep these codes on paper").unwrap();
    let codes = browser.run("return document.querySelector('pre').innerText.trim().split('\\n')", &json!([])).unwrap();
    let sign_out = || {
        browser.click_at("//details[@class='user']/summary").unwrap();
        browser.click("Sign out").unwrap();
    };
    let enter = |code: &str| {
        browser.fill("Name", "ada").unwrap();
        browser.fill("Password", PASSWORD).unwrap();
        browser.click("Sign in").unwrap();
        browser.says("The six digits that your app shows now").unwrap();
        assert!(!browser.has(NAV).unwrap(), "half of it is not enough");
        browser.fill("Code", code).unwrap();
        browser.click("Sign in").unwrap();
    };
    sign_out();
    enter("000000");
    browser.find("//*[@role='alert']").unwrap();
    site.open(&browser, "/sign-in");
    // The one that was used is good no more; the next is, and its clock may be half a minute ahead.
    enter(&at(1));
    browser.find(NAV).unwrap();
    sign_out();
    enter(codes[0].as_str().unwrap());
    browser.find(NAV).unwrap();
}
