//! Tests of ranking on a catalog of a dozen courses.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};

use super::*;
use crate::recommend::{Activity, Command, Features, Observation, Popularity, Settings};

fn course(number: u128) -> CourseId {
    CourseId::from_u128(number)
}

/// Courses 1–4 are about Rust, 5–8 about painting, 9–12 about cooking; 12 is the most popular, then 11 and so on.
fn model() -> Model {
    let subjects = ["rust programming", "watercolour painting", "italian cooking"];
    let features = (1..=12_usize)
        .map(|number| {
            let subject = subjects[(number - 1) / 4];
            Features {
                title: format!("{subject} part{}", number % 4 / 2),
                categories: vec![subject.split(' ').next_back().expect("a word").to_owned()],
                ..Features::new(course(number as u128))
            }
        })
        .collect();
    let mut popularity = Popularity::new(Timestamp::EPOCH, Duration::from_secs(86_400));
    for number in 1..=12_u32 {
        popularity.add(course(u128::from(number)), Timestamp::EPOCH, f64::from(number));
    }
    Model::build(1, features, &popularity, &Settings::default())
}

fn profile(events: &[(Activity, u128)], interests: &[&str]) -> Profile {
    let mut profile = Profile::default();
    let events = events.iter().map(|&(activity, number)| {
        let value = (activity == Activity::Rate).then_some(1.0);
        Observation {
            id: None,
            activity,
            course: course(number),
            at: None,
            value,
        }
    });
    let interests = interests.iter().map(|&interest| interest.to_owned()).collect();
    for command in [
        Command::Observe {
            events: events.collect(),
        },
        Command::SetInterests { interests },
    ] {
        for event in profile.decide(command, Timestamp::EPOCH).expect("accepted") {
            profile.apply(&event);
        }
    }
    profile
}

fn list(profile: &Profile, limit: usize) -> Vec<Recommendation> {
    rank(&model(), profile, limit, &mut Scratch::default())
}

fn numbers(list: &[Recommendation]) -> Vec<u128> {
    list.iter().map(|item| item.course.as_u128()).collect()
}

#[test]
fn a_stranger_is_shown_what_is_popular() {
    let list = list(&Profile::default(), 3);

    assert_eq!(list[0].course, course(12));
    assert!(list.iter().all(|item| item.source == Source::Popular));
}

#[test]
fn interests_come_before_popularity() {
    let list = list(&profile(&[], &["painting"]), 2);

    assert_eq!(list[0].course, course(8));
    assert_eq!(list[0].source, Source::Interests);
    assert!(
        list[0]
            .reasons
            .iter()
            .any(|reason| reason.kind == ReasonKind::Interest("painting".to_owned()))
    );
}

#[test]
fn one_event_changes_the_list_and_says_why() {
    let list = list(&profile(&[(Activity::View, 1)], &[]), 3);

    assert!((2..=4).contains(&list[0].course.as_u128()), "{list:?}");
    assert_eq!(list[0].source, Source::Content);
    assert_eq!(list[0].reasons[0].kind, ReasonKind::Studied(course(1)));
}

#[test]
fn shares_sum_exactly_to_the_score() {
    let events: Vec<_> = (1..=10).map(|number| (Activity::View, number)).collect();

    for item in list(&profile(&events, &["painting", "cooking"]), 12) {
        assert_eq!(
            item.reasons.iter().map(|reason| reason.share).sum::<u32>(),
            item.score,
            "{item:?}"
        );
        let studied = |reason: &&Reason| matches!(reason.kind, ReasonKind::Studied(_));
        assert!(item.reasons.iter().filter(studied).count() <= STUDIED_REASONS_MAX);
    }
}

#[test]
fn excluded_courses_are_never_listed() {
    let profile = profile(
        &[
            (Activity::Purchase, 12),
            (Activity::Complete, 11),
            (Activity::Dismiss, 10),
        ],
        &["cooking"],
    );

    let listed = numbers(&list(&profile, 12));

    assert!(listed.iter().all(|number| *number < 10), "{listed:?}");
}

#[test]
fn what_is_like_a_disliked_course_sinks() {
    let place = |profile: &Profile| {
        numbers(&list(profile, 12))
            .iter()
            .position(|number| *number == 11)
            .expect("listed")
    };

    let neutral = place(&profile(&[], &[]));

    assert!(place(&profile(&[(Activity::Dismiss, 12)], &[])) + 1 > neutral);
    assert!(place(&profile(&[(Activity::Rate, 12)], &[])) > neutral);
}

#[test]
fn the_same_profile_gives_the_same_list_on_a_used_scratch() {
    let (model, mut scratch) = (model(), Scratch::default());
    let learner = profile(&[(Activity::View, 1), (Activity::Start, 6)], &["cooking"]);

    let first = rank(&model, &learner, 5, &mut scratch);
    rank(&model, &profile(&[(Activity::Dismiss, 2)], &[]), 12, &mut scratch);

    assert_eq!(rank(&model, &learner, 5, &mut scratch), first);
}

#[test]
fn a_list_is_varied() {
    let listed = numbers(&list(&profile(&[], &[]), 3));

    // By popularity alone it would be cooking three times.
    assert!(listed.iter().any(|number| *number < 9), "{listed:?}");
}

#[test]
fn an_empty_catalog_gives_an_empty_list() {
    let popularity = Popularity::new(Timestamp::EPOCH, Duration::from_secs(1));
    let model = Model::build(1, vec![], &popularity, &Settings::default());

    assert!(
        rank(
            &model,
            &profile(&[(Activity::View, 1)], &["x"]),
            5,
            &mut Scratch::default()
        )
        .is_empty()
    );
    assert!(list(&Profile::default(), 0).is_empty());
}

#[test]
fn every_item_has_a_reason_even_before_the_first_interaction() {
    let popularity = Popularity::new(Timestamp::EPOCH, Duration::from_secs(1));
    let features = vec![Features::new(course(1)), Features::new(course(2))];
    let model = Model::build(1, features, &popularity, &Settings::default());

    let list = rank(&model, &Profile::default(), 5, &mut Scratch::default());

    assert_eq!(numbers(&list), [1, 2]);
    assert!(list.iter().all(|item| item.reasons
        == [Reason {
            kind: ReasonKind::Popular,
            share: 0
        }]));
}
