//! How soon a page is seen, in Chromium.

use crate::world::Fault;
use serde_json::json;

/// Said where there is none.
pub(crate) const ABOUT: &str = "first paint is not measured: chromium and chromedriver are needed";

/// A browser; it ends with this value.
pub(crate) struct Browser(chromium::Browser);

impl Browser {
    pub(crate) fn start() -> Result<Browser, Fault> {
        Ok(Browser(chromium::Browser::start()?))
    }

    /// Gives it a cookie of an address.
    pub(crate) fn keep(&self, address: &str, cookie: &str) -> Result<(), Fault> {
        let (name, value) = cookie.split_once('=').ok_or("a cookie has a name")?;
        let cookie = json!({ "name": name, "value": value, "url": address, "path": "/", "httpOnly": true });
        self.0.devtools("Network.setCookie", &cookie)?;
        Ok(())
    }

    /// Opens a page and gives the milliseconds to its first paint, from when it was asked for.
    pub(crate) fn first_paint(&self, url: &str) -> Result<f64, Fault> {
        self.0.open(url)?;
        // Painting may end after loading: the answer waits for two frames.
        let script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => \
                      done(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? \
                      performance.now())))";
        let painted = self.0.run_async(script, &json!([]))?;
        painted.as_f64().ok_or_else(|| format!("no paint: {painted}").into())
    }
}
