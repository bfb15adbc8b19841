//! Tests of ranking on a catalog of a dozen courses.

use lyceum_kernel::{Aggregate, Timestamp};

use super::*;
use crate::ids::UserId;
use crate::recommend::{Activity, Command, Features, Observation, Settings, Takings, Trained};

fn course(number: u128) -> CourseId {
    CourseId::from_u128(number)
}

/// Courses 1–4 are about Rust, 5–8 about painting, 9–12 about cooking.
fn features() -> Vec<Features> {
    let subjects = ["rust programming", "watercolour painting", "italian cooking"];
    (1..=12_usize)
        .map(|number| {
            let subject = subjects[(number - 1) / 4];
            Features {
                title: format!("{subject} part{}", number % 4 / 2),
                categories: vec![subject.split(' ').next_back().expect("a word").to_owned()],
                ..Features::new(course(number as u128))
            }
        })
        .collect()
}

/// A model of these courses, each of which so many learners took up.
fn model_of(features: Vec<Features>, learners: impl Fn(u128) -> u128, settings: &Settings) -> Model {
    let mut takings = Takings::new(features.iter().map(|feature| feature.course), 0.5);
    for feature in &features {
        let number = feature.course.as_u128();
        for learner in 0..learners(number) {
            let learner = UserId::from_u128(number * 100 + learner);
            takings.push(learner, feature.course, Timestamp::EPOCH, 1.0);
        }
    }
    let trained = Trained::train(features.clone(), &takings.finish(), settings).expect("trained");
    Model::build(1, features, &trained, settings)
}

/// Course 12 is the most popular, then 11 and so on.
fn model() -> Model {
    model_of(features(), |number| number, &Settings::default())
}

/// As well, and learners of course 1 went on to painting with course 6.
fn model_with_steps() -> Model {
    let settings = Settings::default();
    let mut takings = Takings::new((1..=12).map(course), 0.5);
    for learner in 0..200 {
        for (second, number) in [(0, 1), (1, 6)] {
            let at = Timestamp::from_millis(second * 1_000);
            takings.push(UserId::from_u128(learner), course(number), at, 1.0);
        }
    }
    let trained = Trained::train(features(), &takings.finish(), &settings).expect("trained");
    Model::build(1, features(), &trained, &settings)
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
fn without_anything_personal_a_list_is_a_strangers_without_what_is_hidden() {
    let mut learner = profile(&[(Activity::View, 1), (Activity::Complete, 12)], &["painting"]);
    for event in learner
        .decide(Command::Personalise { personal: false }, Timestamp::EPOCH)
        .expect("accepted")
    {
        learner.apply(&event);
    }

    let listed = list(&learner, 12);

    assert!(
        listed.iter().all(|item| item.source == Source::Popular),
        "{listed:?}"
    );
    let mut strangers = numbers(&list(&Profile::default(), 12));
    strangers.retain(|number| *number != 12);
    let mut courses = numbers(&listed);
    assert_eq!(courses[0], 11, "the most popular of the others");
    courses.sort_unstable();
    strangers.sort_unstable();
    assert_eq!(courses, strangers);
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
    assert_eq!(list[0].reasons[0].kind, ReasonKind::Studied(course(1)));
}

#[test]
fn what_learners_like_this_one_went_on_to_comes_first_and_is_told_as_learned() {
    let learner = profile(&[(Activity::Complete, 1)], &[]);

    let list = rank(&model_with_steps(), &learner, 3, &mut Scratch::default());

    assert_eq!((list[0].course, list[0].source), (course(6), Source::Trained));
    assert_eq!(list[0].reasons[0].kind, ReasonKind::Studied(course(1)));
}

#[test]
fn without_the_course_that_is_named_the_score_is_lower() {
    let score = |events: &[(Activity, u128)]| {
        let list = rank(
            &model_with_steps(),
            &profile(events, &[]),
            12,
            &mut Scratch::default(),
        );
        let item = list.iter().find(|item| item.course == course(6));
        item.expect("listed").score
    };

    assert!(score(&[(Activity::Complete, 1), (Activity::View, 9)]) > score(&[(Activity::View, 9)]));
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
    let mut settings = Settings::default();
    settings.lists.relevance = 0.5;
    let model = model_of(features(), |number| number, &settings);

    let listed = numbers(&rank(&model, &Profile::default(), 3, &mut Scratch::default()));

    // By popularity alone it would be cooking three times.
    assert!(listed.iter().any(|number| *number < 9), "{listed:?}");
}

#[test]
fn an_empty_catalog_gives_an_empty_list() {
    let model = Model::build(1, vec![], &Trained::default(), &Settings::default());

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
    let features = vec![Features::new(course(1)), Features::new(course(2))];
    let model = Model::build(1, features, &Trained::default(), &Settings::default());

    let list = rank(&model, &Profile::default(), 5, &mut Scratch::default());

    assert_eq!(numbers(&list), [1, 2]);
    assert!(list.iter().all(|item| item.reasons
        == [Reason {
            kind: ReasonKind::Popular,
            share: 0
        }]));
}
