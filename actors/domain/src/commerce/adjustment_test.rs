//! What an adjustment must do: every (state, command) pair, the rules of a proposal, and what the wallet makes of it.

use lyceum_kernel::{Aggregate, Coded, Timestamp};

use super::adjustment::{Adjustment, Bounds, Command, Event};
use super::buyer::{Buyer, Command as BuyerCommand, Event as BuyerEvent};
use super::buyer_test::{NOW, USER, cny};
use super::ledger::{Account, Entry, Step, posting};
use super::order::Provider;
use super::oversight::Deed;
use super::payment::{Purpose, Settlement};
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{AdjustmentId, PaymentId, UserId};

const ID: AdjustmentId = AdjustmentId::from_u128(77);
const MAKER: u128 = 1_000;
const CHECKER: u128 = 1_001;
const BOUNDS: Bounds = Bounds {
    amount_max: 10_000,
    entries_max: 4,
};

fn deed(operator: u128) -> Deed {
    Deed {
        operator: UserId::from_u128(operator),
        reason: "a fee that was never charged".into(),
        node: "n1".into(),
    }
}

fn entry(account: Account, owner: Option<UserId>, amount: i64) -> Entry {
    Entry {
        account,
        owner,
        amount,
    }
}

/// A credit of a wallet, at the platform's cost.
fn goodwill(amount: i64) -> Vec<Entry> {
    vec![
        entry(Account::UserWallet, Some(USER), amount),
        entry(Account::PlatformRevenue, None, -amount),
    ]
}

/// A transaction that no wallet has a part in.
fn reclassified() -> Vec<Entry> {
    vec![
        entry(Account::Fees, None, -300),
        entry(Account::PlatformRevenue, None, 300),
    ]
}

fn propose(entries: Vec<Entry>) -> Command {
    Command::Propose {
        entries,
        maker: deed(MAKER),
        bounds: BOUNDS,
    }
}

fn approve(by: u128) -> Command {
    Command::Approve { checker: deed(by) }
}

fn reject(by: u128) -> Command {
    Command::Reject { checker: deed(by) }
}

fn refuse() -> Command {
    Command::Refuse {
        code: "commerce.insufficient_funds".into(),
    }
}

fn after(commands: impl IntoIterator<Item = Command>) -> Adjustment {
    let mut adjustment = Adjustment::default();
    for command in commands {
        for event in adjustment.decide(command, NOW).unwrap() {
            adjustment.apply(&event);
        }
    }
    adjustment
}

#[test]
fn every_state_answers_every_command_as_the_machine_says() {
    let absent = || after([]);
    let proposed = || after([propose(goodwill(500))]);
    let approved = || after([propose(goodwill(500)), approve(CHECKER)]);
    let posted = || after([propose(goodwill(500)), approve(CHECKER), Command::Settle]);
    let rejected = || after([propose(goodwill(500)), reject(CHECKER)]);
    let refused = || after([propose(goodwill(500)), approve(CHECKER), refuse()]);
    let not_found = || Err(Error::AdjustmentNotFound);
    let same = || Err(Error::AdjustmentSameOperator);
    let wrong = |state| Err(Error::wrong_state(state));

    for (state, command, becomes) in [
        (absent(), propose(goodwill(500)), Ok("proposed")),
        (absent(), approve(CHECKER), not_found()),
        (absent(), reject(CHECKER), not_found()),
        (absent(), Command::Settle, not_found()),
        (absent(), refuse(), not_found()),
        (proposed(), propose(reclassified()), Ok("proposed")),
        (proposed(), approve(CHECKER), Ok("approved")),
        (proposed(), approve(MAKER), same()),
        (proposed(), reject(CHECKER), Ok("rejected")),
        (proposed(), reject(MAKER), same()),
        (proposed(), Command::Settle, wrong("proposed")),
        (proposed(), refuse(), wrong("proposed")),
        (approved(), propose(goodwill(500)), Ok("approved")),
        (approved(), approve(CHECKER), Ok("approved")),
        (approved(), approve(MAKER), wrong("approved")),
        (approved(), approve(CHECKER + 1), wrong("approved")),
        (approved(), reject(CHECKER), wrong("approved")),
        (approved(), Command::Settle, Ok("posted")),
        (approved(), refuse(), Ok("rejected")),
        (posted(), propose(goodwill(500)), Ok("posted")),
        (posted(), approve(CHECKER), Ok("posted")),
        (posted(), approve(CHECKER + 1), wrong("posted")),
        (posted(), reject(CHECKER), wrong("posted")),
        (posted(), Command::Settle, Ok("posted")),
        (posted(), refuse(), wrong("posted")),
        (rejected(), propose(goodwill(500)), Ok("rejected")),
        (rejected(), approve(CHECKER), wrong("rejected")),
        (rejected(), reject(CHECKER), Ok("rejected")),
        (rejected(), reject(CHECKER + 1), wrong("rejected")),
        (rejected(), Command::Settle, wrong("rejected")),
        (rejected(), refuse(), wrong("rejected")),
        (refused(), propose(goodwill(500)), Ok("rejected")),
        (refused(), approve(CHECKER), wrong("rejected")),
        (refused(), reject(CHECKER), wrong("rejected")),
        (refused(), Command::Settle, wrong("rejected")),
        (refused(), refuse(), Ok("rejected")),
    ] {
        let line = format!("{} and {command:?}", state.name());
        let mut state = state;
        let answered = state.decide(command, NOW).map(|events| {
            events.iter().for_each(|event| state.apply(event));
            state.name()
        });

        assert_eq!(answered, becomes, "{line}");
    }
}

#[test]
fn a_proposal_balances_within_its_bounds_and_moves_one_wallet_at_most() {
    let other = Some(UserId::from_u128(2));
    let revenue = |amount| entry(Account::PlatformRevenue, None, amount);
    let wallet = |amount| entry(Account::UserWallet, Some(USER), amount);

    for (entries, refusal) in [
        (vec![], Error::AdjustmentEntries),
        (vec![revenue(5)], Error::AdjustmentEntries),
        (vec![revenue(5), revenue(-5)], Error::AdjustmentEntries),
        (vec![revenue(5), wallet(-4)], Error::AdjustmentUnbalanced),
        (vec![revenue(0), wallet(0)], Error::AmountOutOfRange),
        (vec![revenue(10_001), wallet(-10_001)], Error::AmountOutOfRange),
        (vec![revenue(i64::MIN), wallet(i64::MAX)], Error::AmountOutOfRange),
        (
            vec![entry(Account::UserWallet, None, 5), revenue(-5)],
            Error::AdjustmentEntries,
        ),
        (
            vec![entry(Account::Fees, other, 5), revenue(-5)],
            Error::AdjustmentEntries,
        ),
        (
            vec![entry(Account::WalletHold, Some(USER), 5), wallet(-5)],
            Error::AdjustmentEntries,
        ),
        (
            vec![entry(Account::UserWallet, other, 5), wallet(-5)],
            Error::AdjustmentOneWallet,
        ),
        (
            vec![
                revenue(2),
                wallet(-6),
                entry(Account::Fees, None, 1),
                entry(Account::TaxPayable, None, 1),
                entry(Account::CreatorPayable, other, 2),
            ],
            Error::AdjustmentEntries,
        ),
    ] {
        let line = format!("{entries:?}");
        let refused = Adjustment::default().decide(propose(entries), NOW);

        assert_eq!(refused, Err(refusal), "{line}");
    }
}

#[test]
fn a_deed_without_a_reason_is_refused() {
    let vague = |operator| Deed {
        reason: "  no ".into(),
        ..deed(operator)
    };
    let proposal = Command::Propose {
        entries: goodwill(5),
        maker: vague(MAKER),
        bounds: BOUNDS,
    };
    let checker = vague(CHECKER);

    assert_eq!(
        Adjustment::default().decide(proposal, NOW),
        Err(Error::ReasonLength)
    );
    assert_eq!(
        after([propose(goodwill(5))]).decide(Command::Approve { checker }, NOW),
        Err(Error::ReasonLength)
    );
}

#[test]
fn without_a_wallet_the_approval_posts_once() {
    let mut adjustment = after([propose(reclassified())]);

    let events = adjustment.decide(approve(CHECKER), NOW).unwrap();
    let mut posted = Vec::new();
    for event in &events {
        adjustment.apply(event);
        posted.extend(adjustment.posting(ID, event));
    }

    assert_eq!(adjustment.name(), "posted");
    assert_eq!(posted.len(), 1);
    assert_eq!(
        (posted[0].source, posted[0].step),
        (ID.as_u128(), Step::Adjustment)
    );
    assert_eq!(posted[0].entries, reclassified());
    assert_eq!(adjustment.decide(approve(CHECKER), NOW), Ok(vec![]));
}

#[test]
fn with_a_wallet_its_buyer_posts_and_the_adjustment_does_not() {
    let mut adjustment = after([propose(goodwill(500)), approve(CHECKER)]);

    let events = adjustment.decide(Command::Settle, NOW).unwrap();
    adjustment.apply(&events[0]);

    assert_eq!(events, [Event::Posted { at: NOW }]);
    assert_eq!(adjustment.posting(ID, &events[0]), None);
}

/// A buyer with a balance.
fn buyer(balance: i64) -> Buyer {
    let mut buyer = Buyer::default();
    let payment_id = PaymentId::from_u128(900);
    for command in [
        BuyerCommand::StartTopUp {
            payment_id,
            amount: cny(balance),
            provider: Provider::Sandbox,
            payment_token: Some("tok_ok".into()),
            expires_at: NOW,
        },
        BuyerCommand::SettlePayment {
            payment_id,
            purpose: Purpose::TopUp,
            outcome: Settlement::Succeeded,
        },
    ] {
        for event in buyer.decide(command, NOW).unwrap() {
            buyer.apply(&event);
        }
    }
    buyer
}

fn post(entries: Vec<Entry>) -> BuyerCommand {
    BuyerCommand::PostAdjustment {
        adjustment_id: ID,
        entries,
    }
}

#[test]
fn a_wallet_is_moved_by_exactly_what_is_posted_and_only_once() {
    for change in [500, -500, -1_000] {
        let mut buyer = buyer(1_000);

        let events = buyer.decide(post(goodwill(change)), NOW).unwrap();
        buyer.apply(&events[0]);
        let posted = posting(USER, &buyer, &events[0]).unwrap();

        assert_eq!(posted.wallet_change(), change);
        assert_eq!(buyer.wallet().balance(), cny(1_000 + change));
        assert_eq!(buyer.decide(post(goodwill(change)), NOW), Ok(vec![]), "again");
    }
}

#[test]
fn a_wallet_bears_no_debit_below_zero_and_no_credit_out_of_range() {
    for (change, refusal) in [
        (-1_001, Error::InsufficientFunds),
        (100_000_000_000, Error::AmountOutOfRange),
    ] {
        let mut buyer = buyer(1_000);

        let events = buyer.decide(post(goodwill(change)), NOW).unwrap();
        buyer.apply(&events[0]);

        let refused = BuyerEvent::AdjustmentRefused {
            adjustment_id: ID,
            code: refusal.code().to_owned(),
            at: NOW,
        };
        assert_eq!(events, [refused]);
        assert_eq!(posting(USER, &buyer, &events[0]), None);
        assert_eq!(buyer.wallet().balance(), cny(1_000));
        // Delivered again after it could be borne: what was given up stays given up.
        assert_eq!(buyer.decide(post(goodwill(5)), NOW), Ok(vec![]));
    }
}

#[test]
fn a_buyer_that_was_stored_before_there_were_adjustments_is_read() {
    let mut state = serde_json::to_value(buyer(1_000)).unwrap();
    state.as_object_mut().unwrap().remove("adjustments");

    let read: Buyer = serde_json::from_value(state).unwrap();

    assert_eq!(read, buyer(1_000));
}

#[test]
fn events_and_states_are_read_back_as_they_were_written() {
    let adjusted = BuyerEvent::Adjusted {
        adjustment_id: ID,
        entries: goodwill(5),
        at: Timestamp::EPOCH,
    };
    let text = serde_json::to_string(&adjusted).unwrap();
    assert_eq!(serde_json::from_str::<BuyerEvent>(&text).unwrap(), adjusted);
    assert!(text.contains(SETTLEMENT_CURRENCY.code()) || text.contains("user_wallet"));

    for commands in [
        vec![],
        vec![propose(goodwill(5))],
        vec![propose(goodwill(5)), approve(CHECKER)],
        vec![propose(goodwill(5)), approve(CHECKER), refuse()],
    ] {
        let adjustment = after(commands);
        let text = serde_json::to_string(&adjustment).unwrap();

        assert_eq!(serde_json::from_str::<Adjustment>(&text).unwrap(), adjustment);
    }
}
