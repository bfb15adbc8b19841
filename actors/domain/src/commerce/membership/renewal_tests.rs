//! When periods begin and end, how often they are paused, and what is left of them after a refund.

use std::time::Duration;

use super::tests::{DAY, World, at, order};
use super::*;

#[test]
fn who_joined_on_the_31st_is_renewed_at_the_end_of_each_month_however_late_it_is_paid() {
    let mut world = World::active(at("2026-01-31"));
    let late = Duration::from_millis(1_500);

    for (number, month) in [(2, "2026-03-31"), (3, "2026-04-30"), (4, "2026-05-31")] {
        let (due, _) = world.act(number);
        world.settle(number, Outcome::Consumed, due.at.plus(late));
        let end = world.joined().ends_at().unwrap();
        assert!(end.since(at(month)) < Duration::from_secs(10), "{end} {month}");
    }
}

#[test]
fn a_period_is_as_long_as_a_month_after_a_pause_has_moved_its_beginning() {
    let mut world = World::active(at("2026-06-01"));
    world.ask(Command::Pause, at("2026-06-11")).unwrap();
    world.ask(Command::Resume, at("2026-06-21")).unwrap();

    for (number, end) in [(2, "2026-08-11"), (3, "2026-09-11")] {
        let (due, _) = world.act(number);
        world.settle(number, Outcome::Consumed, due.at);
        assert_eq!(world.joined().ends_at(), Some(at(end)));
    }
}

#[test]
fn a_membership_is_paused_twice_until_the_next_period_is_paid() {
    let mut world = World::active(at("2026-06-01"));
    for day in ["2026-06-02", "2026-06-03"] {
        world.ask(Command::Pause, at(day)).unwrap();
        world.ask(Command::Resume, at(day)).unwrap();
    }

    let third = world.ask(Command::Pause, at("2026-06-04"));
    let (due, _) = world.act(2);
    world.settle(2, Outcome::Consumed, due.at);

    assert_eq!(third, Err(Refusal::PausesUsed.into()));
    assert!(world.ask(Command::Pause, due.at.plus(DAY)).is_ok());
}

#[test]
fn who_cancels_and_thinks_again_many_times_has_one_timer() {
    let mut world = World::active(at("2026-06-01"));
    let (now, step) = (at("2026-06-02"), world.joined().steps);

    for command in [Command::Cancel, Command::Resume, Command::Cancel] {
        world.ask(command, now).unwrap();
        assert_eq!(world.joined().steps, step);
    }
    world.act(2);

    assert_eq!(world.joined().stage.name(), "ended");
}

#[test]
fn a_refund_of_a_renewal_ends_it_although_its_payment_is_not_known_yet() {
    let remove = |number| Command::Remove {
        order_id: order(number),
    };
    let mut world = World::active(at("2026-06-01"));
    let (due, _) = world.act(2);
    world.ask(remove(2), due.at).unwrap();
    assert_eq!(world.joined().stage.name(), "ended");

    // Of a period that is long over, while the next is being paid: that one goes on.
    let mut world = World::active(at("2026-06-01"));
    let (due, _) = world.act(2);
    world.ask(remove(1), due.at).unwrap();
    assert_eq!(world.joined().stage.name(), "active");

    // Nobody is reminded to pay who was just given back what they had paid last.
    let mut world = World::active(at("2026-06-01"));
    let (due, _) = world.act(2);
    world.settle(2, Outcome::Returned, due.at);
    world.ask(remove(1), due.at).unwrap();
    assert_eq!(world.joined().stage.name(), "ended");
}
