//! What a plan offers, and to whom.

use lyceum_kernel::{Aggregate, Currency, Timestamp};

use super::*;

const CREATOR: UserId = UserId::from_u128(1);
const OTHER: UserId = UserId::from_u128(2);
const COURSE: CourseId = CourseId::from_u128(7);

fn offer() -> PlanOffer {
    PlanOffer {
        title: "  All of it ".into(),
        issuer: Issuer::Creator(CREATOR),
        by: CREATOR,
        price: Money::new(2_900, Currency::CNY).unwrap(),
        every: Every::Month,
        opens: Opens::Everything,
    }
}

#[test]
fn a_plan_without_a_title_a_price_or_courses_is_refused() {
    let many = (0..=COURSES_MAX as u128).map(CourseId::from_u128).collect();
    for (changed, refusal) in [
        (
            PlanOffer {
                title: " ".into(),
                ..offer()
            },
            Refusal::TitleInvalid,
        ),
        (
            PlanOffer {
                price: Money::zero(Currency::CNY),
                ..offer()
            },
            Refusal::PriceInvalid,
        ),
        (
            PlanOffer {
                opens: Opens::Courses(BTreeSet::new()),
                ..offer()
            },
            Refusal::CoursesInvalid,
        ),
        (
            PlanOffer {
                opens: Opens::Courses(many),
                ..offer()
            },
            Refusal::CoursesInvalid,
        ),
    ] {
        let refused = Plan::default().decide(Command::Offer(changed), Timestamp::EPOCH);
        assert_eq!(refused, Err(refusal.into()));
    }
    let foreign = PlanOffer {
        price: Money::new(1, Currency::USD).unwrap(),
        ..offer()
    };
    let refused = Plan::default().decide(Command::Offer(foreign), Timestamp::EPOCH);
    assert_eq!(refused, Err(Error::CurrencyUnsupported));
}

#[test]
fn a_plan_of_everything_opens_what_is_its_issuers() {
    let named = Opens::Courses(BTreeSet::from([COURSE]));
    let other_course = CourseId::from_u128(8);
    for (opens, issuer, course, creator, covered) in [
        (&Opens::Everything, Issuer::Platform, COURSE, OTHER, true),
        (
            &Opens::Everything,
            Issuer::Creator(CREATOR),
            COURSE,
            CREATOR,
            true,
        ),
        (&Opens::Everything, Issuer::Creator(CREATOR), COURSE, OTHER, false),
        (&named, Issuer::Creator(CREATOR), COURSE, CREATOR, true),
        (&named, Issuer::Creator(CREATOR), other_course, CREATOR, false),
    ] {
        assert_eq!(
            opens.covers(issuer, course, creator),
            covered,
            "{opens:?} {issuer:?}"
        );
    }
}
