//! The changes that make a request wrong, or strange: method, target, headers, token, key, JSON, framing, bytes.

use serde_json::{Map, Value};

use super::valid::Request;
use crate::dice::Dice;

/// Longer than any field, shorter than a head may be.
const LONG: usize = 10_000;
/// Deeper than any parser should follow.
const DEEP: usize = 50_000;

const METHODS: [&[u8]; 12] = [
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PUT",
    b"DELETE",
    b"get",
    b"G\xc3\x89T",
    b"PROPFIND",
    b"",
    b"GET\t",
    b"POST POST",
];
const SEGMENTS: [&[u8]; 16] = [
    b"",
    b"%00",
    b"%",
    b"%zz",
    b"..",
    b"%2e%2e%2f",
    b"crs_01h455vb4pex5vsknk084sn02q",
    b"crs_81h455vb4pex5vsknk084sn02q",
    b"usr_01h455vb4pex5vsknk084sn02q",
    b"\xff\xfe",
    b"%F0%9F%92%A9",
    b"-1",
    b"null",
    b"{id}",
    b"a b",
    b"me;x=1",
];
const QUERIES: [&[u8]; 18] = [
    b"limit=0",
    b"limit=-1",
    b"limit=99999999999999999999",
    b"limit=1&limit=2",
    b"limit=%00",
    b"after=",
    b"after=%00%ff",
    b"after=////",
    b"after=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    b"q=%F0%9F%92%A9",
    b"q=%00",
    b"q=%ff%fe",
    b"state=%00",
    b"sort=;drop",
    b"&&&=&",
    b"%",
    b"a=b=c",
    b"creator=crs_01h455vb4pex5vsknk084sn02q",
];
const HEADERS: [(&[u8], &[u8]); 22] = [
    (b"content-type", b"text/plain"),
    (b"content-type", b"application/json; charset=utf-16"),
    (b"content-type", b"application/json, application/xml"),
    (b"content-encoding", b"gzip"),
    (b"accept", b"text/html;q=2"),
    (b"if-match", b"*"),
    (b"if-match", b"\"unterminated"),
    (b"if-match", b"W/\"weak\""),
    (b"if-none-match", b"\x80\xff"),
    (b"range", b"bytes=0-99999999999999999999"),
    (b"expect", b"200-ok"),
    (
        b"traceparent",
        b"00-00000000000000000000000000000000-0000000000000000-ff",
    ),
    (b"traceparent", b"ff-zz"),
    (b"x-request-id", b"two words \xff"),
    (b"x-forwarded-for", b"999.999.999.999, ::1, \xe2\x80\x8b"),
    (b"forwarded", b"for=\"[::1\";;;"),
    (b"cookie", b"a=b; \x01"),
    (b"x-http-method-override", b"DELETE"),
    (b"origin", b"null"),
    (b"te", b"trailers, deflate;q=0.5"),
    (b"connection", b"close, authorization, idempotency-key"),
    (b"", b"no name"),
];
const TOKENS: [&[u8]; 12] = [
    b"Bearer",
    b"Bearer ",
    b"Bearer  x",
    b"bearer x",
    b"Basic dXNlcjpwYXNz",
    b"Bearer a.b.c",
    b"Bearer ..",
    b"Bearer \xff\xff.\xff.\xff",
    b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c3JfMDFoNDU1dmI0cGV4NXZza25rMDg0c24wMnEifQ.",
    b"Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.AAAA",
    b"",
    b"Bearer x, Bearer y",
];
const KEYS: [&[u8]; 6] = [b"", b" ", b"two words", b"\xe9\xe9", b"\x7f", b"k\x00k"];
/// Texts of JSON values, since not each can be held by a value.
const VALUES: [&str; 33] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1",
    "1.5",
    "1e309",
    "-1e309",
    "1e-400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u202e\\ufeff\"",
    "\"💩\"",
    "[]",
    "{}",
    "[null]",
    "[[[[[[[[]]]]]]]]",
    "{\"\":{\"\":{}}}",
    "\"NaN\"",
    "{\"amount\":-1,\"currency\":\"CNY\"}",
    "{\"amount\":1,\"currency\":\"ZZZ\"}",
    "{\"amount\":9223372036854775807,\"currency\":\"CNY\"}",
    "\"0000-00-00T00:00:00Z\"",
];
const BODIES: [&[u8]; 16] = [
    b"",
    b"{",
    b"}",
    b"null",
    b"[]",
    b"\"text\"",
    b"{}{}",
    b"{\"a\":}",
    b"{'a':1}",
    b"// no\n{}",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"{\"a\":\"\xc3\x28\"}",
    b"{\"a\":01}",
    b"{\"a\":1,}",
    b"{\"items\":[],\"items\":[]}",
];
const LENGTHS: [&[u8]; 9] = [
    b"0",
    b"1",
    b"5",
    b"99999999999999999999",
    b"-5",
    b"0x10",
    b"1, 1",
    b"\xff",
    b"1048577",
];

/// Changes one part of a request.
pub(super) fn structure(dice: &mut Dice, request: &mut Request) {
    // Bodies and targets have the most ways of being wrong.
    match dice.below(20) {
        0 => request.method = chosen(dice, &METHODS),
        1 | 2 => segment(dice, request),
        3 | 4 => query(dice, request),
        5 => request.target = long_target(dice),
        6 | 7 => header(dice, request),
        8 => drop_header(dice, request),
        9 => repeat_header(dice, request),
        10 => replace(request, b"authorization", &chosen(dice, &TOKENS)),
        11 => damage_token(dice, request),
        12 => key(dice, request),
        13 => request.body = body(dice),
        14 => request.length = Some(dice.chance(2, 3).then(|| chosen(dice, &LENGTHS))),
        15 => extra_field(dice, request),
        _ => wrong_value(dice, request),
    }
}

/// Changes bytes of what is sent, wherever they are.
pub(super) fn bytes(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len());
        match dice.below(4) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => {
                bytes.remove(at);
            }
            2 => {
                let count = 1 + dice.below(8);
                bytes.splice(at..at, dice.bytes(count));
            }
            _ => bytes.truncate(at),
        }
    }
}

fn chosen(dice: &mut Dice, from: &[&[u8]]) -> Vec<u8> {
    dice.pick(from).map(|bytes| bytes.to_vec()).unwrap_or_default()
}

fn segment(dice: &mut Dice, request: &mut Request) {
    let (path, query) = match request.target.iter().position(|byte| *byte == b'?') {
        Some(at) => request.target.split_at(at),
        None => (request.target.as_slice(), [].as_slice()),
    };
    let mut segments: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    let at = dice.below(segments.len());
    let new = chosen(dice, &SEGMENTS);
    match dice.below(3) {
        0 => segments.insert(at, new),
        1 if segments.len() > 1 => {
            segments.remove(at);
        }
        _ => segments[at] = new,
    }
    request.target = [segments.join(&b'/').as_slice(), query].concat();
}

fn query(dice: &mut Dice, request: &mut Request) {
    let joint = if request.target.contains(&b'?') {
        b'&'
    } else {
        b'?'
    };
    request.target.push(joint);
    request.target.extend(chosen(dice, &QUERIES));
}

fn long_target(dice: &mut Dice) -> Vec<u8> {
    let mut target = b"/v1/courses/".to_vec();
    let one = *dice.pick(b"a/%.").unwrap_or(&b'a');
    target.resize(1 + dice.below(3 * LONG), one);
    target
}

fn header(dice: &mut Dice, request: &mut Request) {
    if dice.chance(1, 8) {
        let long = vec![b'x'; dice.below(3 * LONG)];
        request.headers.push((b"x-long".to_vec(), long));
    } else if let Some((name, value)) = dice.pick(&HEADERS) {
        request.headers.push((name.to_vec(), value.to_vec()));
    }
}

fn drop_header(dice: &mut Dice, request: &mut Request) {
    if !request.headers.is_empty() {
        request.headers.remove(dice.below(request.headers.len()));
    }
}

fn repeat_header(dice: &mut Dice, request: &mut Request) {
    if let Some(header) = dice.pick(&request.headers).cloned() {
        request.headers.push(header);
    }
}

fn replace(request: &mut Request, name: &[u8], value: &[u8]) {
    request.headers.retain(|(field, _)| field != name);
    request.headers.push((name.to_vec(), value.to_vec()));
}

fn damage_token(dice: &mut Dice, request: &mut Request) {
    let token = request
        .headers
        .iter_mut()
        .find(|(name, _)| name == b"authorization");
    if let Some((_, value)) = token {
        bytes(dice, value);
    }
}

fn key(dice: &mut Dice, request: &mut Request) {
    let value = if dice.chance(1, 3) {
        vec![b'k'; 250 + dice.below(10)]
    } else {
        chosen(dice, &KEYS)
    };
    replace(request, b"idempotency-key", &value);
}

fn body(dice: &mut Dice) -> Vec<u8> {
    match dice.below(6) {
        0 => vec![b'['; DEEP],
        1 => b"{\"a\":".repeat(DEEP / 5),
        2 => {
            let length = dice.below(LONG);
            dice.bytes(length)
        }
        3 => [b"{\"title\":\"".as_slice(), &vec![b'x'; 100 * LONG], b"\"}"].concat(),
        _ => chosen(dice, &BODIES),
    }
}

fn extra_field(dice: &mut Dice, request: &mut Request) {
    let names = [
        "",
        "id",
        "__proto__",
        "roles",
        "balance",
        "user_id",
        "\u{0}",
        "amount",
        "items",
    ];
    let name = dice.pick(&names).copied().unwrap_or_default();
    with_json(request, |value| {
        if let Some(object) = value.as_object_mut() {
            object.insert(name.to_owned(), Value::Bool(true));
        }
    });
}

/// Puts a value that is wrong, or at least unusual, in the place of one that was right.
fn wrong_value(dice: &mut Dice, request: &mut Request) {
    const PLACE: &str = "the-place-of-the-wrong-value";
    let Ok(mut value) = serde_json::from_slice::<Value>(&request.body) else {
        return;
    };
    let count = places(&value);
    let mut left = dice.below(count);
    if dice.chance(1, 8) {
        remove_nth(&mut value, &mut left);
        request.body = value.to_string().into_bytes();
        return;
    }
    replace_nth(&mut value, &mut left, &Value::String(PLACE.to_owned()));
    let wrong = match dice.below(12) {
        0 => format!("\"{}\"", "x".repeat(LONG)),
        1 => format!("{}{}", "[".repeat(200), "]".repeat(200)),
        2 => "9".repeat(400),
        _ => dice.pick(&VALUES).copied().unwrap_or("null").to_owned(),
    };
    request.body = value
        .to_string()
        .replace(&format!("\"{PLACE}\""), &wrong)
        .into_bytes();
}

fn with_json(request: &mut Request, change: impl FnOnce(&mut Value)) {
    if let Ok(mut value) = serde_json::from_slice::<Value>(&request.body) {
        change(&mut value);
        request.body = value.to_string().into_bytes();
    }
}

/// How many values a value has, itself included.
fn places(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(fields) => fields.values().map(places).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    1 + inner
}

/// Replaces the value that is `left` places on, and says whether it has been met.
fn replace_nth(value: &mut Value, left: &mut usize, new: &Value) -> bool {
    if *left == 0 {
        *value = new.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace_nth(item, left, new)),
        Value::Object(fields) => fields.values_mut().any(|field| replace_nth(field, left, new)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Removes the field or item that is `left` places on.
fn remove_nth(value: &mut Value, left: &mut usize) -> bool {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            names.iter().any(|name| remove_field(fields, name, left))
        }
        Value::Array(items) => {
            if *left < items.len() {
                items.remove(*left);
                return true;
            }
            items.iter_mut().any(|item| remove_nth(item, left))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn remove_field(fields: &mut Map<String, Value>, name: &str, left: &mut usize) -> bool {
    if *left == 0 {
        return fields.remove(name).is_some();
    }
    *left -= 1;
    fields.get_mut(name).is_some_and(|field| remove_nth(field, left))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_of_a_value_can_be_replaced() {
        let value = json!({"a": [1, {"b": 2}], "c": 3});
        assert_eq!(places(&value), 6);

        let mut seen = std::collections::BTreeSet::new();
        for mut left in 0..places(&value) {
            let mut changed = value.clone();
            assert!(replace_nth(&mut changed, &mut left, &json!("new")));
            seen.insert(changed.to_string());
        }

        assert_eq!(seen.len(), 6);
        assert!(seen.contains(&json!({"a": [1, {"b": "new"}], "c": 3}).to_string()));
    }

    #[test]
    fn fields_and_items_can_be_left_out() {
        let mut value = json!({"a": [1, 2]});

        assert!(remove_nth(&mut value, &mut 1));
        assert_eq!(value, json!({"a": [2]}));
        assert!(remove_nth(&mut value, &mut 0));
        assert_eq!(value, json!({}));
    }
}
