//! The proxy between a client and an echo: what arrives, when, and how it ends.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::Instant;

use super::*;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Nothing that must arrive takes longer.
const SOON: Duration = Duration::from_secs(10);
/// Long beside the loopback interface, short for a test: within it nothing arrived.
const A_WHILE: Duration = Duration::from_millis(100);

/// Answers every byte with itself, and an end of file with one.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

async fn proxied() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(LOCAL, echo().await).await.unwrap();
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, client)
}

async fn exchange(client: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    client.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    timeout(SOON, client.read_exact(&mut answer)).await??;
    Ok(answer)
}

async fn is_silent(client: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(A_WHILE, client.read(&mut byte)).await.is_err()
}

#[tokio::test]
async fn without_faults_bytes_and_ends_of_file_pass_as_they_are() {
    let (_proxy, mut client) = proxied().await;
    let sent: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();

    let (mut read, mut write) = client.split();
    let mut received = Vec::new();
    let sending = async {
        write.write_all(&sent).await?;
        write.shutdown().await
    };
    let (read, sending) = tokio::join!(read.read_to_end(&mut received), sending);

    sending.unwrap();
    read.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn slices_and_jitter_never_change_what_arrives() {
    let (proxy, mut client) = proxied().await;
    let lane = Lane {
        jitter: Duration::from_millis(2),
        slice_bytes: Some(3),
        ..Lane::default()
    };
    proxy.set(Faults {
        up: lane,
        down: lane,
        reset: false,
    });
    let sent: Vec<u8> = (0..5_000_u32).map(|number| number.to_le_bytes()[0]).collect();

    assert!(exchange(&mut client, &sent).await.unwrap() == sent);
}

#[tokio::test]
async fn latency_is_added_in_the_direction_that_has_it() {
    let (proxy, mut client) = proxied().await;
    let late = Duration::from_millis(60);
    proxy.set(Faults {
        down: Lane {
            latency: late,
            ..Lane::default()
        },
        ..Faults::default()
    });

    let began = Instant::now();
    exchange(&mut client, b"late").await.unwrap();

    assert!(began.elapsed() >= late);
}

#[tokio::test]
async fn bandwidth_stretches_what_is_sent() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Faults {
        up: Lane {
            bytes_per_second: Some(10_000),
            slice_bytes: Some(100),
            ..Lane::default()
        },
        ..Faults::default()
    });

    let began = Instant::now();
    exchange(&mut client, &[7; 1000]).await.unwrap();

    assert!(began.elapsed() >= Duration::from_millis(90));
}

#[tokio::test]
async fn a_partition_in_the_middle_of_a_stream_is_silence_and_heals_without_loss() {
    let (proxy, mut client) = proxied().await;
    exchange(&mut client, b"before").await.unwrap();

    proxy.set(Faults::partition());
    client.write_all(b"during").await.unwrap();
    let mut newcomer = TcpStream::connect(proxy.address()).await.unwrap();
    newcomer.write_all(b"hello").await.unwrap();

    assert!(is_silent(&mut client).await);
    assert!(is_silent(&mut newcomer).await, "accepted, and silent");

    proxy.set(Faults::default());
    let mut answer = [0; 6];
    timeout(SOON, client.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"during");
    timeout(SOON, newcomer.read_exact(&mut answer[..5]))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer[..5], b"hello");
}

#[tokio::test]
async fn one_direction_may_be_cut_alone() {
    let (proxy, mut client) = proxied().await;
    proxy.set(command("down silent=on"));

    client.write_all(b"asked").await.unwrap();

    assert!(is_silent(&mut client).await);
    proxy.set(Faults::default());
    let mut answer = [0; 5];
    timeout(SOON, client.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"asked", "the request had passed");
}

#[tokio::test]
async fn a_reset_ends_open_and_new_connections_as_a_reset() {
    let (proxy, mut client) = proxied().await;
    exchange(&mut client, b"before").await.unwrap();

    proxy.set(command("reset on"));

    let mut byte = [0];
    let ended = timeout(SOON, client.read(&mut byte)).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut newcomer = TcpStream::connect(proxy.address()).await.unwrap();
    let ended = timeout(SOON, newcomer.read(&mut byte)).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);

    proxy.set(Faults::default());
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(exchange(&mut client, b"again").await.unwrap(), b"again");
}

#[tokio::test]
async fn an_upstream_that_is_away_is_a_reset() {
    let away = TcpListener::bind(LOCAL).await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(LOCAL, away).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();

    let ended = timeout(SOON, client.read(&mut [0])).await.unwrap();

    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_its_sender() {
    let (_proxy, mut client) = proxied().await;
    let chunk = [1; 64 * 1024];
    let mut sent = 0;

    // The echo's answers are never read, so after the buffers of kernel and proxy nothing is taken any more.
    while let Ok(written) = timeout(Duration::from_secs(1), client.write(&chunk)).await {
        sent += written.unwrap();
        assert!(sent < 256 * 1024 * 1024, "it would be buffered for ever");
    }

    assert!(sent > 0);
}

#[tokio::test]
async fn a_process_is_steered_line_by_line() {
    let (proxy, mut client) = proxied().await;
    let control = TcpListener::bind(LOCAL).await.unwrap().local_addr().unwrap();
    let steering = async {
        let mut stream = loop {
            match TcpStream::connect(control).await {
                Ok(stream) => break BufReader::new(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut ask = async |line: &str| {
            stream.write_all(line.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_line(&mut answer).await.unwrap();
            answer
        };
        assert!(ask("partition\n").await.starts_with("ok up: latency_ms=0"));
        client.write_all(b"x").await.unwrap();
        assert!(is_silent(&mut client).await);
        assert!(ask("nonsense\n").await.starts_with("error "));
        assert!(ask("clear\n").await.starts_with("ok "));
        let mut byte = [0];
        timeout(SOON, client.read_exact(&mut byte))
            .await
            .unwrap()
            .unwrap();
    };

    tokio::select! {
        served = control::serve(control, &proxy) => panic!("{served:?}"),
        () = steering => {}
    }
}

fn command(line: &str) -> Faults {
    control::command(Faults::default(), line).unwrap()
}
