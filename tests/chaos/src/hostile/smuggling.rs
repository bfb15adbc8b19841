//! Requests whose end two readers could see at different places, and what a reader must not do with them.
//!
//! Each case is one connection. Behind the request, where an honest reader sees its body or nothing at all, lies a second
//! request for [`SMUGGLED`]; it must never be answered. What cannot be framed without doubt must be refused.

mod behind;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::verdict::Check;
use crate::wire::{Answer, Wire, request};

/// A path that exists nowhere else.
const SMUGGLED: &str = "/v1/smuggled";
/// After it nothing more is expected.
const QUIET: Duration = Duration::from_millis(400);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests in one packet.
const PIPELINED: usize = 100;

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Refused with 400, 411, 413, 417, 431 or 501, or the connection ends unanswered; nothing after it is read.
    Refuse,
    /// Taken or refused, but as one request.
    BeOne,
}

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    must: Must,
}

/// Tries every case; one figure for what was answered wrongly, with the names, and one for pipelining.
pub(super) async fn all(address: SocketAddr) -> Vec<Check> {
    let cases = cases();
    let count = cases.len();
    let tried: Vec<_> = cases.into_iter().map(|case| try_one(address, case)).collect();
    let wrong: Vec<String> = futures_util::future::join_all(tried)
        .await
        .into_iter()
        .flatten()
        .collect();
    let told = if wrong.is_empty() {
        "0".to_owned()
    } else {
        wrong.join("; ")
    };
    vec![
        Check::judged(
            format!("smuggling, {count} forms: misread"),
            told,
            "0",
            wrong.is_empty(),
        ),
        behind::all(address).await,
        pipelining(address).await,
    ]
}

/// What is wrong with the answer to a case, if anything.
async fn try_one(address: SocketAddr, case: Case) -> Option<String> {
    let answers = match exchange(address, &case.bytes).await {
        Ok(answers) => answers,
        Err(error) => return Some(format!("{}: {error}", case.name)),
    };
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let refusals = [400, 408, 411, 413, 414, 417, 431, 501];
    let wrong = match case.must {
        _ if statuses.len() > 1 => "more than one answer",
        _ if statuses
            .iter()
            .any(|status| *status >= 500 && *status != 501 && *status != 503) =>
        {
            "a fault"
        }
        Must::Refuse if !statuses.iter().all(|status| refusals.contains(status)) => "not refused",
        Must::Refuse | Must::BeOne => return None,
    };
    Some(format!("{}: {wrong} {statuses:?}", case.name))
}

/// All answers that come before the connection ends or falls silent.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<Answer>> {
    let mut wire = Wire::open(address).await?;
    // The server may refuse before it has read everything.
    let _ = wire.send(bytes).await;
    let mut answers = Vec::new();
    let mut patience = ANSWER_TIMEOUT;
    while let Ok(Ok(Some(answer))) = timeout(patience, wire.answer(false)).await {
        answers.push(answer);
        patience = QUIET;
    }
    Ok(answers)
}

async fn pipelining(address: SocketAddr) -> Check {
    let what = format!("{PIPELINED} requests in one packet: answered in order");
    let limit = PIPELINED.to_string();
    let mut bytes = Vec::new();
    for number in 0..PIPELINED {
        let id = format!("pipelined-{number}");
        bytes.extend(request("GET", "/v1/categories", &[("x-request-id", &id)], None));
    }
    match exchange(address, &bytes).await {
        Ok(answers) => {
            let in_order = answers
                .iter()
                .enumerate()
                .take_while(|(number, answer)| {
                    answer.status == 200
                        && answer.header("x-request-id") == Some(&format!("pipelined-{number}"))
                })
                .count();
            let held = in_order == PIPELINED && answers.len() == PIPELINED;
            Check::judged(what, in_order, limit, held)
        }
        Err(error) => Check::judged(what, error, limit, false),
    }
}

fn cases() -> Vec<Case> {
    let smuggled = format!("GET {SMUGGLED} HTTP/1.1\r\nhost: lyceum.test\r\n\r\n");
    let length = smuggled.len();
    let framed = |framing: &str, body: &str| {
        format!(
            "POST /v1/sessions/refresh HTTP/1.1\r\nhost: lyceum.test\r\ncontent-type: application/json\r\n{framing}\r\n\r\n{body}"
        )
    };
    let chunked = |body: &str| framed("transfer-encoding: chunked", body);
    let refuse: Vec<(&'static str, String)> = vec![
        (
            "CL.TE",
            framed(
                "content-length: 5\r\ntransfer-encoding: chunked",
                &format!("0\r\n\r\n{smuggled}"),
            ),
        ),
        (
            "TE.CL",
            framed(
                "transfer-encoding: chunked\r\ncontent-length: 4",
                &format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "TE.TE, the second unknown",
            framed(
                "transfer-encoding: chunked\r\ntransfer-encoding: x",
                &format!("0\r\n\r\n{smuggled}"),
            ),
        ),
        (
            "TE that is not chunked last",
            framed(
                "transfer-encoding: chunked, identity",
                &format!("0\r\n\r\n{smuggled}"),
            ),
        ),
        (
            "TE unknown",
            framed("transfer-encoding: xchunked", &format!("0\r\n\r\n{smuggled}")),
        ),
        (
            "TE with a vertical tab",
            framed("transfer-encoding: \x0bchunked", &format!("0\r\n\r\n{smuggled}")),
        ),
        (
            "space before the colon",
            framed("transfer-encoding : chunked", &format!("0\r\n\r\n{smuggled}")),
        ),
        (
            "folded header",
            framed(
                "x-a: 1\r\n transfer-encoding: chunked\r\ncontent-length: 0",
                &smuggled,
            ),
        ),
        (
            "two lengths",
            framed(
                &format!("content-length: 0\r\ncontent-length: {length}"),
                &smuggled,
            ),
        ),
        (
            "list of lengths",
            framed(&format!("content-length: 0, {length}"), &smuggled),
        ),
        ("length with a sign", framed("content-length: +0", &smuggled)),
        ("negative length", framed("content-length: -1", &smuggled)),
        ("hexadecimal length", framed("content-length: 0x0", &smuggled)),
        (
            "length beyond 64 bits",
            framed("content-length: 18446744073709551616", &smuggled),
        ),
        ("empty length", framed("content-length: ", &smuggled)),
        (
            "chunk size beyond 64 bits",
            chunked(&format!("ffffffffffffffff1\r\n{smuggled}")),
        ),
        (
            "huge chunk size",
            chunked(&format!("fffffffffffffff0\r\n{smuggled}")),
        ),
        ("negative chunk size", chunked(&format!("-1\r\n{smuggled}"))),
        ("chunk size with 0x", chunked(&format!("0x0\r\n\r\n{smuggled}"))),
        (
            "chunk size with a leading space",
            chunked(&format!(" 0\r\n\r\n{smuggled}")),
        ),
        (
            "chunk longer than it says",
            chunked(&format!("1\r\n{{}}\r\n0\r\n\r\n{smuggled}")),
        ),
        (
            "chunked in HTTP/1.0",
            framed("transfer-encoding: chunked", &format!("0\r\n\r\n{smuggled}"))
                .replace("HTTP/1.1\r\nhost", "HTTP/1.0\r\nhost"),
        ),
        ("no host", "GET /v1/courses HTTP/1.1\r\nx-a: b\r\n\r\n".to_owned()),
        (
            "two hosts",
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(),
        ),
        (
            "null in a header",
            format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n{smuggled}"),
        ),
        (
            "space in a header's name",
            format!("GET /livez HTTP/1.1\r\nhost: a\r\nx a: b\r\n\r\n{smuggled}"),
        ),
        (
            "bare carriage return in a header",
            format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-a: b\rcontent-length: {length}\r\n\r\n{smuggled}"),
        ),
        ("no version", format!("GET /livez\r\n\r\n{smuggled}")),
        (
            "another version",
            format!("GET /livez HTTP/1.2\r\nhost: a\r\n\r\n{smuggled}"),
        ),
        ("more headers than allowed", {
            let many: String = (0..300).map(|number| format!("x-{number}: 1\r\n")).collect();
            format!("GET /livez HTTP/1.1\r\nhost: a\r\n{many}\r\n{smuggled}")
        }),
    ];
    let one: Vec<(&'static str, String)> = vec![
        (
            "request in the body of a GET",
            format!("GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{smuggled}"),
        ),
        (
            "request in the body of a HEAD",
            format!("HEAD /v1/nothing HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{smuggled}"),
        ),
        (
            "request in the body of a refused POST",
            framed(&format!("content-length: {length}"), &smuggled),
        ),
        (
            "request in a chunk",
            chunked(&format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n")),
        ),
        (
            "request in a chunk's extension",
            chunked(&format!(
                "2;a=\"{}\"\r\n{{}}\r\n0\r\n\r\n",
                smuggled.replace("\r\n", " ")
            )),
        ),
        (
            "line feed in a chunk's extension",
            chunked(&format!("2;\n{{}}\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n")),
        ),
        (
            "request in the trailers",
            chunked("0\r\nx-a: GET /v1/smuggled HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "bare line feeds",
            format!("POST /v1/sessions/refresh HTTP/1.1\nhost: a\ncontent-length: {length}\n\n{smuggled}"),
        ),
        (
            "upgrade to h2c",
            format!(
                "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                 http2-settings: AAMAAABkAAQAAP__\r\ncontent-length: {length}\r\n\r\n{smuggled}"
            ),
        ),
        (
            "upgrade to a websocket",
            format!(
                "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 content-length: {length}\r\n\r\n{smuggled}"
            ),
        ),
        (
            "expectation",
            framed(
                &format!("expect: 100-continue\r\ncontent-length: {length}"),
                &smuggled,
            ),
        ),
        (
            "CONNECT",
            format!(
                "CONNECT lyceum.test:80 HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{smuggled}"
            ),
        ),
        (
            "blank lines in front",
            "\r\n\r\nGET /livez HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ),
        (
            "absolute target",
            "GET http://elsewhere.test/livez HTTP/1.1\r\nhost: lyceum.test\r\n\r\n".to_owned(),
        ),
    ];
    let case = |must| {
        move |(name, text): (&'static str, String)| Case {
            name,
            bytes: text.into_bytes(),
            must,
        }
    };
    let mut cases: Vec<Case> = refuse.into_iter().map(case(Must::Refuse)).collect();
    cases.extend(one.into_iter().map(case(Must::BeOne)));
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let cases = cases();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();

        assert_eq!(names.len(), cases.len());
    }
}
