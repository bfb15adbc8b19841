//! Faults on request: which answers are lost, which callbacks come late, twice, altered or never, what a settlement file gets wrong.
//!
//! A [`Plan`] is set while the provider runs and ends with the process. What happens to the n-th answer or callback is drawn from the plan's
//! seed and n alone, so that the same plan does the same to the same sequence. Every rate and pause is bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest pause that can be asked for: longer than any client waits.
const PAUSE_MS_MAX: u64 = 120_000;
/// The most copies of one callback.
const COPIES_MAX: u32 = 10;
/// The highest fee, basis points of the amount: a tenth.
const FEE_BPS_MAX: i64 = 1_000;

/// What goes wrong how often, in percent; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plan {
    /// What everything is drawn from.
    pub(crate) seed: u64,
    pub(crate) answers: AnswerRates,
    pub(crate) callbacks: CallbackRates,
    /// Charges that their payer disputes.
    pub(crate) disputes_pct: u64,
    pub(crate) settlement: SettlementRates,
}

/// How answers to requests about charges and refunds fail. One answer fails in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AnswerRates {
    /// Work is done and the connection dropped.
    pub(crate) lost_pct: u64,
    /// Answered with 503, half of them after the work was done.
    pub(crate) error_pct: u64,
    /// Answered after `stall_ms`.
    pub(crate) stall_pct: u64,
    pub(crate) stall_ms: u64,
}

/// How callbacks fail. One event fails in one way, beside being sent `copies` times within `shuffle_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CallbackRates {
    pub(crate) copies: u32,
    /// Each copy is sent within so many milliseconds, so that copies and events change places.
    pub(crate) shuffle_ms: u64,
    /// Sent `late_ms` later.
    pub(crate) late_pct: u64,
    pub(crate) late_ms: u64,
    /// Never sent.
    pub(crate) missing_pct: u64,
    /// Sent with somebody else's signature only.
    pub(crate) forged_pct: u64,
    /// Sent with the signature of an hour ago only.
    pub(crate) old_pct: u64,
}

impl Default for CallbackRates {
    fn default() -> Self {
        CallbackRates {
            copies: 1,
            shuffle_ms: 0,
            late_pct: 0,
            late_ms: 0,
            missing_pct: 0,
            forged_pct: 0,
            old_pct: 0,
        }
    }
}

/// What a settlement file says, and gets wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SettlementRates {
    /// What the provider keeps of each charge, basis points.
    pub(crate) fee_bps: i64,
    /// Lines that are left out.
    pub(crate) omitted_pct: u64,
    /// Lines with another amount.
    pub(crate) amount_pct: u64,
    /// Lines that are there twice.
    pub(crate) twice_pct: u64,
    /// The end is missing.
    pub(crate) truncated: bool,
    /// It is the file of the day before.
    pub(crate) other_day: bool,
}

impl Plan {
    /// What is wrong with the plan, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let Plan {
            answers,
            callbacks,
            settlement,
            ..
        } = self;
        let shares = [
            [answers.lost_pct, answers.error_pct, answers.stall_pct, 0],
            [
                callbacks.late_pct,
                callbacks.missing_pct,
                callbacks.forged_pct,
                callbacks.old_pct,
            ],
            [
                settlement.omitted_pct,
                settlement.amount_pct,
                settlement.twice_pct,
                0,
            ],
            [self.disputes_pct, 0, 0, 0],
        ];
        let pauses = [answers.stall_ms, callbacks.shuffle_ms, callbacks.late_ms];
        if shares
            .iter()
            .any(|group| group.iter().fold(0_u64, |sum, share| sum.saturating_add(*share)) > 100)
        {
            Some("rates of one kind add up to 100 percent at most")
        } else if pauses.iter().any(|pause| *pause > PAUSE_MS_MAX) {
            Some("a pause is at most 120,000 milliseconds")
        } else if !(1..=COPIES_MAX).contains(&callbacks.copies) {
            Some("a callback is sent 1 to 10 times")
        } else if !(0..=FEE_BPS_MAX).contains(&settlement.fee_bps) {
            Some("a fee is 0 to 1,000 basis points")
        } else {
            None
        }
    }
}

/// What happens to one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    /// Nothing.
    None,
    /// Dropped after the work is done.
    Lost,
    /// 503 instead of any work.
    ErrorBefore,
    /// 503 after the work is done.
    ErrorAfter,
    /// Answered later.
    Stall(Duration),
}

/// One sending of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(crate) after: Duration,
    pub(crate) manner: Manner,
}

/// How a callback is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should be.
    True,
    /// By somebody else.
    Forged,
    /// An hour ago.
    Old,
}

/// What a settlement file does with one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// Says it.
    None,
    /// Leaves it out.
    Omitted,
    /// Says another amount.
    Amount,
    /// Says it twice.
    Twice,
}

/// What is drawn for; each has a sequence of its own.
#[derive(Clone, Copy)]
enum Purpose {
    Answer = 1,
    Callback = 2,
    Shuffle = 3,
    Dispute = 4,
    Line = 5,
}

/// What has happened under the plans so far.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) answers_lost: AtomicU64,
    pub(crate) answers_failed: AtomicU64,
    pub(crate) answers_stalled: AtomicU64,
    pub(crate) callbacks_acknowledged: AtomicU64,
    pub(crate) callbacks_late: AtomicU64,
    pub(crate) callbacks_missing: AtomicU64,
    pub(crate) forged_refused: AtomicU64,
    pub(crate) forged_accepted: AtomicU64,
    pub(crate) old_refused: AtomicU64,
    pub(crate) old_accepted: AtomicU64,
}

/// The plan in force and its sequences.
#[derive(Default)]
pub(crate) struct Faults {
    plan: RwLock<Plan>,
    answers: AtomicU64,
    callbacks: AtomicU64,
    disputes: AtomicU64,
    pub(crate) counts: Counts,
}

impl Faults {
    /// The plan in force.
    pub(crate) fn plan(&self) -> Plan {
        self.plan.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a plan in force; its sequences begin anew.
    pub(crate) fn set(&self, plan: Plan) {
        let mut current = self.plan.write().unwrap_or_else(PoisonError::into_inner);
        for sequence in [&self.answers, &self.callbacks, &self.disputes] {
            sequence.store(0, Ordering::Relaxed);
        }
        *current = plan;
    }

    /// What happens to the next answer.
    pub(crate) fn answer(&self) -> AnswerFault {
        let Plan { seed, answers, .. } = self.plan();
        let drawn = draw(
            seed,
            Purpose::Answer,
            self.answers.fetch_add(1, Ordering::Relaxed),
        );
        let (fault, counter) = match pick(drawn, &[answers.lost_pct, answers.error_pct, answers.stall_pct]) {
            Some(0) => (AnswerFault::Lost, &self.counts.answers_lost),
            Some(1) if drawn >> 32 & 1 == 0 => (AnswerFault::ErrorBefore, &self.counts.answers_failed),
            Some(1) => (AnswerFault::ErrorAfter, &self.counts.answers_failed),
            Some(_) => (
                AnswerFault::Stall(Duration::from_millis(answers.stall_ms)),
                &self.counts.answers_stalled,
            ),
            None => return AnswerFault::None,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        fault
    }

    /// How the next event is sent, of which the payment method asks for so many copies; not at all if it is to go missing.
    pub(crate) fn callback(&self, copies: u32) -> Vec<Sending> {
        let Plan { seed, callbacks, .. } = self.plan();
        let number = self.callbacks.fetch_add(1, Ordering::Relaxed);
        let drawn = draw(seed, Purpose::Callback, number);
        let rates = [
            callbacks.late_pct,
            callbacks.missing_pct,
            callbacks.forged_pct,
            callbacks.old_pct,
        ];
        let once = |manner| {
            vec![Sending {
                after: Duration::ZERO,
                manner,
            }]
        };
        let late = match pick(drawn, &rates) {
            Some(0) => {
                self.counts.callbacks_late.fetch_add(1, Ordering::Relaxed);
                callbacks.late_ms
            }
            Some(1) => {
                self.counts.callbacks_missing.fetch_add(1, Ordering::Relaxed);
                return Vec::new();
            }
            Some(2) => return once(Manner::Forged),
            Some(_) => return once(Manner::Old),
            None => 0,
        };
        (0..u64::from(copies.max(callbacks.copies)))
            .map(|copy| {
                let shuffle = number.wrapping_mul(u64::from(COPIES_MAX)).wrapping_add(copy);
                let within = draw(seed, Purpose::Shuffle, shuffle) % (callbacks.shuffle_ms + 1);
                Sending {
                    after: Duration::from_millis(late + within),
                    manner: Manner::True,
                }
            })
            .collect()
    }

    /// Whether the next charge is disputed.
    pub(crate) fn disputes(&self) -> bool {
        let Plan {
            seed, disputes_pct, ..
        } = self.plan();
        let number = self.disputes.fetch_add(1, Ordering::Relaxed);
        pick(draw(seed, Purpose::Dispute, number), &[disputes_pct]).is_some()
    }
}

impl Plan {
    /// What the file does with its n-th line: the same each time it is asked for.
    pub(crate) fn line(&self, number: u64) -> LineFault {
        let SettlementRates {
            omitted_pct,
            amount_pct,
            twice_pct,
            ..
        } = self.settlement;
        match pick(
            draw(self.seed, Purpose::Line, number),
            &[omitted_pct, amount_pct, twice_pct],
        ) {
            Some(0) => LineFault::Omitted,
            Some(1) => LineFault::Amount,
            Some(_) => LineFault::Twice,
            None => LineFault::None,
        }
    }
}

/// Which of the shares of a hundred a draw falls into, if into any.
fn pick(drawn: u64, shares: &[u64]) -> Option<usize> {
    let mut rest = drawn % 100;
    for (index, share) in shares.iter().enumerate() {
        if rest < *share {
            return Some(index);
        }
        rest -= share;
    }
    None
}

/// `SplitMix64` over seed, purpose and number.
fn draw(seed: u64, purpose: Purpose, number: u64) -> u64 {
    let mut mixed = seed
        .wrapping_add((purpose as u64) << 56)
        .wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(plan: &str) -> Faults {
        let plan: Plan = serde_json::from_str(plan).unwrap();
        assert_eq!(plan.problem(), None);
        let faults = Faults::default();
        faults.set(plan);
        faults
    }

    #[test]
    fn nothing_goes_wrong_without_a_plan() {
        let faults = Faults::default();

        for _ in 0..1_000 {
            assert_eq!(faults.answer(), AnswerFault::None);
            assert_eq!(faults.callback(1).len(), 1);
            assert!(!faults.disputes());
        }
    }

    #[test]
    fn the_same_plan_does_the_same_again_and_another_seed_does_not() {
        let plan = r#"{"seed":7,"answers":{"lost_pct":20,"error_pct":5,"stall_pct":5,"stall_ms":10},
            "callbacks":{"copies":3,"shuffle_ms":500,"late_pct":10,"late_ms":2000,"missing_pct":5,"forged_pct":1,"old_pct":1}}"#;
        let run = |text: &str| {
            let faults = faults(text);
            let answers: Vec<_> = (0..500).map(|_| faults.answer()).collect();
            let callbacks: Vec<_> = (0..500).map(|_| faults.callback(1)).collect();
            (answers, callbacks)
        };

        let first = run(plan);

        assert_eq!(first, run(plan));
        assert_ne!(first, run(&plan.replace("\"seed\":7", "\"seed\":8")));
    }

    #[test]
    fn rates_are_kept() {
        let faults = faults(
            r#"{"seed":3,"answers":{"lost_pct":20,"error_pct":5,"stall_pct":5},
                "callbacks":{"copies":3,"missing_pct":5,"forged_pct":1,"old_pct":1}}"#,
        );

        let answers: Vec<_> = (0..10_000).map(|_| faults.answer()).collect();
        let sent: Vec<_> = (0..10_000).map(|_| faults.callback(1)).collect();

        let share = |fault| answers.iter().filter(|answer| **answer == fault).count();
        assert!((1_800..2_200).contains(&share(AnswerFault::Lost)));
        assert!((150..350).contains(&share(AnswerFault::ErrorBefore)));
        assert!((150..350).contains(&share(AnswerFault::ErrorAfter)));
        assert!((400..600).contains(&sent.iter().filter(|sent| sent.is_empty()).count()));
        assert!((120..280).contains(&sent.iter().filter(|sent| sent.len() == 1).count()));
        assert!(sent.iter().all(|sent| [0, 1, 3].contains(&sent.len())));
    }

    #[test]
    fn what_is_beyond_its_bounds_is_refused() {
        for text in [
            r#"{"answers":{"lost_pct":60,"error_pct":41}}"#,
            r#"{"answers":{"stall_ms":120001}}"#,
            r#"{"callbacks":{"copies":0}}"#,
            r#"{"callbacks":{"copies":11}}"#,
            r#"{"callbacks":{"late_pct":18446744073709551615,"old_pct":2}}"#,
            r#"{"settlement":{"fee_bps":-1}}"#,
            r#"{"disputes_pct":101}"#,
        ] {
            let plan: Plan = serde_json::from_str(text).unwrap();
            assert!(plan.problem().is_some(), "{text}");
        }
        assert!(serde_json::from_str::<Plan>(r#"{"lost":1}"#).is_err());
    }
}
