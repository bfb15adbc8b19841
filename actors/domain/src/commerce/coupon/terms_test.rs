//! What a coupon takes off which line, and which promises make sense.

use std::collections::BTreeSet;

use lyceum_kernel::{Currency, Money};

use super::tests::{CREATOR, at, cart, cny, item, terms};
use super::*;
use crate::ids::CourseId;

fn taken_off(benefit: Benefit, scope: Scope, issuer: Issuer) -> Result<Vec<i64>, Refusal> {
    let terms = Terms {
        benefit,
        scope,
        issuer,
        ..terms()
    };
    let off = terms.discounts(&cart())?;
    Ok(off.into_iter().map(Money::amount).collect())
}

#[test]
fn each_benefit_takes_off_what_it_says_and_never_more_than_the_lines_cost() {
    let off = |benefit| taken_off(benefit, Scope::All, Issuer::Platform);
    let percent = |off_bps, at_most: Option<i64>| Benefit::Percent {
        off_bps,
        at_most: at_most.map(cny),
    };
    let threshold = |at_least, off| Benefit::Threshold {
        at_least: cny(at_least),
        off: cny(off),
    };

    assert_eq!(off(Benefit::Fixed { off: cny(50) }), Ok(vec![38, 12, 0]));
    assert_eq!(off(Benefit::Fixed { off: cny(900) }), Ok(vec![300, 100, 0]));
    assert_eq!(off(percent(2_500, None)), Ok(vec![75, 25, 0]));
    assert_eq!(off(percent(10_000, None)), Ok(vec![300, 100, 0]));
    assert_eq!(off(percent(2_500, Some(40))), Ok(vec![30, 10, 0]));
    assert_eq!(off(percent(2_500, Some(400))), Ok(vec![75, 25, 0]));
    assert_eq!(off(threshold(400, 200)), Ok(vec![150, 50, 0]));
    assert_eq!(off(threshold(401, 200)), Err(Refusal::BelowThreshold));
}

#[test]
fn a_use_that_would_take_nothing_off_is_not_spent() {
    let percent = Benefit::Percent {
        off_bps: 1,
        at_most: None,
    };
    assert_eq!(
        taken_off(percent, Scope::All, Issuer::Platform),
        Err(Refusal::NotApplicable)
    );
    assert_eq!(
        terms().discounts(&[item(3, CREATOR, "design", 0)]),
        Err(Refusal::NotApplicable)
    );
    assert_eq!(terms().discounts(&[]), Err(Refusal::NotApplicable));
}

#[test]
fn a_coupon_looks_only_at_the_lines_in_its_scope_and_of_its_creator() {
    let fixed = Benefit::Fixed { off: cny(30) };
    let category = |slug: &str| Scope::Category(slug.into());
    let courses = |ids: &[u128]| Scope::Courses(ids.iter().copied().map(CourseId::from_u128).collect());
    let creator = Issuer::Creator(CREATOR);

    assert_eq!(
        taken_off(fixed, category("design"), Issuer::Platform),
        Ok(vec![0, 30, 0])
    );
    assert_eq!(
        taken_off(fixed, courses(&[1, 9]), Issuer::Platform),
        Ok(vec![30, 0, 0])
    );
    assert_eq!(taken_off(fixed, Scope::All, creator), Ok(vec![30, 0, 0]));
    assert_eq!(
        taken_off(fixed, category("design"), creator),
        Err(Refusal::NotApplicable)
    );
    assert_eq!(
        taken_off(fixed, courses(&[2]), creator),
        Err(Refusal::NotApplicable)
    );
    let threshold = Benefit::Threshold {
        at_least: cny(301),
        off: cny(1),
    };
    assert_eq!(
        taken_off(threshold, Scope::All, creator),
        Err(Refusal::BelowThreshold)
    );
}

#[test]
fn terms_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Terms)| {
        let mut terms = terms();
        change(&mut terms);
        terms.checked(at(0)).expect_err("refused")
    };
    let foreign = || Money::new(5, Currency::USD).unwrap();

    assert_eq!(
        refused(|t| t.benefit = Benefit::Fixed { off: cny(0) }),
        Refusal::BenefitInvalid
    );
    let mut dollars = terms();
    dollars.benefit = Benefit::Fixed { off: foreign() };
    assert_eq!(dollars.checked(at(0)), Err(Refusal::BenefitInvalid));
    for off_bps in [0, 10_001] {
        let mut terms = terms();
        terms.benefit = Benefit::Percent {
            off_bps,
            at_most: None,
        };
        assert_eq!(terms.checked(at(0)), Err(Refusal::BenefitInvalid), "{off_bps}");
    }
    let more_off = |t: &mut Terms| {
        t.benefit = Benefit::Threshold {
            at_least: cny(99),
            off: cny(100),
        };
    };
    assert_eq!(refused(more_off), Refusal::BenefitInvalid);
    assert_eq!(refused(|t| t.limit = 0), Refusal::LimitInvalid);
    assert_eq!(refused(|t| t.limit = USES_MAX + 1), Refusal::LimitInvalid);
    assert_eq!(refused(|t| t.per_user = 0), Refusal::LimitInvalid);
    assert_eq!(refused(|t| t.per_user = 3), Refusal::LimitInvalid);
    assert_eq!(
        refused(|t| t.scope = Scope::Courses(BTreeSet::new())),
        Refusal::ScopeInvalid
    );
    assert_eq!(refused(|t| t.ends_at = t.starts_at), Refusal::ValidityInvalid);
    assert_eq!(terms().checked(at(2_000)), Err(Refusal::ValidityInvalid));
    assert_eq!(terms().checked(at(1_999)), Ok(terms()));
}

#[test]
fn a_code_is_read_without_regard_to_case() {
    assert_eq!(
        Code::parse(" Spring_Sale-26 ").unwrap().as_str(),
        "SPRING_SALE-26"
    );
    for text in ["abc", "", "ab cd", "优惠券一二三", &"a".repeat(33)] {
        assert_eq!(Code::parse(text), Err(Refusal::CodeInvalid), "{text}");
    }
}
