//! Requests whose length is said twice, behind others on their connection: long bodies and cut packets in front must not make
//! a reader lose its place and take them.
//!
//! Each case is tried twice: with both lengths, which must be refused as ambiguous, and with one, which must be read.

use std::io;
use std::net::SocketAddr;

use tokio::time::timeout;

use super::ANSWER_TIMEOUT;
use crate::verdict::Check;
use crate::wire::Wire;

/// More than a reader would want to keep of what it has received.
const LONG: usize = 20_000;
/// A little less, so that the next head lies across the same border.
const NEARLY: usize = 15_000;
/// What a head may hold before its last field and still be taken.
const HEAD: usize = 15_000;
const REFUSED: &str = "http.length_ambiguous";

struct Case {
    name: &'static str,
    /// Each is sent when this many answers have come.
    packets: Vec<(usize, String)>,
    answers: usize,
}

/// Tries every case; one figure for what was answered wrongly, with the names.
pub(super) async fn all(address: SocketAddr) -> Check {
    let both = cases("transfer-encoding: chunked\r\ncontent-length: 5");
    let one = cases("transfer-encoding: chunked");
    let count = both.len();
    let mut wrong = Vec::new();
    for (cases, must_refuse) in [(both, true), (one, false)] {
        for case in cases {
            match last_code(address, &case).await {
                Ok(code) if (code == REFUSED) == must_refuse => {}
                Ok(code) => wrong.push(format!("{}: answered {code:?}", case.name)),
                Err(error) => wrong.push(format!("{}: {error}", case.name)),
            }
        }
    }
    let told = if wrong.is_empty() {
        "0".to_owned()
    } else {
        wrong.join("; ")
    };
    Check::judged(
        format!("smuggling behind {count} kinds of requests: misread"),
        told,
        "0",
        wrong.is_empty(),
    )
}

/// The code in the last answer of a case.
async fn last_code(address: SocketAddr, case: &Case) -> io::Result<String> {
    let mut wire = Wire::open(address).await?;
    let mut answered = 0;
    let mut code = String::new();
    let end = (case.answers, String::new());
    for (after, packet) in case.packets.iter().chain([&end]) {
        while answered < *after {
            let answer = timeout(ANSWER_TIMEOUT, wire.answer(false)).await??;
            code = answer.ok_or(io::ErrorKind::UnexpectedEof)?.code();
            answered += 1;
        }
        wire.send(packet.as_bytes()).await?;
    }
    Ok(code)
}

fn cases(lengths: &str) -> Vec<Case> {
    let post = |fields: &str, body: &str| {
        format!(
            "POST /v1/sessions/refresh HTTP/1.1\r\nhost: lyceum.test\r\ncontent-type: application/json\r\n{fields}\r\n\r\n{body}"
        )
    };
    let counted = |bytes: usize| post(&format!("content-length: {bytes}"), &"x".repeat(bytes));
    let chunked = post(
        "transfer-encoding: chunked",
        &format!("{LONG:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(LONG)),
    );
    let last = |padding: usize| {
        let fields = format!("x-padding: {}\r\n{lengths}", "x".repeat(padding));
        post(&fields, "2\r\n{}\r\n0\r\n\r\n")
    };
    let short = last(10);
    let (begun, rest) = short.split_at(short.len() / 2);
    vec![
        Case {
            name: "behind long chunks",
            packets: vec![(0, chunked), (1, short.clone())],
            answers: 2,
        },
        Case {
            name: "sent ahead, behind a long body",
            packets: vec![(0, counted(NEARLY) + &last(NEARLY / 4))],
            answers: 2,
        },
        Case {
            name: "begun in the last packet of a long body",
            packets: vec![(0, counted(LONG) + begun), (1, rest.to_owned())],
            answers: 2,
        },
        Case {
            name: "at the end of a long head",
            packets: vec![(0, last(HEAD))],
            answers: 1,
        },
    ]
}
