//! The search for the stack's settings, inside the part before a data set's moment.
//!
//! Flow: the last share of the training events becomes a test of its own; starting from settings, one number after
//! another is stepped up or down its scale for as long as that helps (coordinate ascent), over all numbers until a whole
//! round improves nothing. What is maximised is NDCG@10 of known learners plus the share of the stream's events that were
//! among ten, each against its value at the start. No randomness: the same data give the same settings.

use super::super::models::{Histories, Stack};
use super::models::{ModelSettings, stack};
use super::{Dataset, metrics, prequential, stationary};

/// Rounds over all numbers at most.
const ROUNDS_MAX: usize = 3;
/// A gain below this is noise.
const GAIN_MIN: f64 = 0.001;

/// One number that is searched.
struct Knob {
    name: &'static str,
    /// Values, in order.
    scale: &'static [f32],
    of: fn(&mut ModelSettings) -> &mut f32,
    /// Whether the trained model depends on it.
    retrains: bool,
}

const DAY: f32 = 86_400.0;

/// Cheap numbers come before those that need another training.
const KNOBS: [Knob; 9] = [
    Knob {
        name: "steps",
        scale: &[0.0, 0.2, 0.4, 0.8, 1.5, 3.0],
        of: |it| &mut it.stack.steps,
        retrains: false,
    },
    Knob {
        name: "transitions.recency_tau",
        scale: &[0.7, 1.5, 3.0, 6.0, 12.0],
        of: |it| &mut it.stack.transitions.recency_tau,
        retrains: false,
    },
    Knob {
        name: "transitions.shrinkage",
        scale: &[1.0, 5.0, 15.0, 50.0, 150.0],
        of: |it| &mut it.stack.transitions.shrinkage,
        retrains: false,
    },
    Knob {
        name: "transitions.half_life_seconds",
        scale: &[
            7.0 * DAY,
            15.0 * DAY,
            30.0 * DAY,
            60.0 * DAY,
            120.0 * DAY,
            240.0 * DAY,
            480.0 * DAY,
        ],
        of: |it| &mut it.stack.transitions.half_life_seconds,
        retrains: false,
    },
    Knob {
        name: "ease.recency_tau",
        scale: &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
        of: |it| &mut it.stack.ease.recency_tau,
        retrains: false,
    },
    Knob {
        name: "popularity",
        scale: &[0.0, 0.1, 0.2, 0.3, 0.5, 0.8],
        of: |it| &mut it.stack.popularity,
        retrains: false,
    },
    Knob {
        name: "content",
        scale: &[0.0, 0.1, 0.2, 0.3, 0.5],
        of: |it| &mut it.stack.content,
        retrains: false,
    },
    Knob {
        name: "ease.regularization",
        scale: &[25.0, 50.0, 100.0, 200.0, 400.0],
        of: |it| &mut it.stack.ease.regularization,
        retrains: true,
    },
    Knob {
        name: "ease.side",
        scale: &[0.0, 2.0, 5.0, 10.0, 20.0],
        of: |it| &mut it.stack.ease.side,
        retrains: true,
    },
];

/// One step that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The number.
    pub name: &'static str,
    /// Its new value.
    pub value: f32,
    /// NDCG@10 of known learners with it.
    pub ndcg_10: f64,
    /// Share of the stream's events among ten with it.
    pub hit_10: f64,
}

/// Searches from `start` on the last `1 - share` of the events before the moment; tells what helped, in order.
pub fn search(dataset: &Dataset, share: f64, start: &ModelSettings) -> (ModelSettings, Vec<Step>) {
    let inner = dataset.inner(share);
    let histories = inner.histories();
    let mut settings = start.clone();
    let mut steps = Vec::new();
    let Some(mut trained) = stack(&inner, &histories, &settings) else {
        return (settings, steps);
    };
    let first = figures(&inner, &histories, &trained);
    let worth = |(ndcg, hit): (f64, f64)| {
        let part = |now: f64, then: f64| if then > 0.0 { now / then } else { now };
        f64::midpoint(part(ndcg, first.0), part(hit, first.1))
    };
    let mut best = worth(first);
    for _ in 0..ROUNDS_MAX {
        let before = best;
        for knob in &KNOBS {
            for up in [true, false] {
                while let Some(value) = neighbour(knob.scale, *(knob.of)(&mut settings), up) {
                    let mut tried = settings.clone();
                    *(knob.of)(&mut tried) = value;
                    let other = if knob.retrains {
                        stack(&inner, &histories, &tried)
                    } else {
                        Some(trained.retuned(&histories, &tried.stack))
                    };
                    let Some(other) = other else { break };
                    let found = figures(&inner, &histories, &other);
                    if worth(found) < best + GAIN_MIN {
                        break;
                    }
                    best = worth(found);
                    (settings, trained) = (tried, other);
                    steps.push(Step {
                        name: knob.name,
                        value,
                        ndcg_10: found.0,
                        hit_10: found.1,
                    });
                }
            }
        }
        if best <= before {
            break;
        }
    }
    (settings, steps)
}

/// The next value of a scale above or below this one.
fn neighbour(scale: &[f32], value: f32, up: bool) -> Option<f32> {
    if up {
        scale.iter().copied().find(|step| *step > value)
    } else {
        scale.iter().rev().copied().find(|step| *step < value)
    }
}

fn figures(inner: &Dataset, histories: &Histories, trained: &Stack) -> (f64, f64) {
    let lists = stationary(inner, histories, &mut trained.clone(), 20);
    let known = metrics::quality(&lists, &inner.test, histories);
    let lists = prequential(inner, histories, &mut trained.clone(), 10);
    (known.all.ndcg_10, metrics::hits(&lists, inner).all.hit_10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_walked_from_wherever_one_stands() {
        let scale = [1.0, 2.0, 4.0];

        assert_eq!(neighbour(&scale, 2.0, true), Some(4.0));
        assert_eq!(neighbour(&scale, 3.0, false), Some(2.0));
        assert_eq!(neighbour(&scale, 4.0, true), None);
        assert_eq!(neighbour(&scale, 1.0, false), None);
    }
}
