//! The machine of payouts: every state beside every command, and random histories that never pay too much.

use lyceum_kernel::Coded;

use super::*;

const EARNED: i64 = 100_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn cny(amount: i64) -> Money {
    Money::new(amount, SETTLEMENT_CURRENCY).unwrap()
}

fn method() -> PayoutMethod {
    PayoutMethod::new("sandbox", "acct_ok_12345678").unwrap()
}

fn deed() -> Deed {
    Deed {
        operator: UserId::from_u128(9),
        reason: "looked into".to_owned(),
        node: "test".to_owned(),
    }
}

fn ask(id: u128, amount: Option<i64>, matured: i64) -> Command {
    Command::RequestPayout {
        payout_id: PayoutId::from_u128(id),
        amount: amount.map(cny),
        matured,
        minimum: cny(1_000),
    }
}

fn report(id: u128, outcome: PayoutOutcome) -> Command {
    Command::Report {
        payout_id: PayoutId::from_u128(id),
        outcome,
    }
}

fn failed() -> PayoutOutcome {
    PayoutOutcome::Failed {
        code: "account_closed".to_owned(),
    }
}

fn hold(name: &str, deed: Option<Deed>) -> Command {
    Command::Hold {
        name: name.to_owned(),
        reason: "a dispute is open".to_owned(),
        deed,
    }
}

fn release(name: &str, deed: Option<Deed>) -> Command {
    Command::Release {
        name: name.to_owned(),
        deed,
    }
}

fn forfeit(id: u128, amount: i64, matured: i64) -> Command {
    Command::Forfeit {
        forfeiture_id: ForfeitureId::from_u128(id),
        amount: cny(amount),
        matured,
        deed: deed(),
    }
}

/// Decides and applies; says the names of what happened, or the code of the refusal.
fn drive(creator: &mut Creator, command: Command) -> Result<Vec<Event>, Refusal> {
    let events = creator.decide(command, at(10))?;
    for event in &events {
        creator.apply(event);
    }
    Ok(events)
}

/// A creator to whom these commands have happened.
fn after(commands: &[Command]) -> Creator {
    let mut creator = Creator::default();
    let choose = Command::ChooseMethod { method: method() };
    for command in std::iter::once(&choose).chain(commands) {
        drive(&mut creator, command.clone()).unwrap();
    }
    creator
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::MethodChosen { .. } => "method_chosen",
        Event::PayoutRequested { .. } => "requested",
        Event::PayoutDelayed { .. } => "delayed",
        Event::PayoutPaid { .. } => "paid",
        Event::PayoutFailed { .. } => "failed",
        Event::Held { .. } => "held",
        Event::Released { .. } => "released",
        Event::Forfeited { .. } => "forfeited",
    }
}

#[test]
fn every_state_answers_every_command_as_the_machine_says() {
    let available = after(&[]);
    let processing = after(&[ask(1, Some(40_000), EARNED)]);
    let delayed = after(&[ask(1, Some(40_000), EARNED), report(1, PayoutOutcome::Unknown)]);
    let paid = after(&[ask(1, Some(40_000), EARNED), report(1, PayoutOutcome::Paid)]);
    let refused = after(&[ask(1, Some(40_000), EARNED), report(1, failed())]);
    let held = after(&[hold("operator", Some(deed()))]);
    let forfeited = after(&[forfeit(1, EARNED, EARNED)]);
    let absent = Creator::default();
    let states = [
        &absent,
        &available,
        &processing,
        &delayed,
        &paid,
        &refused,
        &held,
        &forfeited,
    ];
    // One row for each command, one column for each state, in the order above; `-` is decided to nothing.
    let missing = "commerce.payout_not_found";
    let table: [(Command, [&str; 8]); 12] = [
        (
            Command::ChooseMethod { method: method() },
            ["method_chosen", "-", "-", "-", "-", "-", "-", "-"],
        ),
        (
            ask(2, Some(50_000), EARNED),
            [
                "commerce.payout_method_required",
                "requested",
                "commerce.payout_under_way",
                "commerce.payout_under_way",
                "requested",
                "requested",
                "commerce.payouts_held",
                "commerce.payout_exceeds_available",
            ],
        ),
        (
            ask(2, Some(EARNED), EARNED),
            [
                "commerce.payout_method_required",
                "requested",
                "commerce.payout_under_way",
                "commerce.payout_under_way",
                "commerce.payout_exceeds_available",
                "requested",
                "commerce.payouts_held",
                "commerce.payout_exceeds_available",
            ],
        ),
        (
            ask(1, Some(40_000), EARNED),
            [
                "commerce.payout_method_required",
                "requested",
                "-",
                "-",
                "-",
                "-",
                "commerce.payouts_held",
                "commerce.payout_exceeds_available",
            ],
        ),
        (
            report(1, PayoutOutcome::Paid),
            [missing, missing, "paid", "paid", "-", "paid", missing, missing],
        ),
        (
            report(1, failed()),
            [missing, missing, "failed", "failed", "-", "-", missing, missing],
        ),
        (
            report(1, PayoutOutcome::Unknown),
            [missing, missing, "delayed", "delayed", "-", "-", missing, missing],
        ),
        (
            hold("operator", Some(deed())),
            ["held", "held", "held", "held", "held", "held", "-", "held"],
        ),
        (hold("dispute", None), ["held"; 8]),
        (
            release("operator", Some(deed())),
            [
                "commerce.payouts_not_held",
                "commerce.payouts_not_held",
                "commerce.payouts_not_held",
                "commerce.payouts_not_held",
                "commerce.payouts_not_held",
                "commerce.payouts_not_held",
                "released",
                "commerce.payouts_not_held",
            ],
        ),
        (
            forfeit(2, 70_000, EARNED),
            [
                "forfeited",
                "forfeited",
                "commerce.payout_exceeds_available",
                "commerce.payout_exceeds_available",
                "commerce.payout_exceeds_available",
                "forfeited",
                "forfeited",
                "commerce.payout_exceeds_available",
            ],
        ),
        (
            forfeit(1, EARNED, EARNED),
            [
                "forfeited",
                "forfeited",
                "commerce.payout_exceeds_available",
                "commerce.payout_exceeds_available",
                "commerce.payout_exceeds_available",
                "forfeited",
                "forfeited",
                "-",
            ],
        ),
    ];

    for (command, expected) in table {
        for (index, (state, expected)) in states.iter().zip(expected).enumerate() {
            let answer = match drive(&mut (*state).clone(), command.clone()) {
                Ok(events) if events.is_empty() => "-",
                Ok(events) => name(&events[0]),
                Err(refusal) => refusal.code(),
            };
            assert_eq!(answer, expected, "state {index}, {command:?}");
        }
    }
}

#[test]
fn all_that_is_available_is_paid_if_no_amount_is_named() {
    let mut creator = after(&[ask(1, Some(30_000), EARNED), report(1, PayoutOutcome::Paid)]);

    let events = drive(&mut creator, ask(2, None, EARNED)).unwrap();

    assert!(matches!(&events[0], Event::PayoutRequested { amount, .. } if *amount == cny(70_000)));
    assert_eq!(creator.available(EARNED), 0);
}

#[test]
fn a_refund_after_a_payout_is_taken_off_the_next_one() {
    let mut creator = after(&[ask(1, Some(EARNED), EARNED), report(1, PayoutOutcome::Paid)]);

    // 30,000 went back, then 20,000 were earned, then 15,000 more.
    assert_eq!(creator.available(EARNED - 30_000), -30_000);
    assert_eq!(
        drive(&mut creator, ask(2, None, EARNED - 10_000)),
        Err(Refusal::BelowMinimum)
    );
    let events = drive(&mut creator, ask(3, None, EARNED + 5_000)).unwrap();

    assert!(matches!(&events[0], Event::PayoutRequested { amount, .. } if *amount == cny(5_000)));
}

#[test]
fn a_hold_lets_what_is_under_way_end_and_nothing_else_begin() {
    let mut creator = after(&[ask(1, Some(40_000), EARNED), hold("dispute", None)]);

    drive(&mut creator, report(1, PayoutOutcome::Paid)).unwrap();
    assert_eq!(drive(&mut creator, ask(2, None, EARNED)), Err(Refusal::Held));
    drive(&mut creator, release("dispute", None)).unwrap();

    assert!(drive(&mut creator, ask(3, None, EARNED)).is_ok());
}

#[test]
fn a_dispute_that_ends_before_its_hold_is_heard_of_holds_nothing() {
    let mut creator = after(&[release("dispute-1", None)]);

    assert_eq!(drive(&mut creator, hold("dispute-1", None)), Ok(vec![]));
    assert_eq!(drive(&mut creator, release("dispute-1", None)), Ok(vec![]));
    assert!(creator.holds().is_empty());
    drive(&mut creator, hold("dispute-2", None)).unwrap();
    assert_eq!(creator.holds().len(), 1);
}

#[test]
fn what_is_paid_or_forfeited_is_posted_and_nothing_else_is() {
    let creator = after(&[
        ask(1, Some(40_000), EARNED),
        report(1, PayoutOutcome::Paid),
        forfeit(7, 10_000, EARNED),
    ]);
    let owner = UserId::from_u128(5);
    let paid = Event::PayoutPaid {
        payout_id: PayoutId::from_u128(1),
        at: at(10),
    };
    let requested = Event::PayoutDelayed {
        payout_id: PayoutId::from_u128(1),
        tries: 1,
        due_at: at(10),
    };

    let posted = creator.posting(owner, &paid).unwrap();

    assert_eq!((posted.source, posted.step), (1, Step::Payout));
    let entries: Vec<_> = posted
        .entries
        .iter()
        .map(|entry| (entry.account, entry.owner, entry.amount))
        .collect();
    assert_eq!(
        entries,
        [
            (Account::CreatorPayable, Some(owner), -40_000),
            (Account::ProviderClearing, None, 40_000)
        ]
    );
    assert_eq!(creator.posting(owner, &requested), None);
}

#[test]
fn the_account_is_shown_by_its_end_alone() {
    assert_eq!(method().masked, "•••• 5678");
    for token in ["", "short", "with blank in it", "名字名字名字"] {
        assert_eq!(
            PayoutMethod::new("sandbox", token),
            Err(Refusal::MethodInvalid),
            "{token}"
        );
    }
}

/// A small generator, so that a failure can be told by its seed.
fn next(seed: &mut u64, below: i64) -> i64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    i64::try_from(*seed >> 33).unwrap() % below
}

#[test]
fn no_history_pays_more_than_was_available_or_pays_an_id_twice() {
    for start in 0..400_u64 {
        let mut seed = start;
        let mut creator = after(&[]);
        let mut matured = 0;
        let (mut paid, mut forfeited) = (BTreeMap::new(), 0);
        for _ in 0..80 {
            // Sales mature, now and then a refund takes back what was paid out already.
            matured += next(&mut seed, 5_000) - 1_000;
            let id = u128::try_from(1 + next(&mut seed, 12)).unwrap();
            let amount = 1 + next(&mut seed, 6_000);
            let command = match next(&mut seed, 8) {
                0 | 1 => ask(id, Some(amount), matured),
                2 => ask(id, None, matured),
                3 => report(id, PayoutOutcome::Paid),
                4 => report(id, failed()),
                5 => report(id, PayoutOutcome::Unknown),
                6 if next(&mut seed, 2) == 0 => hold("operator", Some(deed())),
                6 => release("operator", Some(deed())),
                _ => forfeit(id, amount, matured),
            };
            let before = creator.available(matured);
            for event in drive(&mut creator, command).unwrap_or_default() {
                match event {
                    Event::PayoutRequested { amount, .. } => {
                        assert!(amount.amount() <= before, "seed {start}");
                        assert!(creator.holds().is_empty(), "seed {start}");
                    }
                    Event::PayoutPaid { payout_id, .. } => {
                        let amount = creator.payout(payout_id).unwrap().amount.amount();
                        assert_eq!(paid.insert(payout_id, amount), None, "seed {start}: paid twice");
                    }
                    Event::Forfeited { amount, .. } => {
                        assert!(amount.amount() <= before, "seed {start}");
                        forfeited += amount.amount();
                    }
                    _ => {}
                }
            }
            let under_way = creator
                .under_way()
                .map_or(0, |(_, payout)| payout.amount.amount());
            let spent = paid.values().sum::<i64>() + under_way + forfeited;
            assert_eq!(creator.available(matured), matured - spent, "seed {start}");
        }
    }
}

#[test]
fn codes_are_unique() {
    let refusals = [
        Refusal::PayoutNotFound,
        Refusal::MethodRequired,
        Refusal::MethodInvalid,
        Refusal::BelowMinimum,
        Refusal::ExceedsAvailable,
        Refusal::UnderWay,
        Refusal::Held,
        Refusal::NotHeld,
        Refusal::TooManyHolds,
        Refusal::AmountInvalid,
        Refusal::ReasonLength,
    ];

    let codes: BTreeSet<_> = refusals.iter().map(Coded::code).collect();

    assert_eq!(codes.len(), refusals.len());
    assert!(codes.iter().all(|code| code.starts_with("commerce.payout")));
}
