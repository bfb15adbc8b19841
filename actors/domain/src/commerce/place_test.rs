//! What stands against an order beyond its buyer's money and access.

use lyceum_kernel::Aggregate;

use super::buyer_test::{NOW, USER, line, place};
use super::{Buyer, Command, Error, Event, Method};

/// An order of one course at 100, changed by `change`.
fn decided(change: impl FnOnce(&mut super::PlaceOrder)) -> Result<Vec<Event>, Error> {
    let Command::PlaceOrder(mut order) = place(1, Method::Wallet, &[(1, 0), (2, 0)]) else {
        unreachable!("an order was asked for");
    };
    change(&mut order);
    Buyer::default().decide(Command::PlaceOrder(order), NOW)
}

#[test]
fn nobody_buys_a_course_of_their_own() {
    assert!(decided(|_| {}).is_ok());

    let refused = decided(|order| {
        order.lines[1].creator = USER;
    });

    assert_eq!(refused, Err(Error::OwnCourse));
}
