//! Every page for people who cannot see it, or not well: axe-core finds nothing serious, in light and dark.

use super::{Site, is_skipped, may};
use chromium::Browser;
use iocast::api::route::Verb;
use iocast::people::roles::Needs;
use iocast::web::routes;
use serde_json::{Value, json};

/// What axe finds that is serious or critical, one line a rule. In the dark only what has to do with colours is asked
/// again.
const JUDGE: &str = "
    const [only, done] = arguments;
    const run = { resultTypes: ['violations'], ...(only ? { runOnly: only } : {}) };
    const line = (found) => `${found.id} (${found.impact}): ${found.help}: `
        + found.nodes.slice(0, 3).map((node) => `${node.target.join(' ')} ${node.any[0]?.message ?? ''}`).join(' | ')
        + ` [${found.nodes.length}]`;
    axe.run(document, run).then(
        (all) => done(all.violations.filter((found) => ['serious', 'critical'].includes(found.impact)).map(line)),
        (error) => done([`axe failed: ${error}`]));";

/// Lists whose first row is opened.
const LISTS: &[&str] =
    &["/indicators?all=1", "/plans", "/rules", "/connections", "/sharing", "/targets", "/tenants", "/activity"];
/// Pages that need something in their address.
const MORE: &[&str] = &[
    "/indicators?q=kind%20%3D%20ulr",
    "/indicators?q=value%20%3D%20%22nothing.example%22",
    "/configure/connection?connector=taxii",
    "/configure/connection?connector=feed",
    "/nothing/here",
];

fn judge(browser: &Browser, site: &Site, path: &str, wrong: &mut Vec<String>) {
    for (theme, only) in [("light", json!(null)), ("dark", json!({ "type": "rule", "values": ["color-contrast"] }))] {
        browser.look(1280, 900, theme).unwrap();
        if theme == "light" {
            site.open(browser, path);
        }
        let found = browser.run_async(JUDGE, &json!([only])).unwrap();
        for line in found.as_array().unwrap() {
            wrong.push(format!("{path} {theme}: {}", line.as_str().unwrap()));
        }
        let shown = "return [...document.querySelectorAll('[hidden]')].filter((at) => at.getClientRects().length) \
                     .map((at) => at.id || at.outerHTML.slice(0, 80))";
        for at in browser.run(shown, &json!([])).unwrap().as_array().unwrap() {
            wrong.push(format!("{path} {theme}: hidden, and there to be seen: {at}"));
        }
    }
}

#[test]
fn nothing_serious_stands_in_the_way_of_who_cannot_see_a_page_well() {
    let axe = std::env::var("IOCAST_AXE").ok();
    let missing = chromium::missing().or_else(|| axe.is_none().then(|| "`cargo xtask browser` brings axe-core".into()));
    if is_skipped(missing) {
        return;
    }
    let (site, browser) = (Site::demo(), Browser::start().unwrap());
    let source = std::fs::read_to_string(axe.unwrap()).unwrap();
    browser.before_each_page(&source).unwrap();
    let mut wrong = Vec::new();
    let mut judged = 0;
    judge(&browser, &site, "/sign-in", &mut wrong);
    let pages = || routes::TABLE.iter().filter(|page| page.method == Verb::Get && !page.path.contains('{'));
    let mut left: Vec<&str> = pages().filter(|page| page.needs != Needs::Nothing).map(|page| page.path).collect();
    for who in ["otto", "ada"] {
        site.sign_in(&browser, who);
        let (now, later): (Vec<&str>, Vec<&str>) =
            left.into_iter().partition(|path| pages().any(|page| page.path == *path && may(who, page.needs)));
        left = later;
        for path in now {
            judge(&browser, &site, path, &mut wrong);
            judged += 1;
        }
        if who == "otto" {
            for list in LISTS {
                site.open(&browser, list);
                let first = "return document.querySelector('[data-href]')?.dataset.href ?? null";
                if let Value::String(path) = browser.run(first, &json!([])).unwrap() {
                    judge(&browser, &site, &path, &mut wrong);
                    judged += 1;
                }
            }
            for path in MORE {
                judge(&browser, &site, path, &mut wrong);
            }
        }
    }
    assert!(left.is_empty(), "nobody opens {left:?}");
    drop(site);
    // One where nobody is yet, and nothing.
    let site = Site::new();
    judge(&browser, &site, "/setup", &mut wrong);
    assert!(wrong.is_empty(), "{} findings\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged > 20, "{judged}");
}
