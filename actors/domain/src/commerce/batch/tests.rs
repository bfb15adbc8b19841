//! How the codes of a batch are redeemed.

use std::collections::BTreeSet;

use super::*;

const OPERATOR: UserId = UserId::from_u128(9);

fn terms() -> Terms {
    Terms {
        course_id: CourseId::from_u128(5),
        count: 3,
        expires_at: Timestamp::from_millis(1_000),
    }
}

fn deed(reason: &str) -> Deed {
    Deed {
        operator: OPERATOR,
        reason: reason.into(),
        node: "n1".into(),
    }
}

fn cancel() -> Command {
    Command::Cancel {
        deed: deed("a leaflet got lost"),
    }
}

fn issued() -> Batch {
    let mut batch = Batch::default();
    let issue = Command::Issue {
        terms: terms(),
        deed: deed("for the fair"),
    };
    carry_out(&mut batch, issue, 0).unwrap();
    batch
}

fn carry_out(batch: &mut Batch, command: Command, now: i64) -> Result<usize, Error> {
    let events = batch.decide(command, Timestamp::from_millis(now))?;
    for event in &events {
        batch.apply(event);
    }
    Ok(events.len())
}

fn redeem(number: u16, user: u128) -> Command {
    Command::Redeem {
        number,
        code: CodeId::from_u128(u128::from(number)),
        user: UserId::from_u128(user),
        course_version: 1,
    }
}

#[test]
fn a_code_is_redeemed_once_and_by_one_person() {
    let mut batch = issued();

    assert_eq!(carry_out(&mut batch, redeem(0, 1), 0), Ok(1));
    assert_eq!(
        carry_out(&mut batch, redeem(0, 1), 0),
        Ok(0),
        "the same person asks again"
    );
    assert_eq!(carry_out(&mut batch, redeem(0, 2), 0), Err(Refusal::Used.into()));
    assert_eq!(carry_out(&mut batch, redeem(1, 2), 0), Ok(1));
    assert_eq!(
        carry_out(&mut batch, redeem(3, 2), 0),
        Err(Refusal::Unknown.into())
    );
    assert_eq!(batch.issued().unwrap().redeemed.len(), 2);
}

#[test]
fn no_code_is_redeemed_after_its_batch_is_over_and_what_was_redeemed_stays() {
    let mut batch = issued();
    carry_out(&mut batch, redeem(0, 1), 999).unwrap();

    assert_eq!(
        carry_out(&mut batch, redeem(1, 2), 1_000),
        Err(Refusal::Expired.into())
    );
    assert_eq!(
        batch.issued().unwrap().state(Timestamp::from_millis(1_000)),
        "expired"
    );
    assert_eq!(carry_out(&mut batch, cancel(), 500), Ok(1));
    assert_eq!(carry_out(&mut batch, cancel(), 500), Ok(0));
    assert_eq!(
        carry_out(&mut batch, redeem(1, 2), 500),
        Err(Refusal::Cancelled.into())
    );
    assert_eq!(carry_out(&mut batch, redeem(0, 1), 500), Ok(0));
}

#[test]
fn batches_that_make_no_sense_are_refused() {
    for (change, refusal) in [
        (Terms { count: 0, ..terms() }, Refusal::CountInvalid),
        (
            Terms {
                count: CODES_MAX + 1,
                ..terms()
            },
            Refusal::CountInvalid,
        ),
        (
            Terms {
                expires_at: Timestamp::EPOCH,
                ..terms()
            },
            Refusal::ValidityInvalid,
        ),
    ] {
        let issue = Command::Issue {
            terms: change,
            deed: deed("for the fair"),
        };
        assert_eq!(
            Batch::default().decide(issue, Timestamp::EPOCH),
            Err(refusal.into())
        );
    }
    assert_eq!(
        carry_out(&mut Batch::default(), redeem(0, 1), 0),
        Err(Refusal::Unknown.into())
    );
    assert_eq!(
        carry_out(&mut Batch::default(), cancel(), 0),
        Err(Refusal::BatchNotFound.into())
    );
}

#[test]
fn codes_of_refusals_are_unique_and_belong_to_commerce() {
    let refusals = [
        Refusal::BatchNotFound,
        Refusal::Unknown,
        Refusal::Used,
        Refusal::Expired,
        Refusal::Cancelled,
        Refusal::Unpaid,
        Refusal::CountInvalid,
        Refusal::ValidityInvalid,
        Refusal::GiftRedeemed,
    ];

    let codes: BTreeSet<_> = refusals.iter().map(Coded::code).collect();

    assert_eq!(codes.len(), refusals.len());
    assert!(codes.iter().all(|code| code.starts_with("commerce.")));
}

#[test]
fn codes_are_neither_issued_nor_cancelled_without_a_reason() {
    let issue = Command::Issue {
        terms: terms(),
        deed: deed(" x "),
    };
    assert_eq!(
        carry_out(&mut Batch::default(), issue, 0),
        Err(Error::ReasonLength)
    );
    let mut batch = issued();
    let cancel = Command::Cancel { deed: deed("") };
    assert_eq!(carry_out(&mut batch, cancel, 0), Err(Error::ReasonLength));
    assert_eq!(carry_out(&mut batch, redeem(0, 1), 0), Ok(1));
}

#[test]
fn events_from_before_operators_gave_reasons_are_read() {
    let issued: Event = serde_json::from_str(
        r#"{"type": "issued", "terms": {"course_id": "crs_00000000000000000000000005", "count": 3, "expires_at": "1970-01-01T00:00:01.000Z"},
            "by": "usr_00000000000000000000000009", "at": "1970-01-01T00:00:00.000Z"}"#,
    )
    .unwrap();

    let Event::Issued { by, deed, .. } = issued else {
        panic!("{issued:?}")
    };
    assert_eq!((by, deed), (OPERATOR, None));
}
