//! A notice as a signed message: [Standard Webhooks](https://www.standardwebhooks.com), as targets of that kind get it.

use super::Outdoors;
use connectors::signing::Keys;
use engine::notice::{Channel, Letter};
use kit::{ConnectorError, Secret};

pub(super) fn tell(channel: &Channel, letter: &Letter, outdoors: &Outdoors<'_>) -> Result<(), ConnectorError> {
    let secret = channel.secrets.get("secret").cloned().unwrap_or_else(|| Secret::new(""));
    let keys = Keys::parse(&secret).map_err(ConnectorError::Denied)?;
    let body = serde_json::to_vec(&letter.json(outdoors.now)).unwrap_or_default();
    let timestamp = outdoors.now.secs();
    // A test is another message each time.
    let id = match letter.id {
        0 => format!("{}-{}", letter.message_id(), outdoors.now.micros()),
        _ => letter.message_id(),
    };
    let http = (outdoors.http)()?;
    let mut request = http
        .post(channel.text("url").unwrap_or_default(), "application/json", body.clone())
        .header("webhook-id", &id)
        .header("webhook-timestamp", &timestamp.to_string())
        .header("webhook-signature", &keys.sign(&id, timestamp, &body))
        .idempotent();
    if let Some(token) = channel.secrets.get("token") {
        request = request.bearer(token);
    }
    request.send().map(drop)
}
