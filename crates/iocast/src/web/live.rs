//! The stream by which open pages hear that something they show is another, as server-sent events.
//!
//! An event names a part of the console and carries no more of it than a count: the page asks for itself again, through the
//! same gate as ever. Its id is the state that was told last, so that nothing between the making of a page and its
//! connecting is missed. The stream ends with the session, and with the right to read.

use super::{Fields, Visit};
use crate::api::Problem;
use crate::api::lists::Chunks;
use crate::app::App;
use crate::app::live::{Live, Place, Pulse};
use crate::tokens::Caller;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two signs of life, and between two looks whether who follows still may.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest time that a reader may take to read what is there.
const STALL: Duration = Duration::from_secs(30);
/// How long to stay away where too many follow, in seconds.
const BUSY_SECS: u32 = 30;

pub(super) async fn live(visit: Visit, headers: HeaderMap, fields: Fields) -> Result<Response, Problem> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accepts.contains("text/event-stream") {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "this is for the scripts of pages, as text/event-stream"));
    }
    let Visit { app, seat, .. } = visit;
    let place = app.live().place(&seat.caller.name);
    let place =
        place.ok_or_else(|| Problem::busy("you have too many pages open that are kept up to date", BUSY_SECS))?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let seen = last.and_then(Pulse::parse).or_else(|| Pulse::parse(fields.get("seen")));
    let now = app.hop(Pulse::of).await?;
    let (chunks, inbox) = mpsc::channel(1);
    tokio::spawn(tell(app, seat.caller, place, (seen.unwrap_or(now), now), chunks));
    let mut response = Response::new(Body::from_stream(Chunks(inbox)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

type Out = mpsc::Sender<std::io::Result<Bytes>>;

async fn tell(app: Arc<App>, caller: Caller, place: Place, (seen, now): (Pulse, Pulse), out: Out) {
    let _place = place;
    let mut pulse = Live::follow(&app);
    // The browser comes again so soon where the connection breaks.
    let mut text = "retry: 3000\n\n".to_owned();
    changed(seen, now, &mut text);
    let mut seen = now;
    loop {
        let text_now = std::mem::take(&mut text);
        if !text_now.is_empty() && !sent(&out, text_now).await {
            return;
        }
        let waited = tokio::select! {
            // Who goes on to the next page leaves a place free at once: few pages later there would be none.
            () = out.closed() => return,
            waited = tokio::time::timeout(HEARTBEAT, pulse.changed()) => waited,
        };
        match waited {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            // Without it nobody would notice a reader whose connection broke in silence.
            Err(_) => text.push_str(": alive\n\n"),
        }
        let who = caller.clone();
        if !matches!(app.hop(move |app| app.is_still_let_in(&who)).await, Ok(true)) {
            // One try: who has left hears nothing anyway.
            sent(&out, "event: end\ndata: over\n\n".to_owned()).await;
            return;
        }
        let now = *pulse.borrow_and_update();
        if now != Pulse::default() {
            changed(seen, now, &mut text);
            seen = now;
        }
    }
}

/// What has changed, as events.
fn changed(seen: Pulse, now: Pulse, out: &mut String) {
    let parts = [
        ("overview", seen.overview != now.overview, String::new()),
        ("activity", seen.activity != now.activity, String::new()),
        ("plans", seen.plans != now.plans, String::new()),
        (
            "waiting",
            seen.waiting != now.waiting,
            if now.waiting == 0 { String::new() } else { now.waiting.to_string() },
        ),
    ];
    for (name, _, data) in parts.into_iter().filter(|(_, is_other, _)| *is_other) {
        // An event without data is none to a browser; a comment is nothing on a page.
        let data = if data.is_empty() { "<!---->" } else { &data };
        let _ = write!(out, "event: {name}\nid: {now}\ndata: {data}\n\n");
    }
}

/// Gives a piece to whoever follows. False: they are gone, or do not read.
async fn sent(out: &Out, text: String) -> bool {
    matches!(tokio::time::timeout(STALL, out.send(Ok(text.into()))).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let seen = Pulse { overview: 1, activity: 2, plans: 3, waiting: 4 };
        let told = |now: Pulse| {
            let mut text = String::new();
            changed(seen, now, &mut text);
            text
        };
        assert_eq!(told(seen), "");
        assert_eq!(told(Pulse { waiting: 5, ..seen }), "event: waiting\nid: 1-2-3-5\ndata: 5\n\n");
        let all = told(Pulse { overview: 9, activity: 9, plans: 9, waiting: 0 });
        assert_eq!(all.matches("event: ").count(), 4);
        assert!(all.contains("event: waiting\nid: 9-9-9-0\ndata: <!---->\n\n"), "{all}");
    }
}
