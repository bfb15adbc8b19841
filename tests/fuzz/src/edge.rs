//! What the edge reads of strangers: bodies, headers, cursors, callbacks.

use std::time::Duration;

use lyceum::http::recommend::EventsBody;
use lyceum::http::untrusted;
use lyceum_entities::catalog::Cursor;
use lyceum_entities::commerce::{Callback, CallbackSecret, sign};
use lyceum_kernel::Timestamp;
use serde_json::Value;

/// Bodies: a refusal points into the body that it refuses.
pub fn json_body(data: &[u8]) {
    let Err(refused) = untrusted::json_body::<EventsBody>(data) else {
        return;
    };
    let parsed = serde_json::from_slice::<Value>(data).ok();
    assert!(refused.code == "http.invalid_body" || refused.code == "http.malformed_json" && parsed.is_none());
    for pointer in &refused.pointers {
        assert!(
            pointer.is_empty() || pointer.starts_with('/'),
            "{pointer} is no pointer"
        );
        // A wrong shape may be met before the end of JSON is.
        let Some(body) = &parsed else { continue };
        // A missing field is pointed at by the object that misses it, an unknown one by itself.
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(
            body.pointer(pointer).is_some() || body.pointer(parent).is_some(),
            "{pointer} points out of {body}"
        );
    }
}

/// Authorization headers: a token is a part of its header and has no blanks around it.
pub fn bearer(data: &[u8]) {
    let Ok(value) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(token) = untrusted::bearer(value) {
        assert!(!token.is_empty() && token.trim() == token && value.contains(token));
    }
}

/// Idempotency keys: 1 to 255 visible ASCII characters, and nothing else.
pub fn idempotency_key(data: &[u8]) {
    let well_formed = (1..=255).contains(&data.len()) && data.iter().all(u8::is_ascii_graphic);
    assert_eq!(untrusted::is_idempotency_key(data), well_formed);
}

/// Cursors: what was taken is written as something that is taken for the same.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
    }
}

/// Callbacks: id, time, signatures and body on a line each. Nobody gets through without the secret; with it any body is read
/// or refused.
pub fn callback(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (Some(id), Some(time), Some(signatures)) = (line(), line(), line()) else {
        return;
    };
    let body = data.splitn(4, |byte| *byte == b'\n').nth(3).unwrap_or_default();
    let secret = CallbackSecret::new("a secret of the fuzz targets");
    let now = Timestamp::from_millis(1_700_000_000_000);
    let verify = |signatures: &str| {
        Callback::verify(
            &secret,
            (id, time, signatures),
            body,
            now,
            Duration::from_secs(300),
        )
    };
    let signature = sign(&secret, id, time, body);
    if !signatures.split(' ').any(|one| one == signature) {
        assert!(verify(signatures).is_err(), "a forged callback got through");
    }
    if let Ok(callback) = verify(&signature) {
        assert_eq!(callback.event_id, id);
        callback.attempt();
    }
}
