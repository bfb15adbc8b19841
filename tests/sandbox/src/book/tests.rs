//! The book's rules: once per key, facts that replay to the same book, callbacks that are remembered.

use super::*;

fn order(amount: i64, token: Token) -> ChargeOrder {
    ChargeOrder {
        amount,
        currency: "CNY".into(),
        token,
        reference: "pay_1".into(),
        callback_url: Some("http://127.0.0.1:1/callbacks/sandbox".into()),
        wire: Wire::Sandbox,
    }
}

fn refund_order(charge: &Charge, amount: i64) -> RefundOrder {
    RefundOrder {
        charge_id: charge.id.clone(),
        amount,
        currency: "CNY".into(),
        reference: String::new(),
    }
}

fn commit<T>(book: &mut Book, decided: Decided<T>) -> T {
    if let Some(fact) = &decided.fact {
        book.apply(fact);
    }
    decided.answer
}

fn charge(book: &mut Book, key: &str, order: &ChargeOrder) -> Result<Arc<Charge>, Refusal> {
    let decided = book.charge(key, order, "now".into());
    commit(book, decided)
}

fn refund(book: &mut Book, key: &str, order: &RefundOrder) -> Result<Arc<Refund>, Refusal> {
    let decided = book.refund(key, order, "now".into());
    commit(book, decided)
}

#[test]
fn the_same_key_and_body_is_one_charge_and_another_body_is_refused() {
    let mut book = Book::default();

    let first = charge(&mut book, "k", &order(100, Token::Ok)).unwrap();
    let again = charge(&mut book, "k", &order(100, Token::Ok)).unwrap();
    let other = charge(&mut book, "k", &order(200, Token::Ok));

    assert_eq!(first, again);
    assert_eq!(other, Err(Refusal::KeyReused));
    assert_eq!(book.charges().len(), 1);
}

#[test]
fn a_close_that_comes_first_beats_every_later_charge() {
    let mut book = Book::default();

    let decided = book.close("k");
    assert!(matches!(commit(&mut book, decided), Closing::Closed));

    assert_eq!(
        charge(&mut book, "k", &order(100, Token::Ok)),
        Err(Refusal::KeyClosed)
    );
    assert!(book.close("k").fact.is_none(), "closing again is nothing new");
    assert!(book.charges().is_empty());
}

#[test]
fn a_close_that_comes_second_tells_how_the_charge_ended() {
    let mut book = Book::default();
    charge(&mut book, "k", &order(100, Token::Declined)).unwrap();

    let decided = book.close("k");

    assert!(decided.fact.is_none());
    assert!(matches!(decided.answer, Closing::Charged(charge) if charge.state == State::Declined));
}

#[test]
fn refunds_never_exceed_their_charge() {
    let mut book = Book::default();
    let charged = charge(&mut book, "k", &order(100, Token::Ok)).unwrap();

    let states: Vec<State> = [("r1", 60), ("r2", 41), ("r3", 40), ("r4", 1), ("r1", 60)]
        .into_iter()
        .map(|(key, amount)| {
            refund(&mut book, key, &refund_order(&charged, amount))
                .unwrap()
                .state
        })
        .collect();

    assert_eq!(
        states,
        [
            State::Succeeded,
            State::Failed,
            State::Succeeded,
            State::Failed,
            State::Succeeded
        ]
    );
    assert_eq!(book.refunds().len(), 4);
}

#[test]
fn a_declined_charge_cannot_be_refunded() {
    let mut book = Book::default();
    let declined = charge(&mut book, "k", &order(100, Token::InsufficientFunds)).unwrap();

    let refused = refund(&mut book, "r", &refund_order(&declined, 1)).unwrap();

    assert_eq!(declined.decline_code.as_deref(), Some("insufficient_funds"));
    assert_eq!(
        (refused.state, refused.failure_code.as_deref()),
        (State::Failed, Some("charge_not_captured"))
    );
}

#[test]
fn an_acknowledged_callback_is_not_pending_any_more() {
    let mut book = Book::default();
    charge(&mut book, "k", &order(100, Token::Twice)).unwrap();
    let pending = book.undelivered();
    assert_eq!((pending.len(), pending[0].copies), (1, 2));

    book.apply(&Fact::Delivered {
        event: pending[0].id.clone(),
    });

    assert!(book.undelivered().is_empty());
}

#[test]
fn a_charge_is_disputed_once_and_only_if_it_took_money() {
    let mut book = Book::default();
    let charged = charge(&mut book, "k", &order(100, Token::Ok)).unwrap();
    let declined = charge(&mut book, "d", &order(100, Token::Declined)).unwrap();

    let first = book.dispute(&charged.id, "now".into());
    book.apply(&first.fact.unwrap());
    let second = book.dispute(&charged.id, "later".into());

    assert!(second.fact.is_none());
    assert_eq!(first.answer, second.answer);
    assert_eq!(book.disputes().len(), 1);
    for id in [&declined.id, "ch_of_nobody"] {
        assert_eq!(
            book.dispute(id, "now".into()).answer,
            Err(Refusal::ChargeNotFound)
        );
    }
}

#[test]
fn a_withheld_callback_is_never_sent() {
    let mut book = Book::default();
    charge(&mut book, "k", &order(100, Token::Ok)).unwrap();
    let event = book.undelivered().remove(0).id;

    book.apply(&Fact::Withheld { event });

    assert!(book.undelivered().is_empty());
}
