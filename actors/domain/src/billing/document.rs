//! Invoices and credit notes (红冲): what a fulfilled order, or a refund of it, looks like on paper.
//!
//! One invoice for each fulfilled order that cost something, one credit note for each refund of such an order. Each
//! bears a [`Number`] of its series, which is a year and a kind; the numbers of a series have no gaps. Prices contain
//! the tax, so a document takes it out of what was paid and never adds to it.
//!
//! Invariants: a document's lines add up to its total, and their taxes to its tax; all credit notes of an invoice
//! together never exceed it, in money or in tax, and a whole refund takes back exactly both.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CourseId, UserId};

/// Digits that a number is filled up to.
const DIGITS: usize = 6;
/// The whole, in basis points.
const WHOLE_BPS: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What was sold.
    Invoice,
    /// What was taken back of it.
    CreditNote,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::Invoice, Kind::CreditNote];

    /// The name in tables and answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invoice => "invoice",
            Kind::CreditNote => "credit_note",
        }
    }

    /// What numbers of this kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Invoice => "INV",
            Kind::CreditNote => "CRN",
        }
    }
}

/// A row of numbers without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What is numbered.
    pub kind: Kind,
    /// The year of issue, where the seller is.
    pub year: u16,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:04}", self.kind.prefix(), self.year)
    }
}

/// The number of a document: `INV-2026-000001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// Of which series.
    pub series: Series,
    /// From 1; 0 is the number of none.
    pub number: u32,
}

/// A text is not the number of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number looks like INV-2026-000001 or CRN-2026-000001")]
pub struct NumberError;

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:0DIGITS$}", self.series, self.number)
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let mut parts = text.split('-');
        let (Some(prefix), Some(year), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NumberError);
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.prefix() == prefix);
        let parsed = Number {
            series: Series {
                kind: kind.ok_or(NumberError)?,
                year: year.parse().map_err(|_| NumberError)?,
            },
            number: number.parse().map_err(|_| NumberError)?,
        };
        // One document, one way to write it.
        (parsed.to_string() == text).then_some(parsed).ok_or(NumberError)
    }
}

/// One line of a document; every amount in minor units, negative on a credit note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentLine {
    /// What was sold.
    pub course_id: CourseId,
    /// Its title when it was sold.
    pub title: Arc<str>,
    /// Its list price.
    pub price: i64,
    /// What was taken off.
    pub discount: i64,
    /// What was paid, tax included.
    pub net: i64,
    /// The tax in it.
    pub tax: i64,
    /// Who earns.
    pub creator: UserId,
    /// What they earn, by the share that was frozen with the order.
    pub earned: i64,
}

/// An invoice or a credit note, before it has its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which of the two.
    pub kind: Kind,
    /// What was paid, or given back (negative), tax included.
    pub total: i64,
    /// The tax in it.
    pub tax: i64,
    /// The rate that it was taken out at, basis points.
    pub tax_bps: u16,
    /// What adds up to it.
    pub lines: Vec<DocumentLine>,
}

impl Document {
    /// The invoice of what was sold, its taxes not known yet; `None` if it cost nothing.
    pub fn invoice(mut sold: Vec<DocumentLine>, tax_bps: u16) -> Option<Self> {
        let nets: Vec<i64> = sold.iter().map(|line| line.net).collect();
        for (line, tax) in sold.iter_mut().zip(taxes_in(&nets, tax_bps)) {
            line.tax = tax;
        }
        nets.iter()
            .any(|net| *net > 0)
            .then(|| Document::of(Kind::Invoice, tax_bps, sold))
    }

    /// The credit note of a refund: `returned` is what went back of each line, `credited` what earlier credit notes have
    /// taken back of each line already, as money and tax (negative).
    ///
    /// Tax and earnings are those of everything that went back of a line so far, less what earlier credit notes have, so
    /// that rounding never adds up: once a line is returned, its invoice and its credit notes add up to zero. Earnings are
    /// rounded as the ledger rounds what a creator gives back.
    pub fn credit_note(
        lines: &[DocumentLine],
        tax_bps: u16,
        credited: &[(i64, i64)],
        returned: &[i64],
    ) -> Option<Self> {
        let mut notes = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let &net = returned.get(index)?;
            let (before, tax_before) = credited.get(index).copied().unwrap_or((0, 0));
            if net == 0 {
                continue;
            }
            let back = net - before;
            let tax_of_all = proportion(line.tax, back, line.net);
            let earned = earned_back(line, back) - earned_back(line, -before);
            let whole = net == line.net;
            notes.push(DocumentLine {
                course_id: line.course_id,
                title: line.title.clone(),
                // A part of a line has no list price: it is what it is.
                price: if whole { -line.price } else { -net },
                discount: if whole { -line.discount } else { 0 },
                net: -net,
                tax: -(tax_of_all + tax_before),
                creator: line.creator,
                earned: -earned,
            });
        }
        (!notes.is_empty()).then(|| Document::of(Kind::CreditNote, tax_bps, notes))
    }

    fn of(kind: Kind, tax_bps: u16, lines: Vec<DocumentLine>) -> Self {
        Document {
            kind,
            total: lines.iter().map(|line| line.net).sum(),
            tax: lines.iter().map(|line| line.tax).sum(),
            tax_bps,
            lines,
        }
    }
}

/// The tax that amounts contain, as a whole rounded half up, shared out by largest remainder: the sum is the tax of the sum.
pub fn taxes_in(amounts: &[i64], tax_bps: u16) -> Vec<i64> {
    let (rate, whole) = (i128::from(tax_bps), i128::from(WHOLE_BPS) + i128::from(tax_bps));
    let sum: i128 = amounts.iter().map(|amount| i128::from(*amount)).sum();
    let total = (2 * sum * rate + whole) / (2 * whole);
    let exact = |amount: &i64| i128::from(*amount) * rate;
    let mut shares: Vec<i128> = amounts.iter().map(|amount| exact(amount) / whole).collect();
    let left = total - shares.iter().sum::<i128>();
    let mut order: Vec<usize> = (0..amounts.len()).collect();
    // The earlier line first where remainders are equal, so that the outcome is one.
    order.sort_by_key(|index| std::cmp::Reverse(exact(&amounts[*index]) % whole));
    for index in order.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[index] += 1;
    }
    shares
        .into_iter()
        // A tax is less than its amount.
        .map(|share| i64::try_from(share).unwrap_or(i64::MAX))
        .collect()
}

/// What the creator of a line has given back once `returned` of it has gone back: rounded down.
fn earned_back(line: &DocumentLine, returned: i64) -> i64 {
    if line.net == 0 {
        return 0;
    }
    let back = i128::from(line.earned) * i128::from(returned) / i128::from(line.net);
    i64::try_from(back).unwrap_or(i64::MAX)
}

/// `part / of` of an amount, rounded half up; all of it for the whole.
fn proportion(amount: i64, part: i64, of: i64) -> i64 {
    if of == 0 {
        return 0;
    }
    let (amount, part, of) = (i128::from(amount), i128::from(part), i128::from(of));
    i64::try_from((2 * amount * part + of) / (2 * of)).unwrap_or(i64::MAX)
}

/// An amount in renminbi as documents spell it, which nobody can add a digit to: 19900 is 壹佰玖拾玖元整.
pub fn spelled(amount: i64) -> String {
    const NUMERALS: [char; 10] = ['零', '壹', '贰', '叁', '肆', '伍', '陆', '柒', '捌', '玖'];
    const PLACES: [&str; 4] = ["", "拾", "佰", "仟"];
    const GROUPS: [&str; 4] = ["", "万", "亿", "万亿"];
    let cents = amount.unsigned_abs();
    let (yuan, jiao, fen) = (cents / 100, cents / 10 % 10, cents % 10);
    let numeral = |digit: u64| NUMERALS[usize::try_from(digit % 10).unwrap_or(0)];
    let mut text = String::new();
    if amount < 0 {
        text.push('负');
    }
    let digits: Vec<u64> = yuan
        .to_string()
        .bytes()
        .map(|byte| u64::from(byte - b'0'))
        .collect();
    // A zero is spoken once, and only if something follows it.
    let (mut zero, mut spoken) = (false, false);
    for (index, digit) in digits.iter().enumerate() {
        let place = digits.len() - 1 - index;
        if *digit == 0 {
            zero = true;
        } else {
            if zero && spoken {
                text.push('零');
            }
            (zero, spoken) = (false, true);
            text.push(numeral(*digit));
            text.push_str(PLACES[place % 4]);
        }
        // The (up to four) digits that end here.
        let group = &digits[index.saturating_sub(3)..=index];
        if place > 0 && place.is_multiple_of(4) && group.iter().any(|one| *one > 0) {
            text.push_str(GROUPS[(place / 4) % GROUPS.len()]);
        }
    }
    if yuan > 0 {
        text.push('元');
    }
    match (jiao, fen) {
        (0, 0) if yuan == 0 => text.push_str("零元整"),
        (0, 0) => text.push('整'),
        (0, fen) => {
            if yuan > 0 {
                text.push('零');
            }
            text.push(numeral(fen));
            text.push('分');
        }
        (jiao, 0) => {
            text.push(numeral(jiao));
            text.push_str("角整");
        }
        (jiao, fen) => {
            text.push(numeral(jiao));
            text.push('角');
            text.push(numeral(fen));
            text.push('分');
        }
    }
    text
}

/// The calendar where a seller is: documents bear its days and years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Hours ahead of UTC, all year round.
    pub hours_ahead: i8,
}

impl Calendar {
    /// The number of the day, counted from 1970-01-01.
    pub fn day(self, at: Timestamp) -> i32 {
        let ahead = at.as_millis() + i64::from(self.hours_ahead) * 3_600_000;
        i32::try_from(ahead.div_euclid(DAY_MS)).unwrap_or(i32::MAX)
    }

    /// The day as people write it: `2026-11-30`.
    pub fn date(self, at: Timestamp) -> String {
        date_of(self.day(at))
    }

    /// The year.
    pub fn year(self, at: Timestamp) -> u16 {
        self.date(at)[..4].parse().unwrap_or(u16::MAX)
    }
}

/// The day of this number as people write it.
pub fn date_of(day: i32) -> String {
    let text = Timestamp::from_millis(i64::from(day) * DAY_MS).to_string();
    text[..10].to_owned()
}
