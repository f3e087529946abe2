//! Rows that third parties push to a bucket: JSON for a batch, NDJSON for any number.
//!
//! A row has a word of its own, in order: `new`, `changed`, `unchanged`, or `rejected` with the reason. One bad row costs
//! one row. A body is folded in batches, each whole or not at all; the answer comes when all of it is durable. A stream
//! is answered at its end and not meanwhile, because a client that only reads when it has sent everything would
//! otherwise wait for us while we wait for it.
//!
//! `Idempotency-Key` follows the draft of that name of the HTTP API working group: the same key and body have the same
//! answer without a second effect, for a day.

use super::error::Problem;
use super::extract::Part;
use super::lists::Chunks;
use crate::app::App;
use crate::tokens::Caller;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use engine::{EngineError, Op, Outcome, Push, Standing};
use http_body_util::BodyExt as _;
use intel::{IndicatorKind, Observation, Severity, Timestamp, Tlp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::time::Duration;
use store::Answer;
use tempfile::SpooledTempFile;
use tokio::sync::mpsc;

/// Rows folded together.
const CHUNK_ROWS: usize = 5_000;
/// Bytes of rows folded together.
const CHUNK_BYTES: usize = 8 << 20;
/// Most rows of a batch: a row can be a byte long, and what is kept of it is more.
const BATCH_ROWS: usize = 100_000;
/// Longest row of a stream, in bytes.
pub(super) const ROW_BYTES: usize = 64 << 10;
/// Longest stream, in bytes.
const MAX_STREAM_BYTES: u64 = 4 << 30;
/// Longest silence in the middle of a body.
const SILENCE: Duration = Duration::from_secs(30);
/// An answer up to this size waits in memory, a longer one in a nameless temporary file.
const SPOOL_BYTES: usize = 8 << 20;
/// The longest answer, in bytes: a row can be two bytes long, and what is said of it is more.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
/// The longest answer that is kept for a repeated request, in bytes; of a longer one only the totals are.
const KEPT_BYTES: u64 = 4 << 20;
/// Longest key.
const KEY_BYTES: usize = 255;
/// How long somebody waits who pushes too much at once, in seconds.
const BUSY_SECS: u32 = 1;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const NDJSON: &str = "application/x-ndjson";

/// What is to be done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemOp {
    /// The source says this; what it said before is replaced.
    #[default]
    Upsert,
    /// The source takes its word back.
    Retract,
}

/// One row: what a source says of one indicator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// As written, defanged or not.
    pub value: String,
    /// What sort of thing; without, the value speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `upsert`, which is the default, or `retract`.
    #[serde(default)]
    pub op: ItemOp,
    /// 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reputation: Option<i64>,
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<i64>,
    /// `unknown`, `low`, `medium`, `high`, `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// `clear`, `green`, `amber`, `amber+strict`, `red`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlp: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// RFC 3339 or a date, as all times here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// When it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// When the source edited it: its version. Of two words the one with the greater version stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// Not to be believed before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Not to be believed from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Own sightings, counted from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_hits: Option<u32>,
    /// Others' sightings, counted from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_hits: Option<u32>,
    /// The object's id at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Exchanges it has passed through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<String>,
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    /// The rows.
    pub items: Vec<Item>,
}

/// A batch as it is read: a row that cannot be read is that row's trouble.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBody<'a> {
    #[serde(borrow)]
    items: RawRows<'a>,
}

/// Rows that are not read yet, and not too many of them.
pub(super) struct RawRows<'a>(pub(super) Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for RawRows<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> serde::de::Visitor<'de> for Bounded {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("rows")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(row) = rows.next_element()? {
                    if all.len() == BATCH_ROWS {
                        let why = format!("more than {BATCH_ROWS} rows in one batch: more can be sent as {NDJSON}");
                        return Err(serde::de::Error::custom(why));
                    }
                    all.push(row);
                }
                Ok(all)
            }
        }
        from.deserialize_seq(Bounded).map(RawRows)
    }
}

/// How many rows became what. `read = new + changed + unchanged + rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// All rows.
    pub read: u64,
    /// The bucket had nothing on them.
    pub new: u64,
    /// The bucket's word differs now.
    pub changed: u64,
    /// They say nothing new.
    pub unchanged: u64,
    /// They were not taken.
    pub rejected: u64,
    /// The run they are counted on; 0: there were none.
    pub run: u64,
}

impl Totals {
    fn count(&mut self, standing: Standing) {
        self.read += 1;
        *match standing {
            Standing::New => &mut self.new,
            Standing::Changed => &mut self.changed,
            Standing::Unchanged => &mut self.unchanged,
            Standing::Rejected => &mut self.rejected,
        } += 1;
    }
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RowAnswer<'a> {
    /// `new`, `changed`, `unchanged` or `rejected`.
    pub status: &'a str,
    /// The kind it was read as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
    /// The canonical value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'a str>,
    /// Why it was rejected, or did nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// What became of a batch. Of a stream there is a line for each row, and one with `totals` at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PushAnswer<'a> {
    /// The counts.
    pub totals: Totals,
    /// One a row, in order.
    pub items: Vec<RowAnswer<'a>>,
}

fn one_of<T>(key: &str, text: Option<&str>, read: fn(&str) -> Option<T>, names: &[&str]) -> Result<Option<T>, String> {
    let wrong = |text: &str| format!("{key}: \"{}\" is none of {}", clip(text), names.join(", "));
    text.map(|text| read(text).ok_or_else(|| wrong(text))).transpose()
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

fn within(key: &str, number: Option<i64>, least: i64, most: i64) -> Result<Option<i64>, String> {
    match number {
        Some(n) if !(least..=most).contains(&n) => Err(format!("{key}: {n} is not from {least} to {most}")),
        number => Ok(number),
    }
}

impl Item {
    /// What the row says, or what is wrong with it. A marking, a scale or a date that is not understood refuses the row:
    /// leaving it out could let the row go further than its source meant.
    ///
    /// # Errors
    /// The field and what it may be.
    pub fn read(self) -> Result<Push, String> {
        let kinds: Vec<&str> = IndicatorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let tlps: Vec<&str> = Tlp::ALL.iter().map(|tlp| tlp.as_str()).collect();
        let severities: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
        let time = |key: &str, text: Option<&str>| {
            let wrong = |text: &str| format!("{key}: \"{}\" is no date, such as 2027-01-31T10:00:00Z", clip(text));
            text.map(|text| Timestamp::parse(text).ok_or_else(|| wrong(text))).transpose()
        };
        let observation = Observation {
            kind: one_of("kind", self.kind.as_deref().filter(|k| *k != "auto"), IndicatorKind::from_name, &kinds)?,
            reputation: within("reputation", self.reputation, 1, 10)?,
            confidence: within("confidence", self.confidence, 0, 100)?,
            severity: one_of("severity", self.severity.as_deref(), Severity::parse, &severities)?,
            tlp: one_of("tlp", self.tlp.as_deref(), Tlp::parse, &tlps)?,
            first_seen: time("first_seen", self.first_seen.as_deref())?,
            last_seen: time("last_seen", self.last_seen.as_deref())?,
            modified: time("modified", self.modified.as_deref())?,
            valid_from: time("valid_from", self.valid_from.as_deref())?,
            expires_at: time("expires_at", self.expires_at.as_deref())?,
            value: self.value,
            tags: self.tags,
            retracted: false,
            comment: self.comment,
            link: self.link,
            internal_hits: self.internal_hits,
            external_hits: self.external_hits,
            remote_id: self.id,
            hops: self.hops,
        };
        let op = match self.op {
            ItemOp::Upsert => Op::Upsert,
            ItemOp::Retract => Op::Retract,
        };
        Ok(Push { op, observation })
    }
}

fn row(json: &[u8]) -> Result<Push, String> {
    serde_json::from_slice::<Item>(json).map_err(|error| format!("unreadable: {error}"))?.read()
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Ndjson,
}

fn shape(headers: &HeaderMap) -> Result<Shape, Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Shape::Json),
        NDJSON | "application/ndjson" | "application/jsonl" => Ok(Shape::Ndjson),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("rows come as application/json, {{\"items\": […]}}, or as {NDJSON}, one a line"),
        )),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.len() > KEY_BYTES {
        return Err(Problem::invalid(format!("Idempotency-Key: 1 to {KEY_BYTES} ASCII characters")));
    }
    Ok(Some(text.to_owned()))
}

/// `POST /api/v1/connections/{name}/observations`.
pub(super) async fn push(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    request: Request,
) -> Result<Response, Problem> {
    if !caller.may_push(&name) {
        return Err(Problem::forbidden("this token is for pushing to another bucket"));
    }
    let shape = shape(request.headers())?;
    let key = key(request.headers())?;
    // Before the body: nobody should send gigabytes to hear that there is no such bucket.
    let asked = name.clone();
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.bucket(&engine.config(), &asked)?;
        Ok(())
    })
    .await?;
    let place = app
        .crowd()
        .push(&name)
        .ok_or_else(|| Problem::busy(format!("too many requests push to {name} at once"), BUSY_SECS))?;
    let keyed = match key {
        None => None,
        Some(key) => {
            let who = format!("{} {name}", caller.token);
            let claimed = app.crowd().claim(&who, &key).ok_or_else(|| {
                Problem::new(StatusCode::CONFLICT, "a request with this Idempotency-Key is being worked on")
            })?;
            Some(Keyed { who, key, _claimed: claimed })
        }
    };
    let (pieces, inbox) = mpsc::channel(4);
    let worker = app.hop(move |app| {
        let _place = place;
        // The same bytes read in another way are another request.
        let hash = Sha256::new().chain_update([shape as u8]);
        let body = Incoming { inbox, piece: Bytes::new(), is_whole: false, n_bytes: 0, hash };
        let worked = Work { app, name: &name, caller: &caller, touched: 0, totals: Totals::default() };
        worked.run(shape, keyed.as_ref(), body)
    });
    let (done, ()) = tokio::join!(worker, feed(request.into_body(), pieces));
    let (answer, is_replayed) = done?;
    respond(shape, answer, is_replayed)
}

/// Hands the body on; its end is told, so that one that breaks off is not taken for a whole one.
async fn feed(mut body: Body, pieces: mpsc::Sender<Piece>) {
    loop {
        let piece = match tokio::time::timeout(SILENCE, body.frame()).await {
            Err(_) => Piece::Broken("nothing came for 30 seconds"),
            Ok(None) => Piece::End,
            Ok(Some(Err(_))) => Piece::Broken("the body could not be read to its end"),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Piece::Data(data),
                Err(_) => continue,
            },
        };
        let is_last = !matches!(piece, Piece::Data(_));
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

enum Piece {
    Data(Bytes),
    End,
    Broken(&'static str),
}

/// The body, read by a thread that may wait.
struct Incoming {
    inbox: mpsc::Receiver<Piece>,
    piece: Bytes,
    is_whole: bool,
    n_bytes: u64,
    hash: Sha256,
}

impl Incoming {
    /// The rest of what came last, or what comes next; empty at the end.
    fn fill(&mut self, most: u64) -> Result<&Bytes, Problem> {
        while self.piece.is_empty() && !self.is_whole {
            match self.inbox.blocking_recv() {
                Some(Piece::Data(data)) => {
                    self.n_bytes += data.len() as u64;
                    if self.n_bytes > most {
                        let most = most >> 20;
                        return Err(Problem::new(
                            StatusCode::PAYLOAD_TOO_LARGE,
                            format!("the body is longer than {most} MiB"),
                        ));
                    }
                    self.hash.update(&data);
                    self.piece = data;
                }
                Some(Piece::End) => self.is_whole = true,
                Some(Piece::Broken(why)) => return Err(Problem::invalid(why)),
                None => return Err(Problem::invalid("the body broke off")),
            }
        }
        Ok(&self.piece)
    }

    /// All of it.
    fn whole(&mut self, most: u64) -> Result<Vec<u8>, Problem> {
        let mut all = Vec::new();
        loop {
            let piece = self.fill(most)?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(piece);
            self.piece.clear();
        }
    }

    /// The next line without its end, in `line`. Of one that is too long only the beginning is kept. False: the end.
    fn line(&mut self, line: &mut Vec<u8>) -> Result<bool, Problem> {
        line.clear();
        let mut is_any = false;
        loop {
            let piece = self.fill(MAX_STREAM_BYTES)?;
            if piece.is_empty() {
                return Ok(is_any);
            }
            is_any = true;
            let end = memchr::memchr(b'\n', piece);
            let part = &piece[..end.unwrap_or(piece.len())];
            line.extend_from_slice(&part[..part.len().min(ROW_BYTES + 1 - line.len())]);
            let used = end.map_or(piece.len(), |end| end + 1);
            let _ = self.piece.split_to(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Reads what is left, keeping nothing, and gives the hash of it all.
    fn hashed(&mut self) -> Result<[u8; 32], Problem> {
        while !self.fill(MAX_STREAM_BYTES)?.is_empty() {
            self.piece.clear();
        }
        Ok(self.hash.clone().finalize().into())
    }
}

struct Keyed {
    who: String,
    key: String,
    /// Held while the request is worked on.
    _claimed: crate::app::crowd::Claimed,
}

/// One request being worked on.
struct Work<'a> {
    app: &'a App,
    name: &'a str,
    caller: &'a Caller,
    touched: u64,
    totals: Totals,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        // Also where a later batch failed: what is folded counts.
        if self.touched > 0 {
            self.app.hurry();
        }
    }
}

fn spooled(error: &io::Error) -> Problem {
    Problem::internal(format!("the answer cannot be kept: {error}"))
}

/// Adds to an answer, unless it gets longer than a disk should have to hold.
fn say(answer: &mut (impl io::Write + io::Seek), lines: &[u8], most: u64) -> Result<(), Problem> {
    let there = answer.stream_position().map_err(|error| spooled(&error))?;
    if there + lines.len() as u64 > most {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the answer would be longer than {} MiB: send fewer rows at once", most >> 20),
        ));
    }
    answer.write_all(lines).map_err(|error| spooled(&error))
}

impl Work<'_> {
    /// The answer, and whether it is one that was given before.
    fn run(
        mut self,
        shape: Shape,
        keyed: Option<&Keyed>,
        mut body: Incoming,
    ) -> Result<(SpooledTempFile, bool), Problem> {
        let store = self.app.engine()?.store();
        let now = self.app.engine()?.world().now();
        if let Some(Keyed { who, key, .. }) = keyed
            && let Some(given) = store.answer(who, key, now.before(engine::ingest::ANSWERS_KEPT))?
        {
            if body.hashed()? != given.body {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "this Idempotency-Key was used for another body: take a new key for a new request",
                ));
            }
            let mut answer = SpooledTempFile::new(SPOOL_BYTES);
            answer.write_all(&given.answer).map_err(|error| spooled(&error))?;
            return Ok((answer, true));
        }
        let mut answer = SpooledTempFile::new(SPOOL_BYTES);
        let done = match shape {
            Shape::Json => self.batch(&mut body, &mut answer),
            Shape::Ndjson => self.stream(&mut body, &mut answer),
        };
        done.map_err(|problem| match self.totals.read {
            0 => problem,
            n => problem.at(&format!("the first {n} rows are taken, then")),
        })?;
        if let Some(Keyed { who, key, .. }) = keyed {
            let body = body.hashed()?;
            let kept = self.kept(shape, &mut answer).map_err(|error| spooled(&error))?;
            store.put_answer(who, key, &Answer { body, answer: kept }, now)?;
        }
        Ok((answer, false))
    }

    /// What is kept of an answer for a repeated request.
    fn kept(&self, shape: Shape, answer: &mut SpooledTempFile) -> io::Result<Vec<u8>> {
        if answer.stream_position()? > KEPT_BYTES {
            let mut kept = match shape {
                Shape::Json => serde_json::to_vec(&PushAnswer { totals: self.totals, items: Vec::new() })?,
                Shape::Ndjson => serde_json::to_vec(&serde_json::json!({ "totals": self.totals }))?,
            };
            kept.push(b'\n');
            return Ok(kept);
        }
        answer.seek(SeekFrom::Start(0))?;
        let mut kept = Vec::new();
        answer.read_to_end(&mut kept)?;
        Ok(kept)
    }

    fn fold(&mut self, rows: Vec<Result<Push, String>>) -> Result<Vec<Outcome>, EngineError> {
        let Ok(engine) = self.app.engine() else { return Err(EngineError::Conflict("starting".into())) };
        let done = engine.ingest(self.name, rows, &self.caller.name)?;
        self.touched += done.touched;
        self.totals.run = done.run;
        done.outcomes.iter().for_each(|outcome| self.totals.count(outcome.standing));
        Ok(done.outcomes)
    }

    fn batch(&mut self, body: &mut Incoming, answer: &mut SpooledTempFile) -> Result<(), Problem> {
        let bytes = body.whole(super::MAX_BODY_BYTES as u64)?;
        let raw: RawBody<'_> = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::invalid(format!("the body is not {{\"items\": […]}}: {error}")))?;
        let mut outcomes = Vec::with_capacity(raw.items.0.len());
        for chunk in raw.items.0.chunks(CHUNK_ROWS) {
            let rows = chunk.iter().map(|item| row(item.get().as_bytes())).collect();
            outcomes.extend(self.fold(rows)?);
        }
        let items = outcomes.iter().map(shown).collect();
        let text = serde_json::to_vec(&PushAnswer { totals: self.totals, items })
            .map_err(|error| Problem::internal(error.to_string()))?;
        answer.write_all(&text).map_err(|error| spooled(&error))
    }

    fn stream(&mut self, body: &mut Incoming, answer: &mut SpooledTempFile) -> Result<(), Problem> {
        let (mut line, mut rows, mut n_bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            let is_more = body.line(&mut line)?;
            let text = line.trim_ascii();
            if line.len() > ROW_BYTES {
                rows.push(Err(format!("unreadable: the row is longer than {} KiB", ROW_BYTES >> 10)));
            } else if !text.is_empty() {
                rows.push(row(text));
            }
            n_bytes += line.len();
            if !rows.is_empty() && (!is_more || rows.len() == CHUNK_ROWS || n_bytes >= CHUNK_BYTES) {
                // It may go on for hours: what was revoked meanwhile ends it. What was folded stays.
                if !self.app.is_still_let_in(self.caller)? {
                    return Err(Problem::unauthorized());
                }
                let outcomes = self.fold(std::mem::take(&mut rows))?;
                n_bytes = 0;
                let mut lines = Vec::with_capacity(outcomes.len() * 96);
                for outcome in &outcomes {
                    serde_json::to_writer(&mut lines, &shown(outcome))
                        .map_err(|error| Problem::internal(error.to_string()))?;
                    lines.push(b'\n');
                }
                say(answer, &lines, MAX_ANSWER_BYTES)?;
            }
            if !is_more {
                let totals = serde_json::json!({ "totals": self.totals });
                return writeln!(answer, "{totals}").map_err(|error| spooled(&error));
            }
        }
    }
}

fn shown(outcome: &Outcome) -> RowAnswer<'_> {
    RowAnswer {
        status: outcome.standing.as_str(),
        kind: outcome.kind().map(|kind| kind.as_str()),
        value: outcome.key.as_ref().map(intel::IndicatorKey::value),
        reason: outcome.reason.as_deref(),
    }
}

fn respond(shape: Shape, mut answer: SpooledTempFile, is_replayed: bool) -> Result<Response, Problem> {
    let bytes = answer.stream_position().map_err(|error| spooled(&error))?;
    answer.seek(SeekFrom::Start(0)).map_err(|error| spooled(&error))?;
    let (chunks, inbox) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let mut left = answer;
        loop {
            let mut piece = vec![0; 256 << 10];
            let sent = match left.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => {
                    piece.truncate(n);
                    chunks.blocking_send(Ok(piece.into()))
                }
                Err(error) => chunks.blocking_send(Err(error)),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::from_stream(Chunks(inbox)));
    let headers = response.headers_mut();
    let media = match shape {
        Shape::Json => "application/json",
        Shape::Ndjson => NDJSON,
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    if is_replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_does_not_fill_the_disk() {
        let mut answer = io::Cursor::new(Vec::new());
        assert!(say(&mut answer, b"12345", 10).is_ok() && say(&mut answer, b"67890", 10).is_ok());
        let problem = say(&mut answer, b"1", 10).unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.into_inner(), b"1234567890");
    }
}
