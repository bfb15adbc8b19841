//! Tests of the rules of a profile.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Timestamp {
    Timestamp::EPOCH.plus(DAY * 20_000)
}

fn course(number: u128) -> CourseId {
    CourseId::from_u128(number)
}

fn event(id: u32, activity: Activity, number: u128) -> Observation {
    Observation {
        id: Some(id),
        activity,
        course: course(number),
        at: None,
        value: None,
    }
}

fn act(profile: &mut Profile, command: Command) -> Result<(), Error> {
    for event in profile.decide(command, now())? {
        profile.apply(&event);
    }
    Ok(())
}

fn observe(profile: &mut Profile, events: Vec<Observation>) -> Tally {
    act(profile, Command::Observe { events }).expect("accepted");
    profile.last_tally()
}

#[test]
fn a_repeated_batch_counts_once() {
    let mut profile = Profile::default();
    let batch: Vec<_> = (0..100)
        .map(|n| event(n, Activity::View, u128::from(n)))
        .collect();

    let first = observe(&mut profile, batch.clone());
    let before = profile.revision();
    let second = observe(&mut profile, batch);

    assert_eq!(
        first,
        Tally {
            accepted: 100,
            ..Tally::default()
        }
    );
    assert_eq!(
        second,
        Tally {
            duplicates: 100,
            ..Tally::default()
        }
    );
    assert_eq!(profile.revision(), before);
}

#[test]
fn a_repetition_inside_one_batch_counts_once() {
    let mut profile = Profile::default();

    let tally = observe(
        &mut profile,
        vec![event(1, Activity::View, 1), event(1, Activity::View, 1)],
    );

    assert_eq!(
        tally,
        Tally {
            accepted: 1,
            duplicates: 1,
            ignored: 0
        }
    );
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let at = |minutes: u64| Some(now().plus(Duration::from_secs(60 * minutes)));
    let events = [
        Observation {
            at: at(1),
            ..event(1, Activity::View, 1)
        },
        Observation {
            at: at(2),
            ..event(2, Activity::Start, 2)
        },
        Observation {
            at: at(3),
            ..event(3, Activity::View, 2)
        },
        Observation {
            at: at(4),
            ..event(4, Activity::Click, 3)
        },
    ];
    let mut expected = Profile::default();
    observe(&mut expected, events.to_vec());

    for shift in 1..4 {
        let mut profile = Profile::default();
        let mut shuffled = events.clone();
        shuffled.rotate_left(shift);
        shuffled.reverse();
        observe(&mut profile, shuffled.to_vec());

        assert_eq!(profile.recent(), expected.recent());
    }
    let courses: Vec<_> = expected.recent().iter().map(|recent| recent.course).collect();
    assert_eq!(courses, [course(3), course(2), course(1)]);
    assert_eq!(expected.recent()[1].activity, Activity::Start);
}

#[test]
fn events_of_the_future_or_of_years_ago_are_ignored() {
    let mut profile = Profile::default();

    let tally = observe(
        &mut profile,
        vec![
            Observation {
                at: Some(now().plus(DAY)),
                ..event(1, Activity::View, 1)
            },
            Observation {
                at: Some(Timestamp::EPOCH),
                ..event(2, Activity::View, 2)
            },
            Observation {
                at: Some(now().plus(Duration::from_secs(60))),
                ..event(3, Activity::View, 3)
            },
        ],
    );

    assert_eq!(
        tally,
        Tally {
            accepted: 1,
            duplicates: 0,
            ignored: 2
        }
    );
}

#[test]
fn ratings_that_are_no_ratings_are_refused_and_change_nothing() {
    for value in [None, Some(f64::NAN), Some(0.0), Some(5.5), Some(f64::INFINITY)] {
        let mut profile = Profile::default();
        let rating = Observation {
            value,
            ..event(2, Activity::Rate, 2)
        };

        let refused = act(
            &mut profile,
            Command::Observe {
                events: vec![event(1, Activity::View, 1), rating],
            },
        );

        assert_eq!(refused, Err(Error::ValueOutOfRange { position: 1 }));
        assert_eq!(profile, Profile::default());
    }
}

#[test]
fn a_batch_above_the_limit_is_refused() {
    let mut profile = Profile::default();
    let events = (0..101).map(|n| event(n, Activity::View, 1)).collect();

    assert_eq!(
        act(&mut profile, Command::Observe { events }),
        Err(Error::TooManyEvents)
    );
}

#[test]
fn owned_completed_and_dismissed_courses_are_excluded() {
    let mut profile = Profile::default();

    observe(
        &mut profile,
        vec![event(1, Activity::Complete, 1), event(2, Activity::Dismiss, 2)],
    );
    act(&mut profile, Command::Exclude { course: course(3) }).expect("accepted");

    let mut excluded: Vec<_> = profile.excluded().collect();
    excluded.sort();
    assert_eq!(excluded, [course(1), course(2), course(3)]);
}

#[test]
fn a_refund_forgets_the_purchase_and_nothing_else() {
    let mut profile = Profile::default();
    observe(&mut profile, vec![event(1, Activity::Dismiss, 2)]);
    act(&mut profile, Command::Exclude { course: course(1) }).expect("accepted");
    let before = profile.revision();

    act(&mut profile, Command::Exclude { course: course(1) }).expect("accepted");
    assert_eq!(profile.revision(), before, "a repeated purchase is known");
    act(&mut profile, Command::Include { course: course(1) }).expect("accepted");
    act(&mut profile, Command::Include { course: course(2) }).expect("accepted");

    assert_eq!(profile.excluded().collect::<Vec<_>>(), [course(2)]);
    assert_eq!(profile.recent().len(), 1);
}

#[test]
fn interests_become_slugs_without_repetition() {
    let mut profile = Profile::default();
    let interests = ["Web Development", "web-development", "数据 分析"]
        .map(String::from)
        .to_vec();

    act(
        &mut profile,
        Command::SetInterests {
            interests: interests.clone(),
        },
    )
    .expect("accepted");
    let before = profile.revision();
    act(&mut profile, Command::SetInterests { interests }).expect("accepted");

    assert_eq!(profile.interests(), ["web-development", "数据-分析"]);
    assert_eq!(profile.revision(), before);
    for wrong in ["", "--", "x".repeat(65).as_str()] {
        let interests = vec![wrong.to_owned()];
        assert_eq!(
            act(&mut profile, Command::SetInterests { interests }),
            Err(Error::InterestInvalid)
        );
    }
}

#[test]
fn a_profile_of_a_busy_learner_stays_within_two_kibibytes() {
    let mut profile = Profile::default();
    for batch in 0..50_u32 {
        let events = (0..100)
            .map(|n| event(batch * 100 + n, Activity::View, u128::from(batch * 100 + n)))
            .collect();
        observe(&mut profile, events);
    }
    for number in 0..10 {
        act(
            &mut profile,
            Command::Exclude {
                course: course(number),
            },
        )
        .expect("accepted");
    }
    act(
        &mut profile,
        Command::SetInterests {
            interests: vec!["data-science".to_owned(); 3],
        },
    )
    .expect("accepted");

    let bytes = size_of::<Profile>()
        + profile.recent.len() * size_of::<Recent>()
        + profile.seen.len() * size_of::<EventId>()
        + profile.excluded().count() * size_of::<CourseId>()
        + profile
            .interests
            .iter()
            .map(|interest| size_of::<String>() + interest.len())
            .sum::<usize>();
    assert!(bytes <= 2_048, "{bytes}");
}

#[test]
fn a_rebuilt_profile_knows_what_the_facts_say() {
    let signal = Signal {
        id: None,
        activity: Activity::Complete,
        course: course(2),
        at: now(),
        value: 0.0,
    };

    let profile = Profile::restore(true, &["Data".to_owned()], [course(1)], [signal]);

    assert_eq!(profile.interests(), ["data"]);
    assert_eq!(profile.excluded().collect::<Vec<_>>(), [course(1), course(2)]);
    assert_eq!(profile.recent().len(), 1);
}

#[test]
fn profiles_with_different_pasts_have_different_revisions() {
    let view = |number| {
        let mut profile = Profile::default();
        observe(&mut profile, vec![event(1, Activity::View, number)]);
        profile
    };

    assert_eq!(view(1).revision(), view(1).revision());
    assert_ne!(view(1).revision(), view(2).revision());
}

#[test]
fn an_erased_profile_remembers_nothing() {
    let mut profile = Profile::default();
    observe(&mut profile, vec![event(1, Activity::Complete, 1)]);
    act(
        &mut profile,
        Command::SetInterests {
            interests: vec!["data".to_owned()],
        },
    )
    .expect("accepted");

    act(&mut profile, Command::Erase).expect("accepted");

    assert!(profile.recent().is_empty() && profile.interests().is_empty());
    assert_eq!(profile.excluded().count(), 0);
}

#[test]
fn lists_of_whoever_wants_nothing_personal_know_no_history_and_no_interests() {
    let mut profile = Profile::default();
    let observed = Command::Observe {
        events: vec![Observation {
            id: None,
            activity: Activity::Dismiss,
            course: CourseId::from_u128(1),
            at: None,
            value: None,
        }],
    };
    let interests = vec!["Rust".to_owned()];
    let before = profile.revision();

    for command in [
        observed,
        Command::SetInterests { interests },
        Command::Personalise { personal: false },
        Command::Personalise { personal: false },
    ] {
        for event in profile.decide(command, Timestamp::EPOCH).expect("accepted") {
            profile.apply(&event);
        }
    }

    assert!(profile.history().is_empty() && profile.likes().is_empty());
    assert_eq!(
        (profile.recent().len(), profile.interests().len()),
        (1, 1),
        "both are still known"
    );
    assert_eq!(profile.excluded().count(), 1, "what was dismissed stays away");
    assert_ne!(profile.revision(), before);
}

#[test]
fn a_list_cached_for_a_personal_profile_is_no_list_of_a_restored_one_that_is_not() {
    let restored = |personal| Profile::restore(personal, &[], [course(1)], []).revision();

    assert_ne!(restored(true), restored(false));
}

#[test]
fn a_profile_of_an_earlier_release_is_personal() {
    let mut kept = serde_json::to_value(Profile::default()).expect("kept");
    kept.as_object_mut().expect("an object").remove("impersonal");

    let profile: Profile = serde_json::from_value(kept).expect("read");

    assert!(profile.is_personal());
}
