//! Whom the dialler calls, and above all whom not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PUBLIC: Reach = Reach {
    plain_http: false,
    loopback: false,
};
const DEMO: Reach = Reach {
    plain_http: true,
    loopback: true,
};

#[test]
fn only_addresses_that_are_handed_out_to_the_public_are_dialled() {
    for (address, allowed) in [
        ("1.1.1.1", true),
        ("8.8.8.8", true),
        ("172.15.255.255", true),
        ("172.32.0.1", true),
        ("100.63.255.255", true),
        ("100.128.0.1", true),
        ("192.0.1.1", true),
        ("198.17.255.255", true),
        ("198.20.0.1", true),
        ("223.255.255.255", true),
        ("0.0.0.0", false),
        ("0.1.2.3", false),
        ("10.0.0.1", false),
        ("100.64.0.1", false),
        ("100.127.255.255", false),
        ("127.0.0.1", false),
        ("127.255.255.254", false),
        ("169.254.169.254", false),
        ("172.16.0.1", false),
        ("172.31.255.255", false),
        ("192.0.0.1", false),
        ("192.0.2.1", false),
        ("192.88.99.1", false),
        ("192.168.0.1", false),
        ("198.18.0.1", false),
        ("198.19.255.255", false),
        ("198.51.100.7", false),
        ("203.0.113.7", false),
        ("224.0.0.1", false),
        ("239.255.255.255", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("2606:4700:4700::1111", true),
        ("2001:4860:4860::8888", true),
        ("2a00:1450::1", true),
        ("::", false),
        ("::1", false),
        ("::7f00:1", false),
        ("::ffff:127.0.0.1", false),
        ("::ffff:10.0.0.1", false),
        ("::ffff:169.254.169.254", false),
        ("::ffff:8.8.8.8", true),
        ("64:ff9b::7f00:1", false),
        ("64:ff9b:1::1", false),
        ("100::1", false),
        ("2001::1", false),
        ("2001:20::1", false),
        ("2001:db8::1", false),
        ("2002:7f00:1::", false),
        ("3fff::1", false),
        ("4000::1", false),
        ("fc00::1", false),
        ("fd12:3456::1", false),
        ("fe80::1", false),
        ("fec0::1", false),
        ("ff02::1", false),
    ] {
        let parsed: IpAddr = address.parse().expect("an address");

        assert_eq!(PUBLIC.allows(parsed), allowed, "{address}");
    }
}

#[test]
fn a_demo_reaches_this_machine_and_nothing_else_that_is_private() {
    for (address, allowed) in [
        ("127.0.0.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.1", false),
        ("169.254.169.254", false),
        ("fd12:3456::1", false),
        ("0.0.0.0", false),
    ] {
        assert_eq!(
            DEMO.allows(address.parse().expect("an address")),
            allowed,
            "{address}"
        );
    }
}

#[test]
fn addresses_that_cannot_be_called_are_refused_by_their_text() {
    for (url, public, demo) in [
        ("https://example.com/hooks?a=b", true, true),
        ("https://example.com:8443", true, true),
        ("https://[2606:4700:4700::1111]/x", true, true),
        ("http://example.com/hooks", false, true),
        ("http://127.0.0.1:9000/hooks", false, true),
        ("https://127.0.0.1/", false, true),
        ("https://10.0.0.1/", false, false),
        ("https://[::ffff:10.0.0.1]/", false, false),
        ("https://[fe80::1]/", false, false),
        ("https://user:password@example.com/", false, false),
        ("https://example.com/#fragment", false, false),
        ("ftp://example.com/", false, false),
        ("file:///etc/passwd", false, false),
        ("gopher://example.com", false, false),
        ("example.com/hooks", false, false),
        ("/hooks", false, false),
        ("https://", false, false),
        ("https://exämple.com/", false, false),
        ("https://example.com:99999/", false, false),
        ("https://example.com:/", false, false),
        ("", false, false),
    ] {
        assert_eq!(PUBLIC.target(url).is_ok(), public, "{url}");
        assert_eq!(DEMO.target(url).is_ok(), demo, "{url}");
    }
}

fn dialer(reach: Reach, timeout: Duration) -> Dialer {
    let nothing = Path::new("");
    let lenient = Reach {
        plain_http: true,
        ..reach
    };
    let mut dialer = Dialer::new(lenient, nothing, timeout, timeout, 16).expect("without TLS");
    dialer.reach = reach;
    dialer
}

/// A receiver on this machine that answers each connection with these bytes.
async fn receiver(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

/// Whatever a name or a number turns out to be is checked when it is dialled, and nobody hears a byte of it.
#[tokio::test]
async fn names_and_spellings_of_private_addresses_are_refused_when_they_are_dialled() {
    let port = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let strict = dialer(
        Reach {
            plain_http: true,
            loopback: false,
        },
        Duration::from_secs(5),
    );
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "0",
    ] {
        let url = format!("http://{host}:{port}/");

        let refused = strict.post(&url, &[], Bytes::new()).await.expect_err(host);

        // A resolver may not know a spelling; what it knows is refused.
        assert!(
            [Failure::AddressRefused, Failure::Unreachable].contains(&refused),
            "{host}: {refused:?}"
        );
    }
    let known = strict
        .post(&format!("http://localhost:{port}/"), &[], Bytes::new())
        .await;
    assert_eq!(known.expect_err("private"), Failure::AddressRefused);
}

#[tokio::test]
async fn an_answer_is_its_status_and_its_first_bytes() {
    for (answer, status, head) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
        (
            "HTTP/1.1 500 Oops\r\ncontent-length: 1000000\r\n\r\n0123456789abcdefghij",
            500,
            "0123456789abcdef",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            302,
            "",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
    ] {
        let port = receiver(answer).await;
        let url = format!("http://127.0.0.1:{port}/");

        let reply = dialer(DEMO, Duration::from_secs(5))
            .post(&url, &[("webhook-id", "evt_1")], Bytes::from_static(b"{}"))
            .await
            .expect(answer);

        assert_eq!(
            (reply.status, &reply.head[..]),
            (status, head.as_bytes()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn silence_nonsense_and_absence_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().expect("an address").port();
    let nonsense = receiver("SSH-2.0-OpenSSH_9.9\r\n").await;
    let brief = dialer(DEMO, Duration::from_millis(300));
    let post = async |url: String| brief.post(&url, &[], Bytes::new()).await.expect_err("none");

    let answered_by_nobody = post(format!("http://127.0.0.1:{silent}/")).await;
    let not_http = post(format!("http://127.0.0.1:{nonsense}/")).await;
    let not_tls = dialer(DEMO, Duration::from_secs(5))
        .post(&format!("https://127.0.0.1:{nonsense}/"), &[], Bytes::new())
        .await
        .expect_err("no TLS");

    // The listener is gone by now, or never accepts: either way nobody answers.
    assert!([Failure::Timeout, Failure::Unreachable].contains(&answered_by_nobody));
    assert_eq!(not_http, Failure::NoAnswer);
    assert_eq!(not_tls, Failure::TlsFailed);
}
