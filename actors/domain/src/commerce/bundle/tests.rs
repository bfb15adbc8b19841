//! What a bundle offers, and what each of its courses costs then.

use std::collections::BTreeSet;

use lyceum_kernel::{Aggregate, Timestamp};

use super::*;

const CREATOR: UserId = UserId::from_u128(7);

fn cny(amount: i64) -> Money {
    Money::new(amount, SETTLEMENT_CURRENCY).unwrap()
}

fn offer() -> Offer {
    Offer {
        title: " Everything about 书法 ".into(),
        creator: CREATOR,
        course_ids: [1, 2, 3].map(CourseId::from_u128).to_vec(),
        price: cny(9_900),
    }
}

#[test]
fn offers_that_make_no_sense_are_refused() {
    let refusal = |change: fn(&mut Offer)| {
        let mut offer = offer();
        change(&mut offer);
        Bundle::default()
            .decide(Command::Offer(offer), Timestamp::EPOCH)
            .err()
    };

    assert_eq!(
        refusal(|offer| offer.title = "  ".into()),
        Some(Refusal::TitleInvalid.into())
    );
    assert_eq!(
        refusal(|offer| offer.title = "x".repeat(121).into()),
        Some(Refusal::TitleInvalid.into())
    );
    assert_eq!(
        refusal(|offer| offer.title = "a\u{202E}b".into()),
        Some(Refusal::TitleInvalid.into())
    );
    assert_eq!(
        refusal(|offer| offer.course_ids.truncate(1)),
        Some(Refusal::CoursesInvalid.into())
    );
    assert_eq!(
        refusal(|offer| offer.course_ids[1] = offer.course_ids[0]),
        Some(Refusal::CoursesInvalid.into())
    );
    assert_eq!(
        refusal(|offer| offer.course_ids = (0..21).map(CourseId::from_u128).collect()),
        Some(Refusal::CoursesInvalid.into())
    );
    assert_eq!(
        refusal(|offer| offer.price = Money::zero(lyceum_kernel::Currency::EUR)),
        Some(Error::CurrencyUnsupported)
    );
}

#[test]
fn a_bundle_is_divided_by_list_price_and_never_costs_more_than_its_courses() {
    let shares = |price, list: &[i64]| {
        let list: Vec<Money> = list.iter().copied().map(cny).collect();
        let shares = super::shares(cny(price), &list).unwrap();
        shares.into_iter().map(Money::amount).collect::<Vec<_>>()
    };

    assert_eq!(shares(9_900, &[10_000, 5_000, 5_000]), [4_950, 2_475, 2_475]);
    assert_eq!(shares(100, &[1, 1, 1]), [1, 1, 1]);
    assert_eq!(shares(0, &[10, 20]), [0, 0]);
    assert_eq!(shares(10, &[10, 20, 0]), [3, 7, 0]);
    assert_eq!(shares(5, &[0, 0]), [0, 0]);
}

#[test]
fn codes_of_refusals_are_unique_and_belong_to_commerce() {
    let refusals = [
        Refusal::NotFound,
        Refusal::Withdrawn,
        Refusal::CoursesInvalid,
        Refusal::CourseForeign,
        Refusal::PriceInvalid,
        Refusal::TitleInvalid,
        Refusal::Owned,
    ];

    let codes: BTreeSet<_> = refusals.iter().map(Coded::code).collect();

    assert_eq!(codes.len(), refusals.len());
    assert!(codes.iter().all(|code| code.starts_with("commerce.bundle_")));
}
