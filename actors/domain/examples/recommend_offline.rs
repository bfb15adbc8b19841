//! Measures the recommender on a data set of courses and purchases: figures, build time and time per list.
//!
//! `cargo run --release -p lyceum-domain --example recommend_offline -- DIR [OUT] [key=value …]`
//!
//! DIR holds `train.tsv`, `items.tsv` and `onboarding.tsv`. Learners whose first purchase falls into the last
//! fifth of the training time are held out: the model is built from everything before, their first purchase
//! gives the interests, and what they bought later is looked for among ten recommendations. `key=value` sets a
//! number of the blend, to search for better defaults. With OUT, ranked lists for the new learners of
//! `onboarding.tsv` are written there, for scoring elsewhere.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool beside the rules: it reads files and clocks, which the rules never do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use lyceum_domain::ids::CourseId;
use lyceum_domain::recommend::{
    Activity, Features, Model, Popularity, Profile, Scratch, Settings, Signal, rank,
};
use lyceum_kernel::Timestamp;

type Purchase = (u64, CourseId, Timestamp);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .ok_or("usage: recommend_offline DIR [OUT] [key=value …]")?;
    let directory = Path::new(&directory);
    let mut settings = Settings::default();
    let mut out = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some((key, value)) => set(&mut settings, key, value.parse()?)?,
            None => out = Some(argument),
        }
    }
    let items = read_items(&directory.join("items.tsv"))?;
    let purchases = read_purchases(&directory.join("train.tsv"))?;
    let mut report = std::io::stdout().lock();

    let mut times: Vec<Timestamp> = purchases.iter().map(|purchase| purchase.2).collect();
    times.sort();
    let cut = times[times.len() * 8 / 10];
    let model = build(
        &items,
        purchases.iter().filter(|purchase| purchase.2 < cut),
        cut,
        &settings,
    );
    held_out(&mut report, &model, &items, &purchases, cut)?;

    let end = times[times.len() - 1];
    let start = Instant::now();
    let model = build(&items, purchases.iter(), end, &settings);
    writeln!(
        report,
        "build {:?} for {} courses",
        start.elapsed(),
        model.course_count()
    )?;
    speed(&mut report, &model, &purchases)?;
    if let Some(out) = out {
        write_lists(Path::new(&out), directory, &model)?;
    }
    Ok(())
}

fn set(settings: &mut Settings, key: &str, value: f32) -> Result<(), Box<dyn Error>> {
    let number = match key {
        "history" => &mut settings.blend.history,
        "interests" => &mut settings.blend.interests,
        "popularity" => &mut settings.blend.popularity,
        "tau" => &mut settings.blend.recency_tau,
        "mmr" => &mut settings.blend.mmr,
        "category" => &mut settings.content.category,
        "tag" => &mut settings.content.tag,
        "level" => &mut settings.content.level,
        "language" => &mut settings.content.other_language,
        "exponent" => &mut settings.content.popularity_exponent,
        "floor" => &mut settings.content.popularity_floor,
        "neighbours" => {
            settings.content.neighbours_max = format!("{value:.0}").parse()?;
            return Ok(());
        }
        "half_life_days" => {
            settings.popularity_half_life = Duration::from_secs_f32(value * 86_400.0);
            return Ok(());
        }
        _ => return Err(format!("unknown key {key}").into()),
    };
    *number = value;
    Ok(())
}

fn read_items(path: &Path) -> Result<Vec<Features>, Box<dyn Error>> {
    let split = |text: &str| {
        text.split('|')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut items = Vec::new();
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [item, title, category, concept, level, language, ..] = columns[..] else {
            continue;
        };
        items.push(Features {
            course: CourseId::from_u128(item.parse()?),
            title: title.to_owned(),
            categories: split(category),
            tags: split(concept),
            level: level.to_owned(),
            language: language.to_owned(),
        });
    }
    Ok(items)
}

fn read_purchases(path: &Path) -> Result<Vec<Purchase>, Box<dyn Error>> {
    let mut purchases = Vec::new();
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [user, item, _, seconds] = columns[..] else {
            continue;
        };
        let at = Timestamp::from_millis(seconds.parse::<i64>()? * 1000);
        purchases.push((user.parse()?, CourseId::from_u128(item.parse()?), at));
    }
    Ok(purchases)
}

fn build<'a>(
    items: &[Features],
    purchases: impl Iterator<Item = &'a Purchase>,
    now: Timestamp,
    settings: &Settings,
) -> Model {
    let mut popularity = Popularity::new(now, settings.popularity_half_life);
    for (_, course, at) in purchases {
        popularity.add(*course, *at, 1.0);
    }
    Model::build(1, items.to_vec(), &popularity, settings)
}

fn bought(course: CourseId, at: Timestamp) -> Signal {
    Signal {
        id: None,
        activity: Activity::Purchase,
        course,
        at,
        value: 0.0,
    }
}

/// The share of held-out learners who find a later purchase among ten recommendations.
fn held_out(
    report: &mut impl Write,
    model: &Model,
    items: &[Features],
    purchases: &[Purchase],
    cut: Timestamp,
) -> Result<(), Box<dyn Error>> {
    let known: BTreeMap<CourseId, &Features> = items.iter().map(|item| (item.course, item)).collect();
    let mut histories: BTreeMap<u64, Vec<(Timestamp, CourseId)>> = BTreeMap::new();
    for (user, course, at) in purchases {
        histories.entry(*user).or_default().push((*at, *course));
    }
    let mut scratch = Scratch::default();
    let (mut learners, mut by_interests, mut by_event) = (0_u32, 0_u32, 0_u32);
    let mut shown = BTreeSet::new();
    for history in histories.values_mut() {
        history.sort();
        let (at, first) = history[0];
        if at < cut || history.len() < 2 {
            continue;
        }
        learners += 1;
        let later: BTreeSet<CourseId> = history[1..].iter().map(|(_, course)| *course).collect();
        let interests = &known[&first].categories;
        for (signals, hits) in [
            (vec![], &mut by_interests),
            (vec![bought(first, at)], &mut by_event),
        ] {
            let profile = Profile::restore(interests, [], signals);
            let list = rank(model, &profile, 10, &mut scratch);
            *hits += u32::from(list.iter().any(|item| later.contains(&item.course)));
            shown.extend(list.iter().map(|item| item.course));
        }
    }
    let share = |hits: u32| f64::from(hits) / f64::from(learners.max(1));
    writeln!(
        report,
        "held out {learners}: HR@10 interests {:.4}, and one event {:.4}; {} courses shown",
        share(by_interests),
        share(by_event),
        shown.len()
    )?;
    Ok(())
}

fn speed(report: &mut impl Write, model: &Model, purchases: &[Purchase]) -> Result<(), Box<dyn Error>> {
    let interests = ["development".to_owned(), "business".to_owned()];
    let profiles: Vec<Profile> = purchases
        .chunks(20)
        .take(2_000)
        .map(|chunk| {
            Profile::restore(
                &interests,
                [],
                chunk.iter().map(|(_, course, at)| bought(*course, *at)),
            )
        })
        .collect();
    let mut scratch = Scratch::default();
    let mut times = Vec::with_capacity(profiles.len());
    for profile in &profiles {
        let start = Instant::now();
        let list = rank(model, profile, 20, &mut scratch);
        times.push(start.elapsed());
        assert!(!list.is_empty(), "the catalog has courses");
    }
    times.sort();
    writeln!(
        report,
        "list p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    )?;
    Ok(())
}

fn write_lists(out: &Path, directory: &Path, model: &Model) -> Result<(), Box<dyn Error>> {
    let mut scratch = Scratch::default();
    fs::create_dir_all(out)?;
    let mut files = [
        fs::File::create(out.join("interests.tsv"))?,
        fs::File::create(out.join("one_event.tsv"))?,
    ];
    for line in fs::read_to_string(directory.join("onboarding.tsv"))?
        .lines()
        .skip(1)
    {
        let columns: Vec<&str> = line.split('\t').collect();
        let [user, interests, first, seconds] = columns[..] else {
            continue;
        };
        let interests: Vec<String> = interests.split('|').map(str::to_owned).collect();
        let at = Timestamp::from_millis(seconds.parse::<i64>()? * 1000);
        let first = bought(CourseId::from_u128(first.parse()?), at);
        for (file, signals) in files.iter_mut().zip([vec![], vec![first]]) {
            let list = rank(
                model,
                &Profile::restore(&interests, [], signals),
                20,
                &mut scratch,
            );
            let items: Vec<String> = list
                .iter()
                .map(|item| item.course.as_u128().to_string())
                .collect();
            writeln!(file, "{user}\t{}", items.join(" "))?;
        }
    }
    Ok(())
}
