//! What canaries tell: for how long a shard was not served, and how many requests failed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::prober::{Fate, Seen};

/// For how long each of these shards was not served from `at` on: until the first canary was answered well, and none that was due later
/// failed; reads and writes both.
///
/// Canaries count that were due before `until` and did not go through the node that was hurt.
#[must_use]
pub fn unserved(
    seen: &[Seen],
    shards: &BTreeSet<u8>,
    hurt: usize,
    at: Instant,
    until: Instant,
) -> BTreeMap<u8, Duration> {
    let mut unserved = BTreeMap::new();
    for write in [false, true] {
        let relevant = seen.iter().filter(|seen| {
            seen.write == write
                && seen.through != hurt
                && seen.due >= at
                && seen.due < until
                && shards.contains(&seen.shard)
        });
        let mut first: BTreeMap<u8, Instant> = BTreeMap::new();
        let mut last: BTreeMap<u8, Instant> = BTreeMap::new();
        for seen in relevant {
            if seen.fate == Fate::Good {
                let first = first.entry(seen.shard).or_insert(seen.ended);
                *first = (*first).min(seen.ended);
            } else {
                let last = last.entry(seen.shard).or_insert(seen.due);
                *last = (*last).max(seen.due);
            }
        }
        for shard in first.keys().chain(last.keys()).copied().collect::<BTreeSet<u8>>() {
            let served = first.get(&shard).copied().unwrap_or(until);
            let served = last.get(&shard).map_or(served, |last| served.max(*last));
            let lasted = served.saturating_duration_since(at);
            let longest = unserved.entry(shard).or_insert(lasted);
            *longest = (*longest).max(lasted);
        }
    }
    unserved
}

/// How many canaries ended how.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// All.
    pub all: usize,
    /// Answered with 503.
    pub busy: usize,
    /// Answered otherwise, but not well.
    pub wrong: usize,
    /// Not answered within two seconds.
    pub silent: usize,
    /// Sent to nodes none of which could be reached.
    pub broken: usize,
}

impl Count {
    /// Counts.
    pub fn of<'a>(seen: impl Iterator<Item = &'a Seen>) -> Self {
        let mut count = Count::default();
        for seen in seen {
            count.all += 1;
            match seen.fate {
                Fate::Good => {}
                Fate::Status(503) => count.busy += 1,
                Fate::Status(_) => count.wrong += 1,
                Fate::Silence => count.silent += 1,
                Fate::Broken => count.broken += 1,
            }
        }
        count
    }

    /// Those that were not answered well.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.busy + self.wrong + self.silent + self.broken
    }

    /// Their part of all, percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        number(self.failed()) * 100.0 / number(self.all.max(1))
    }

    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        format!(
            "{} of {} failed: {} × 503, {} other answers, {} silent, {} unreachable",
            self.failed(),
            self.all,
            self.busy,
            self.wrong,
            self.silent,
            self.broken
        )
    }
}

/// What so many of a hundred do not exceed.
#[must_use]
pub fn percentile(all: &[Duration], of_hundred: usize) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from: Instant, due: u64, took: u64, write: bool, through: usize, fate: Fate) -> Seen {
        let due = from + Duration::from_millis(due);
        Seen {
            shard: 7,
            write,
            due,
            ended: due + Duration::from_millis(took),
            through,
            fate,
        }
    }

    #[test]
    fn a_shard_is_served_again_when_reads_and_writes_are_answered_and_none_fails_later() {
        let at = Instant::now();
        let until = at + Duration::from_secs(5);
        let mut all = vec![
            seen(at, 10, 5, false, 1, Fate::Good),
            // Sent into the node that was hurt: that says nothing of the shard.
            seen(at, 4000, 900, true, 0, Fate::Silence),
            seen(at, 30, 5, true, 1, Fate::Status(503)),
            seen(at, 100, 800, true, 2, Fate::Good),
        ];
        let lasted = |all: &[Seen]| unserved(all, &[7].into(), 0, at, until)[&7];
        assert_eq!(lasted(&all), Duration::from_millis(900));

        all.push(seen(at, 1200, 5, false, 2, Fate::Status(503)));
        assert_eq!(lasted(&all), Duration::from_millis(1200));

        all.retain(|seen| seen.fate != Fate::Good);
        assert_eq!(lasted(&all), Duration::from_secs(5), "never");
    }

    #[test]
    fn failures_are_counted_by_what_the_caller_saw() {
        let at = Instant::now();
        let fates = [
            Fate::Good,
            Fate::Status(503),
            Fate::Status(500),
            Fate::Silence,
            Fate::Broken,
        ];
        let all: Vec<Seen> = fates.map(|fate| seen(at, 0, 1, false, 0, fate)).into();

        let count = Count::of(all.iter());

        assert_eq!((count.all, count.failed(), count.busy), (5, 4, 1));
        assert!((count.percent() - 80.0).abs() < 1e-9);
        assert_eq!(
            percentile(&[Duration::from_secs(1), Duration::from_secs(2)], 50),
            Duration::from_secs(1)
        );
    }
}
