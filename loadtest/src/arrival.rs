//! When journeys start: an open-loop plan that depends on the seed alone, never on how the target does.
//!
//! Stages and spikes make a rate over time, piecewise linear. Its integral maps time to the expected number of starts;
//! the plan walks that number in unit steps (constant) or exponential steps (Poisson) and maps each back to a time. So a
//! ramp needs no thinning, and the same seed gives the same starts to the nanosecond.
//!
//! Every worker walks the same plan and takes every n-th start, so the plan does not depend on how many workers there are.

use std::time::Duration;

use fastrand::Rng;

/// How starts are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Independently of one another, as many users do.
    Poisson,
    /// Evenly.
    Constant,
}

/// A stretch of time with a rate that changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How long it lasts.
    pub length: Duration,
    /// Starts a second at its beginning.
    pub from: f64,
    /// Starts a second at its end.
    pub to: f64,
}

/// Additional starts for some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// When it begins, since the start of the run.
    pub at: Duration,
    /// How long it lasts.
    pub length: Duration,
    /// Starts a second that are added.
    pub add: f64,
}

/// The rate over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pieces: Vec<Piece>,
    length: Duration,
}

/// A linear piece of the rate, in seconds and starts a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    at: f64,
    length: f64,
    from: f64,
    to: f64,
    /// Expected starts before it.
    before: f64,
}

impl Piece {
    fn starts(&self) -> f64 {
        self.length * f64::midpoint(self.from, self.to)
    }

    /// Returns when so many starts of this piece are expected to have happened.
    fn time_of(&self, starts: f64) -> f64 {
        let slope = (self.to - self.from) / self.length;
        // The root of from·t + slope·t²/2 = starts, in the form that does not cancel when the slope is small.
        let root = (self.from * self.from + 2.0 * slope * starts).max(0.0).sqrt();
        let denominator = self.from + root;
        if denominator > 0.0 {
            self.at + (2.0 * starts / denominator).min(self.length)
        } else {
            self.at
        }
    }
}

impl Profile {
    /// Adds stages, one after the other, and spikes on top.
    #[must_use]
    pub fn new(stages: &[Stage], spikes: &[Spike]) -> Self {
        let length: Duration = stages.iter().map(|stage| stage.length).sum();
        let mut edges: Vec<f64> = spikes
            .iter()
            .flat_map(|spike| [spike.at.as_secs_f64(), (spike.at + spike.length).as_secs_f64()])
            .collect();
        edges.sort_by(f64::total_cmp);

        let mut pieces: Vec<Piece> = Vec::new();
        let (mut stage_at, mut before) = (0.0, 0.0);
        for stage in stages {
            let stage_length = stage.length.as_secs_f64();
            let stage_end = stage_at + stage_length;
            let inner = edges
                .iter()
                .copied()
                .filter(|edge| *edge > stage_at && *edge < stage_end);
            let mut at = stage_at;
            for end in inner.chain([stage_end]) {
                if end <= at {
                    continue;
                }
                let middle = Duration::from_secs_f64(f64::midpoint(at, end));
                let added: f64 = spikes
                    .iter()
                    .filter(|spike| spike.at <= middle && middle < spike.at + spike.length)
                    .map(|spike| spike.add)
                    .sum();
                let rate = |time: f64| {
                    added + stage.from + (stage.to - stage.from) * (time - stage_at) / stage_length
                };
                let piece = Piece {
                    at,
                    length: end - at,
                    from: rate(at),
                    to: rate(end),
                    before,
                };
                before += piece.starts();
                pieces.push(piece);
                at = end;
            }
            stage_at = stage_end;
        }
        Profile { pieces, length }
    }

    /// Makes a profile of one rate.
    #[must_use]
    pub fn flat(rate: f64, length: Duration) -> Self {
        let stage = Stage {
            length,
            from: rate,
            to: rate,
        };
        Profile::new(&[stage], &[])
    }

    /// Multiplies every rate.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        for piece in &mut scaled.pieces {
            piece.from *= factor;
            piece.to *= factor;
            piece.before *= factor;
        }
        scaled
    }

    /// Returns how long starts happen.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Returns how many starts are expected over all.
    #[must_use]
    pub fn starts(&self) -> f64 {
        self.pieces.last().map_or(0.0, |last| last.before + last.starts())
    }

    /// Returns the highest rate.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.pieces
            .iter()
            .flat_map(|piece| [piece.from, piece.to])
            .fold(0.0, f64::max)
    }
}

/// A planned start of a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// When, since the start of the run.
    pub at: Duration,
    /// Which journey of the mix.
    pub journey: usize,
    /// What its choices are drawn from.
    pub seed: u64,
}

/// Every so-manieth start of a plan, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    profile: Profile,
    kind: Kind,
    /// Sums of the weights up to each journey of the mix.
    weights: Vec<f64>,
    rng: Rng,
    /// Expected starts up to the last one.
    walked: f64,
    piece: usize,
    index: u64,
    share: Share,
}

/// Which starts of a plan are taken: `part`, counted from 0, of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { part: 0, of: 1 };

    /// Divides a share further.
    #[must_use]
    pub fn divide(self, part: u64, of: u64) -> Share {
        Share {
            part: self.part + self.of * part,
            of: self.of * of,
        }
    }
}

impl Plan {
    /// Plans the starts of a share; weights are those of the mix.
    #[must_use]
    pub fn new(
        profile: &Profile,
        kind: Kind,
        weights: impl IntoIterator<Item = f64>,
        seed: u64,
        share: Share,
    ) -> Self {
        let sum = |sum: &mut f64, weight: f64| {
            *sum += weight;
            Some(*sum)
        };
        Plan {
            profile: profile.clone(),
            kind,
            weights: weights.into_iter().scan(0.0, sum).collect(),
            rng: Rng::with_seed(seed),
            walked: 0.0,
            piece: 0,
            index: 0,
            share,
        }
    }

    fn step(&mut self) -> Option<Start> {
        self.walked += match self.kind {
            // The first start of a constant plan is half a step in, so that a plan of n starts has n of them.
            Kind::Constant if self.index == 0 => 0.5,
            Kind::Constant => 1.0,
            // `f64` draws from [0, 1): one minus it is never zero.
            Kind::Poisson => -(1.0 - self.rng.f64()).ln(),
        };
        let piece = loop {
            let piece = self.profile.pieces.get(self.piece)?;
            if self.walked < piece.before + piece.starts() {
                break piece;
            }
            self.piece += 1;
        };
        let at = Duration::from_secs_f64(piece.time_of(self.walked - piece.before));
        self.index += 1;
        let seed = self.rng.u64(..);
        let total = self.weights.last().copied().unwrap_or_default();
        let drawn = self.rng.f64() * total;
        let journey = self.weights.partition_point(|sum| *sum <= drawn);
        Some(Start {
            at,
            journey: journey.min(self.weights.len().saturating_sub(1)),
            seed,
        })
    }
}

impl Iterator for Plan {
    type Item = Start;

    fn next(&mut self) -> Option<Start> {
        loop {
            let mine = self.index % self.share.of == self.share.part;
            let start = self.step()?;
            if mine {
                return Some(start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn plan(profile: &Profile, kind: Kind, share: Share) -> Vec<Start> {
        Plan::new(profile, kind, [3.0, 1.0], 7, share).collect()
    }

    #[test]
    fn a_constant_plan_is_even() {
        let starts = plan(&Profile::flat(100.0, seconds(10)), Kind::Constant, Share::WHOLE);

        assert_eq!(starts.len(), 1000);
        assert_eq!(starts[0].at, Duration::from_millis(5));
        for pair in starts.windows(2) {
            let gap = pair[1].at - pair[0].at;
            assert!(
                gap.abs_diff(Duration::from_millis(10)) < Duration::from_micros(1),
                "{gap:?}"
            );
        }
    }

    #[test]
    fn a_poisson_plan_has_gaps_as_variable_as_they_are_long() {
        let starts = plan(&Profile::flat(1000.0, seconds(50)), Kind::Poisson, Share::WHOLE);

        let count = starts.len() as f64;
        // Five standard deviations of a Poisson count of 50,000.
        assert!((count - 50_000.0).abs() < 5.0 * 50_000.0_f64.sqrt(), "{count}");
        let gaps: Vec<f64> = starts
            .windows(2)
            .map(|pair| (pair[1].at - pair[0].at).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variability = variance.sqrt() / mean;
        assert!((variability - 1.0).abs() < 0.03, "{variability}");
    }

    #[test]
    fn ramps_and_spikes_have_the_starts_of_their_area() {
        let ramp = Stage {
            length: seconds(10),
            from: 0.0,
            to: 100.0,
        };
        let flat = Stage {
            length: seconds(10),
            from: 100.0,
            to: 100.0,
        };
        let spike = Spike {
            at: seconds(8),
            length: seconds(4),
            add: 200.0,
        };
        let profile = Profile::new(&[ramp, flat], &[spike]);

        let starts = plan(&profile, Kind::Constant, Share::WHOLE);

        assert!((profile.starts() - 2300.0).abs() < 1e-6);
        assert!((profile.peak() - 300.0).abs() < 1e-6);
        let between = |from, to| {
            let within = |start: &&Start| start.at >= seconds(from) && start.at < seconds(to);
            starts.iter().filter(within).count()
        };
        assert_eq!(between(0, 8), 320);
        assert_eq!(between(8, 12), 180 + 200 + 800);
        assert_eq!(between(12, 20), 800);
    }

    #[test]
    fn a_seed_gives_one_plan_however_it_is_divided() {
        let profile = Profile::flat(200.0, seconds(5));
        let whole = plan(&profile, Kind::Poisson, Share::WHOLE);
        assert_eq!(whole, plan(&profile, Kind::Poisson, Share::WHOLE));

        let half = Share { part: 1, of: 2 };
        let mut parts: Vec<Start> = (0..3)
            .flat_map(|part| plan(&profile, Kind::Poisson, half.divide(part, 3)))
            .chain(plan(&profile, Kind::Poisson, Share { part: 0, of: 2 }))
            .collect();
        parts.sort_by_key(|start| start.at);

        assert_eq!(parts, whole);
    }

    #[test]
    fn journeys_come_by_their_weights() {
        let starts = plan(&Profile::flat(1000.0, seconds(20)), Kind::Constant, Share::WHOLE);

        let first = starts.iter().filter(|start| start.journey == 0).count() as f64;

        assert!((first / starts.len() as f64 - 0.75).abs() < 0.02, "{first}");
    }
}
