//! What stands against an order beyond its buyer's money and access.

use lyceum_kernel::Aggregate;

use super::buyer_test::{NOW, USER, cny, place};
use super::{Buyer, Command, Error, Event, Method};

/// An order of two courses at nothing and 100, changed by `change`; the buyer has no money.
fn decided(change: impl FnOnce(&mut super::PlaceOrder)) -> Result<Vec<Event>, Error> {
    let Command::PlaceOrder(mut order) = place(1, Method::Wallet, &[(1, 0), (2, 100)]) else {
        unreachable!("an order was asked for");
    };
    change(&mut order);
    Buyer::default().decide(Command::PlaceOrder(order), NOW)
}

#[test]
fn nobody_buys_a_course_of_their_own() {
    let refused = decided(|order| {
        order.lines[1].creator = USER;
    });

    assert_eq!(refused, Err(Error::OwnCourse));
}

#[test]
fn a_price_that_changed_since_it_was_agreed_to_is_refused_before_any_money_moves() {
    let agreed = |total| {
        decided(move |order| {
            order.expected_total = total;
        })
    };

    // At the agreed price it is the money that is missing.
    for total in [None, Some(cny(100))] {
        assert_eq!(agreed(total), Err(Error::InsufficientFunds));
    }
    for total in [cny(99), cny(101)] {
        assert_eq!(agreed(Some(total)), Err(Error::PriceChanged));
    }
}
