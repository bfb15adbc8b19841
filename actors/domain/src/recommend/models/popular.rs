//! How often each course is taken up lately, the same for everybody.
//!
//! Every event counts 2^(−age / half-life). As with transitions, weights grow with time instead of the old ones fading.

use super::{Histories, Learner, Scorer};

/// What shapes popularity.
#[derive(Clone, Debug)]
pub struct PopularSettings {
    /// After how long an event counts half, in seconds.
    pub half_life_seconds: f32,
}

impl Default for PopularSettings {
    fn default() -> Self {
        PopularSettings {
            half_life_seconds: 30.0 * 86_400.0,
        }
    }
}

/// Decayed counts by course.
#[derive(Clone, Debug)]
pub struct Popular {
    counts: Vec<f64>,
    origin: i64,
    half_life_seconds: f64,
}

impl Popular {
    /// Counts what these histories hold.
    pub fn train(histories: &Histories, settings: &PopularSettings) -> Self {
        let mut popular = Popular {
            counts: vec![0.0; histories.courses()],
            origin: histories.end(),
            half_life_seconds: f64::from(settings.half_life_seconds),
        };
        for taken in histories.iter().flatten() {
            popular.counts[taken.course as usize] += popular.worth(taken.at);
        }
        popular
    }

    /// The counts as of the newest event they were trained with.
    pub fn counts(&self) -> Vec<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "a count needs few digits")]
        let narrow = |count: &f64| *count as f32;
        self.counts.iter().map(narrow).collect()
    }

    fn worth(&self, at: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an age needs few digits")]
        let age = (at - self.origin) as f64;
        (age / self.half_life_seconds).exp2()
    }
}

impl Scorer for Popular {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        let scale = 1.0 / self.worth(learner.now);
        for (score, count) in scores.iter_mut().zip(&self.counts) {
            #[expect(clippy::cast_possible_truncation, reason = "a count needs few digits")]
            let count = (count * scale) as f32;
            *score = count;
        }
    }

    fn learn(&mut self, learner: &Learner<'_>, course: u32) {
        self.counts[course as usize] += self.worth(learner.now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Taken;
    use super::*;

    #[test]
    fn what_many_took_up_long_ago_is_less_popular_than_what_some_take_up_now() {
        let mut histories = Histories::new(3);
        for learner in 0..4 {
            histories.push(learner, Taken { course: 0, at: 0 });
        }
        let now = 90 * 86_400;
        histories.push(4, Taken { course: 1, at: now });
        let mut popular = Popular::train(&histories, &PopularSettings::default());
        let mut scores = [0.0; 3];

        popular.learn(
            &Learner {
                now,
                ..Learner::default()
            },
            2,
        );
        popular.learn(
            &Learner {
                now,
                ..Learner::default()
            },
            2,
        );
        popular.score(
            &Learner {
                now,
                ..Learner::default()
            },
            &mut scores,
        );

        assert!((scores[0] - 0.5).abs() < 1e-6);
        assert!((scores[1] - 1.0).abs() < 1e-6);
        assert!((scores[2] - 2.0).abs() < 1e-6);
    }
}
