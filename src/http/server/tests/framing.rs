//! Requests that could be read in two ways, first on a connection and behind others.

use super::*;

const JSON: &str = "Host: a\r\nContent-Type: application/json\r\n";
const AMBIGUOUS: (u16, &str) = (400, "http.length_ambiguous");

#[tokio::test]
async fn ambiguous_and_hostless_requests_are_refused() {
    let site = site(&[]);
    let json = "Content-Type: application/json";
    let both = [
        "Content-Length: 4\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\ncontent-LENGTH: 4",
    ];
    for lengths in both {
        let answer = site
            .request(&format!(
                "POST /length HTTP/1.1\nHost: a\n{json}\n{lengths}\n\n1\n1\n0\n\n"
            ))
            .await;
        assert_eq!(
            refused(&answer),
            (400, "http.length_ambiguous".into()),
            "{lengths}"
        );
    }
    let chunked = format!(
        "POST /length HTTP/1.1\r\nHost: a\r\n{json}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    );
    assert_eq!(refused(&site.exchange(chunked.as_bytes()).await).0, 200);

    for (hosts, code) in [
        ("X: 1", "http.host_missing"),
        ("Host:", "http.host_missing"),
        ("Host: a\nHost: a", "http.host_repeated"),
    ] {
        let answer = site.request(&format!("GET /quick HTTP/1.1\n{hosts}\n\n")).await;
        assert_eq!(refused(&answer), (400, code.into()), "{hosts}");
    }
}

fn counted(digits: usize) -> String {
    let body = "1".repeat(digits);
    format!(
        "POST /length HTTP/1.1\r\n{JSON}Content-Length: {digits}\r\n\r\n\"{}\"",
        &body[2..]
    )
}

fn chunked(digits: usize) -> String {
    let body = "1".repeat(digits - 2);
    format!(
        "POST /length HTTP/1.1\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{digits:x}\r\n\"{body}\"\r\n0\r\n\r\n"
    )
}

/// A request without a body, whose head has so many bytes before it is said how long it is.
fn behind(padding: usize, lengths: &str) -> String {
    let padding = "x".repeat(padding);
    format!(
        "POST /length HTTP/1.1\r\n{JSON}Connection: close\r\nX: {padding}\r\n{lengths}\r\n\r\n2\r\n11\r\n0\r\n\r\n"
    )
}

/// Sends packets, each when the answer to the one before has begun to come, and tells how the last request was answered.
async fn last_answer(site: &Site, packets: &[&str]) -> (u16, String) {
    let mut stream = site.connect().await;
    for (number, packet) in packets.iter().enumerate() {
        if number > 0 {
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0, "{number}");
        }
        stream.write_all(packet.as_bytes()).await.unwrap();
    }
    let answers = until_closed(&mut stream).await;
    refused(&answers[answers.rfind("HTTP/1.1").unwrap()..])
}

#[tokio::test]
async fn an_ambiguous_request_is_refused_whatever_came_before_it_and_an_honest_one_is_not() {
    let site = site(&[("/header_bytes_max", 65_535.into())]);
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 5";
    let honest = "Transfer-Encoding: chunked";

    for (lengths, expected) in [(both, AMBIGUOUS), (honest, (200, ""))] {
        let expected = (expected.0, expected.1.to_owned());
        let (short, long) = (behind(10, lengths), behind(20_000, lengths));

        let after_chunks = last_answer(&site, &[&chunked(20_000), &short]).await;
        assert_eq!(after_chunks, expected, "behind long chunks");
        let ahead = last_answer(&site, &[&[counted(15_000), long.clone()].concat()]).await;
        assert_eq!(ahead, expected, "sent ahead, behind a long body");
        let (begun, rest) = short.split_at(short.len() - 60);
        let cut = last_answer(&site, &[&[&counted(20_000), begun].concat(), rest]).await;
        assert_eq!(cut, expected, "begun in the last packet of a long body");
        assert_eq!(
            last_answer(&site, &[&long]).await,
            expected,
            "at the end of a long head"
        );
    }
}
