//! The wire as it was recorded when this version was made: what is written is the same to the byte, what was written then
//! is read now, and what a later minor version adds does no harm.

use super::*;
use crate::link::frame::{self, Inflow, Limits};

const LIMITS: Limits = Limits {
    frame_max: 1024,
    message_max: 4096,
};

const ENTITY: u128 = 0x0190_aabb_ccdd_7000_8000_0000_0000_002a;

macro_rules! recorded {
    ($name:literal) => {
        bytes_of(include_str!(concat!("../../../tests/wire/1.0/", $name, ".hex")))
    };
}

/// The bytes that a file of hexadecimal digits stands for.
fn bytes_of(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// The one message of a frame.
async fn message(frame: &[u8]) -> (u8, Bytes) {
    let mut inflow = Inflow::new(LIMITS);
    inflow.fill(&mut &*frame).await.unwrap();
    inflow.next().unwrap().unwrap()
}

fn framed(kind: u8, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(&mut out, kind, header, payload, LIMITS);
    out
}

/// The frame as a later minor version may write it: with more in its header.
fn lengthened(message: &Bytes) -> Bytes {
    let length = usize::from(message[0]);
    let mut longer = vec![message[0] + 3];
    longer.extend_from_slice(&message[1..=length]);
    longer.extend_from_slice(b"new");
    longer.extend_from_slice(&message[1 + length..]);
    longer.into()
}

fn header() -> Header {
    Header {
        kind: 99,
        entity: ENTITY,
        placement: ENTITY + 1,
        epoch: 7,
        operation: Some(Operation {
            id: 5,
            fingerprint: 6,
        }),
        trace: Trace {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            parent_id: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        },
    }
}

#[tokio::test]
async fn the_recorded_request_is_what_is_written_and_what_is_read() {
    const PAYLOAD: &[u8] = br#"{"command":{"Add":2},"question":null}"#;
    let budget = Duration::from_millis(1500);

    let written = framed(frame::REQUEST, &request(258, &header(), budget), PAYLOAD);
    let (kind, found) = message(&recorded!("request")).await;

    assert_eq!(written, recorded!("request"));
    assert_eq!(kind, frame::REQUEST);
    let expected = Request {
        id: 258,
        budget,
        header: header(),
        payload: Bytes::from_static(PAYLOAD),
    };
    for message in [&found, &lengthened(&found)] {
        assert_eq!(Request::read(message), Ok(expected.clone()));
    }
}

#[tokio::test]
async fn the_recorded_answers_are_what_is_written_and_what_is_read() {
    let owner = Owner {
        incarnation: Uuid::from_u128(3),
        epoch: 8,
        link: "10.0.0.3:7100".into(),
    };
    let moved = serde_json::to_vec(&Moved::from(&owner)).unwrap();
    for (file, id, status, payload) in [
        (recorded!("answer"), 258, Status::Done, b"2".to_vec()),
        (recorded!("moved"), 259, Status::Moved, moved.clone()),
    ] {
        let written = framed(frame::ANSWER, &answer(id, status, ENTITY), &payload);
        let (kind, found) = message(&file).await;

        assert_eq!(written, file);
        assert_eq!(kind, frame::ANSWER);
        let expected = Answer {
            status,
            entity: ENTITY,
            payload: payload.into(),
        };
        for message in [&found, &lengthened(&found)] {
            assert_eq!(Answer::read(message), Ok((id, expected.clone())));
        }
    }
    let read: Moved = serde_json::from_slice(&moved).unwrap();
    assert_eq!(Owner::from(read), owner);
}

#[tokio::test]
async fn the_recorded_notice_is_what_is_written_and_what_is_read() {
    use crate::link::Notice;
    let prepare = Notice::Prepare {
        shard: 86,
        epoch: 7,
        hot: Vec::new(),
    };
    let budget = Duration::from_millis(500);

    let payload = serde_json::to_vec(&prepare).unwrap();
    let written = framed(frame::NOTICE, &notice(260, budget), &payload);
    let (kind, found) = message(&recorded!("notice")).await;

    assert_eq!(written, recorded!("notice"));
    assert_eq!(kind, frame::NOTICE);
    for message in [&found, &lengthened(&found)] {
        let (id, left, payload) = read_notice(message).unwrap();
        assert_eq!((id, left), (260, budget));
        assert_eq!(serde_json::from_slice::<Notice>(&payload).unwrap(), prepare);
    }
}

#[tokio::test]
async fn the_recorded_frames_without_a_body_are_what_is_written() {
    for (file, kind) in [
        (recorded!("ping"), frame::PING),
        (recorded!("pong"), frame::PONG),
        (recorded!("goodbye"), frame::GOODBYE),
    ] {
        assert_eq!(framed(kind, &[], &[]), file);
        assert_eq!(message(&file).await, (kind, Bytes::new()));
    }
}

#[test]
fn fields_that_a_later_version_adds_to_a_payload_are_ignored() {
    let newer = br#"{"command":{"amount":2,"of_later":{}},"question":null,"of_later":[1]}"#;
    #[derive(Debug, PartialEq, Deserialize)]
    struct Command {
        amount: i64,
    }

    let heard: Heard<Command, ()> = serde_json::from_slice(newer).unwrap();

    assert_eq!(
        (heard.command, heard.question),
        (Some(Command { amount: 2 }), Some(()))
    );
}

#[test]
fn a_status_of_a_later_version_may_mean_anything() {
    assert_eq!(Status::of(200), Status::Unknown);
    assert_eq!(STATUSES.map(|status| Status::of(status.number())), STATUSES);
}

#[test]
fn a_header_that_is_cut_off_is_garbled() {
    for bytes in [&[][..], &[5, 1, 2], &[25], &[2, 0, 0, 7]] {
        assert_eq!(Answer::read(&Bytes::copy_from_slice(bytes)), Err(Garbled));
    }
}
