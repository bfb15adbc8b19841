//! A membership from joining to its end, by the clock and by what its orders do.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Currency, Money, Timestamp};

use super::*;
use crate::commerce::coupon::Issuer;
use crate::commerce::order::{Method, Provider};
use crate::commerce::plan::{Every, Opens};
use crate::ids::PlanId;

const USER: UserId = UserId::from_u128(1);
const CREATOR: UserId = UserId::from_u128(2);
pub(super) const DAY: Duration = Duration::from_hours(24);

pub(super) fn order(number: u128) -> OrderId {
    OrderId::from_u128(number)
}

pub(super) fn at(text: &str) -> Timestamp {
    format!("{text}T08:00:00.000Z").parse().unwrap()
}

fn terms() -> Terms {
    Terms {
        plan_id: PlanId::from_u128(9),
        title: "All of it".into(),
        issuer: Issuer::Creator(CREATOR),
        creator: CREATOR,
        share_bps: 7_000,
        price: Money::new(2_900, Currency::CNY).unwrap(),
        every: Every::Month,
        opens: Opens::Everything,
        method: Method::Wallet,
        token: None,
        dunning: Dunning::new(&[DAY, 3 * DAY], 7 * DAY).unwrap(),
        pause_max_ms: 90 * 86_400_000,
    }
}

/// A membership and what has happened to it.
#[derive(Default)]
pub(super) struct World {
    membership: Membership,
}

impl World {
    pub(super) fn ask(&mut self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        let events = self.membership.decide(command, now)?;
        for event in &events {
            self.membership.apply(event);
        }
        // Whoever reloads it finds the same.
        let stored = serde_json::to_string(&self.membership).unwrap();
        assert_eq!(
            serde_json::from_str::<Membership>(&stored).unwrap(),
            self.membership
        );
        Ok(events)
    }

    pub(super) fn joined(&self) -> &Joined {
        self.membership.joined().unwrap()
    }

    fn join(&mut self, number: u128, now: Timestamp) -> Result<Vec<Event>, Error> {
        let join = Command::Join {
            terms: Box::new(terms()),
            user: USER,
            order_id: order(number),
            until: now.plus(DAY),
        };
        self.ask(join, now)
    }

    pub(super) fn settle(&mut self, number: u128, outcome: Outcome, now: Timestamp) -> Vec<Event> {
        let order_id = order(number);
        self.ask(Command::Settle { order_id, outcome }, now).unwrap()
    }

    /// The clock does what is due, which is due then.
    pub(super) fn act(&mut self, number: u128) -> (Due, Vec<Event>) {
        let (due, step) = (self.joined().due.expect("something is due"), self.joined().steps);
        let act = Command::Act {
            step,
            order_id: order(number),
            until: due.at.plus(DAY),
        };
        let events = self.ask(act.clone(), due.at).unwrap();
        assert_eq!(self.ask(act, due.at), Ok(vec![]), "a timer fires once");
        (due, events)
    }

    pub(super) fn active(now: Timestamp) -> World {
        let mut world = World::default();
        world.join(1, now).unwrap();
        world.settle(1, Outcome::Consumed, now);
        world
    }
}

#[test]
fn a_paid_order_adds_one_period_however_often_it_is_heard_of() {
    let mut world = World::default();
    let now = at("2026-01-31");
    assert_eq!(world.ask(Command::Cancel, now), Err(Refusal::NotFound.into()));
    world.join(1, now).unwrap();
    assert_eq!(world.joined().access_until(), None);

    assert_eq!(world.settle(1, Outcome::Consumed, now).len(), 1);
    for _ in 0..3 {
        assert_eq!(world.settle(1, Outcome::Consumed, now), vec![]);
        assert_eq!(world.settle(1, Outcome::Returned, now), vec![]);
    }

    let end = at("2026-02-28");
    assert_eq!(world.joined().stage, Stage::Active { end, renews: true });
    assert_eq!(world.joined().access_until(), Some(end.plus(7 * DAY)));
    assert_eq!(
        world.joined().due,
        Some(Due {
            action: Action::Renew,
            at: end
        })
    );
}

#[test]
fn the_clock_renews_at_the_end_and_periods_follow_the_calendar_without_a_gap() {
    let mut world = World::active(at("2026-01-31"));

    for (number, end) in [(2, "2026-03-31"), (3, "2026-04-30"), (4, "2026-05-31")] {
        let (due, events) = world.act(number);
        assert_eq!(events.len(), 1);
        assert_eq!(world.joined().due, None, "its order tells how it ended");
        world.settle(number, Outcome::Consumed, due.at);
        assert_eq!(world.joined().ends_at(), Some(at(end)));
    }

    let periods = &world.joined().periods;
    assert!(
        periods.windows(2).all(|pair| pair[0].to == pair[1].from),
        "{periods:?}"
    );
}

#[test]
fn a_renewal_that_is_not_paid_is_tried_by_its_schedule_and_ends_with_the_grace() {
    let mut world = World::active(at("2026-06-01"));
    let end = at("2026-07-01");

    for (number, after) in [(2, Duration::ZERO), (3, DAY), (4, 3 * DAY)] {
        let (due, _) = world.act(number);
        assert_eq!(
            due,
            Due {
                action: Action::Renew,
                at: end.plus(after)
            }
        );
        world.settle(number, Outcome::Returned, due.at);
        assert_eq!(world.joined().stage.name(), "past_due");
        assert_eq!(world.joined().access_until(), Some(end.plus(7 * DAY)));
    }
    let (due, _) = world.act(5);

    assert_eq!(
        due,
        Due {
            action: Action::End,
            at: end.plus(7 * DAY)
        }
    );
    let (reason, at) = (EndReason::Unpaid, due.at);
    assert_eq!(world.joined().stage, Stage::Ended { reason, at });
    assert_eq!((world.joined().access_until(), world.joined().due), (None, None));
}

#[test]
fn a_renewal_that_is_paid_late_begins_when_it_is_paid() {
    let mut world = World::active(at("2026-06-01"));
    world.act(2);
    world.settle(2, Outcome::Returned, at("2026-07-01"));
    let (due, _) = world.act(3);

    world.settle(3, Outcome::Consumed, due.at);

    let period = world.joined().period_of(order(3)).unwrap();
    assert_eq!((period.from, period.to), (at("2026-07-02"), at("2026-08-02")));
    assert_eq!(world.joined().stage.name(), "active");
}

#[test]
fn who_cancels_keeps_what_was_paid_and_may_think_again_until_the_end() {
    let mut world = World::active(at("2026-06-01"));
    let now = at("2026-06-10");

    world.ask(Command::Cancel, now).unwrap();
    assert_eq!(world.ask(Command::Cancel, now), Ok(vec![]));
    let end = at("2026-07-01");
    assert_eq!(world.joined().access_until(), Some(end));
    assert_eq!(
        world.joined().due,
        Some(Due {
            action: Action::End,
            at: end
        })
    );
    world.ask(Command::Resume, now).unwrap();
    assert_eq!(
        world.joined().due,
        Some(Due {
            action: Action::Renew,
            at: end
        })
    );
    world.ask(Command::Cancel, now).unwrap();
    let (due, _) = world.act(2);

    let reason = EndReason::Cancelled;
    assert_eq!(world.joined().stage, Stage::Ended { reason, at: due.at });
    assert_eq!(world.ask(Command::Resume, end), Err(Error::wrong_state("ended")));
    world.join(3, end).unwrap();
    assert_eq!(world.joined().stage, Stage::Pending);
}

#[test]
fn a_pause_keeps_what_is_left_and_ends_by_itself() {
    let mut world = World::active(at("2026-06-01"));

    world.ask(Command::Pause, at("2026-06-11")).unwrap();
    assert_eq!(world.joined().access_until(), None);
    assert_eq!(world.ask(Command::Pause, at("2026-06-12")), Ok(vec![]));
    world.ask(Command::Resume, at("2026-06-21")).unwrap();

    let end = at("2026-07-11");
    assert_eq!(world.joined().stage, Stage::Active { end, renews: true });
    assert_eq!(world.joined().periods[0].to, end);

    world.ask(Command::Pause, at("2026-07-01")).unwrap();
    world.ask(Command::Cancel, at("2026-07-02")).unwrap();
    let (due, _) = world.act(2);

    assert_eq!(
        due,
        Due {
            action: Action::Resume,
            at: at("2026-07-01").plus(90 * DAY)
        }
    );
    let end = due.at.plus(10 * DAY);
    assert_eq!(world.joined().stage, Stage::Active { end, renews: false });
}

#[test]
fn what_is_being_renewed_or_over_is_not_paused() {
    let mut world = World::default();
    let now = at("2026-06-01");
    world.join(1, now).unwrap();
    for command in [Command::Pause, Command::Resume, Command::Cancel] {
        assert_eq!(world.ask(command, now), Err(Error::wrong_state("pending")));
    }
    let mut world = World::active(now);
    world.act(2);
    assert_eq!(
        world.ask(Command::Pause, at("2026-07-01")),
        Err(Error::wrong_state("active"))
    );
    world.settle(2, Outcome::Returned, at("2026-07-01"));
    assert_eq!(
        world.ask(Command::Pause, at("2026-07-02")),
        Err(Error::wrong_state("past_due"))
    );
    world.ask(Command::Cancel, at("2026-07-02")).unwrap();
    for command in [Command::Pause, Command::Resume, Command::Cancel] {
        assert_eq!(
            world.ask(command, at("2026-07-03")),
            Err(Error::wrong_state("ended"))
        );
    }
}

#[test]
fn a_refund_removes_its_period_and_brings_the_later_ones_forward() {
    let mut world = World::active(at("2026-06-01"));
    // The second is paid before the first is over, as an order of earlier may be.
    world.settle(2, Outcome::Consumed, at("2026-06-02"));
    assert_eq!(world.joined().ends_at(), Some(at("2026-08-01")));

    let remove = |number| Command::Remove {
        order_id: order(number),
    };
    assert_eq!(world.ask(remove(1), at("2026-06-03")).unwrap().len(), 1);
    assert_eq!(world.ask(remove(1), at("2026-06-03")), Ok(vec![]));

    let end = at("2026-07-02");
    assert_eq!(world.joined().stage, Stage::Active { end, renews: true });
    assert_eq!(world.joined().period_of(order(2)).unwrap().to, end);

    world.ask(remove(2), at("2026-06-04")).unwrap();

    let (reason, at_end) = (EndReason::Refunded, at("2026-06-04"));
    assert_eq!(world.joined().stage, Stage::Ended { reason, at: at_end });
    assert_eq!(world.settle(2, Outcome::Consumed, at_end), vec![]);
}

#[test]
fn a_refund_that_is_heard_of_before_its_payment_leaves_no_period() {
    let mut world = World::default();
    let now = at("2026-06-01");
    world.join(1, now).unwrap();

    world.ask(Command::Remove { order_id: order(1) }, now).unwrap();

    assert_eq!(world.joined().stage.name(), "ended");
    assert_eq!(world.settle(1, Outcome::Consumed, now), vec![]);
    assert_eq!(world.joined().access_until(), None);
}

#[test]
fn money_that_arrives_for_an_ended_membership_begins_a_period_that_is_not_renewed() {
    let mut world = World::active(at("2026-06-01"));
    world.act(2);
    world.settle(2, Outcome::Returned, at("2026-07-01"));
    world.ask(Command::Cancel, at("2026-07-02")).unwrap();

    world.settle(2, Outcome::Consumed, at("2026-07-03"));

    let end = at("2026-08-03");
    assert_eq!(world.joined().stage, Stage::Active { end, renews: false });
}

#[test]
fn nobody_has_two_memberships_of_a_plan_and_an_unpaid_one_makes_room() {
    let mut world = World::default();
    let now = at("2026-06-01");
    world.join(1, now).unwrap();

    assert_eq!(world.join(1, now), Ok(vec![]), "redelivered");
    let state = "pending".into();
    assert_eq!(world.join(2, now), Err(Refusal::AlreadyMember { state }.into()));
    world.settle(1, Outcome::Returned, now);
    let (reason, at) = (EndReason::NeverPaid, now);
    assert_eq!(world.joined().stage, Stage::Ended { reason, at });
    world.join(2, now).unwrap();
    world.settle(2, Outcome::Consumed, now);

    let state = "active".into();
    assert_eq!(world.join(3, now), Err(Refusal::AlreadyMember { state }.into()));
}

#[test]
fn who_joins_again_keeps_what_an_earlier_order_has_paid_if_the_new_one_fails() {
    let mut world = World::active(at("2026-06-01"));
    world.act(2);
    world.settle(2, Outcome::Returned, at("2026-07-01"));
    world.ask(Command::Cancel, at("2026-07-02")).unwrap();
    world.join(3, at("2026-07-03")).unwrap();

    world.settle(2, Outcome::Consumed, at("2026-07-04"));
    world.settle(3, Outcome::Returned, at("2026-07-05"));

    let end = at("2026-08-04");
    assert_eq!(world.joined().stage, Stage::Active { end, renews: true });
    assert_eq!(
        world.joined().due,
        Some(Due {
            action: Action::Renew,
            at: end
        })
    );
}

#[test]
fn only_what_pays_without_its_owner_can_renew() {
    let with = |method, token: Option<&str>| {
        let token = token.map(str::to_owned);
        Terms {
            method,
            token,
            ..terms()
        }
        .checked()
    };
    assert_eq!(with(Method::Wallet, Some("tok_ok")).unwrap().token, None);
    assert!(with(Method::Provider(Provider::Sandbox), Some("tok_ok")).is_ok());
    let refused = with(Method::Provider(Provider::Sandbox), None);
    assert_eq!(refused, Err(Error::PaymentTokenRequired));
    for provider in [Provider::Stripe, Provider::Wechat, Provider::Alipay] {
        let refused = with(Method::Provider(provider), Some("x"));
        assert_eq!(refused, Err(Refusal::MethodCannotRenew.into()));
    }
}

#[test]
fn retries_grow_and_fit_into_the_grace() {
    assert!(Dunning::new(&[], Duration::ZERO).is_ok());
    for (retries, grace) in [
        (&[DAY, DAY][..], 7 * DAY),
        (&[2 * DAY, DAY], 7 * DAY),
        (&[Duration::ZERO], DAY),
        (&[DAY], DAY),
        (&[DAY; RETRIES_MAX + 1], 7 * DAY),
    ] {
        assert_eq!(
            Dunning::new(retries, grace),
            Err(Refusal::DunningInvalid),
            "{retries:?}"
        );
    }
}

/// Whatever is heard in whatever order: no period overlaps another, each order pays one, and what lives goes on by itself.
#[test]
fn random_histories_keep_periods_apart_and_never_stand_still() {
    for seed in 0..2_000_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut world = World::default();
        let mut now = at("2026-01-30");
        for number in 1..40_u128 {
            now = now.plus(DAY * u32::try_from(draw(20)).unwrap());
            let known = 1 + u128::from(draw(u64::try_from(number).unwrap()));
            let command = match draw(8) {
                0 => {
                    let _ = world.join(number, now);
                    continue;
                }
                1 | 2 => Command::Settle {
                    order_id: order(known),
                    outcome: Outcome::Consumed,
                },
                3 => Command::Settle {
                    order_id: order(known),
                    outcome: Outcome::Returned,
                },
                4 => Command::Remove {
                    order_id: order(known),
                },
                5 => [Command::Cancel, Command::Pause, Command::Resume][usize::try_from(draw(3)).unwrap()]
                    .clone(),
                _ => match world.membership.joined() {
                    Ok(joined) => {
                        now = joined.due.map_or(now, |due| due.at.max(now));
                        Command::Act {
                            step: joined.steps,
                            order_id: order(number),
                            until: now,
                        }
                    }
                    Err(_) => continue,
                },
            };
            let _ = world.ask(command, now);
            let Ok(joined) = world.membership.joined() else {
                continue;
            };
            let live: Vec<_> = joined
                .periods
                .iter()
                .filter(|held| held.removed_at.is_none())
                .collect();
            let apart = live.windows(2).all(|pair| pair[0].to <= pair[1].from);
            assert!(apart, "seed {seed}: {live:?}");
            let goes_on = joined.due.is_some() || joined.charge.is_some();
            assert!(
                goes_on || matches!(joined.stage, Stage::Ended { .. }),
                "seed {seed}: {joined:?}"
            );
            for period in &joined.periods {
                let same = joined
                    .periods
                    .iter()
                    .filter(|held| held.order_id == period.order_id);
                assert_eq!(same.count(), 1, "seed {seed}");
            }
        }
    }
}
