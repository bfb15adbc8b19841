//! The settlement file of a day: every charge and refund that moved money, and what the provider kept of each.
//!
//! ```text
//! settlement,1,2026-11-30                                             format and day (UTC)
//! charge,ch_1,pay_x-1,pay_x,19900,CNY,119,2026-11-30T10:00:00Z        id, key, reference, minor units, currency, fee, time
//! refund,re_1,ref_x-1,ref_x,19900,CNY,0,2026-11-30T11:00:00Z
//! end,2                                                               how many lines lie between
//! ```

use std::fmt::Write;

use crate::book::{Book, State};
use crate::faults::{LineFault, Plan};

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchDay;

/// One line before anything goes wrong with it.
struct Line<'a> {
    kind: &'static str,
    id: &'a str,
    key: &'a str,
    reference: &'a str,
    amount: i64,
    currency: &'a str,
    fee: i64,
    at: &'a str,
}

impl Line<'_> {
    fn write(&self, file: &mut String) {
        let Line {
            kind,
            id,
            key,
            reference,
            amount,
            currency,
            fee,
            at,
        } = self;
        // A reference with a comma or a line's end would be another line.
        let reference: String = reference
            .chars()
            .filter(|character| !character.is_control() && *character != ',')
            .collect();
        let _ = writeln!(
            file,
            "{kind},{id},{key},{reference},{amount},{currency},{fee},{at}"
        );
    }
}

/// Writes the file of a day.
///
/// # Errors
/// The text is no day.
pub(crate) fn file(book: &Book, day: &str, plan: &Plan) -> Result<String, NoSuchDay> {
    let shape = day.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if day.len() != 10 || !shape {
        return Err(NoSuchDay);
    }
    let charges = book
        .charges()
        .iter()
        .filter(|charge| charge.state == State::Succeeded && charge.created_at.starts_with(day))
        .map(|charge| Line {
            kind: "charge",
            id: &charge.id,
            key: &charge.key,
            reference: &charge.order.reference,
            amount: charge.order.amount,
            currency: &charge.order.currency,
            fee: charge.order.amount * plan.settlement.fee_bps / 10_000,
            at: &charge.created_at,
        });
    let refunds = book
        .refunds()
        .iter()
        .filter(|refund| refund.state == State::Succeeded && refund.created_at.starts_with(day))
        .map(|refund| Line {
            kind: "refund",
            id: &refund.id,
            key: &refund.key,
            reference: &refund.order.reference,
            amount: refund.order.amount,
            currency: &refund.order.currency,
            fee: 0,
            at: &refund.created_at,
        });

    let said = if plan.settlement.other_day {
        "2000-01-01"
    } else {
        day
    };
    let mut file = format!("settlement,1,{said}\n");
    let mut lines = 0_u64;
    for (number, mut line) in (0_u64..).zip(charges.chain(refunds)) {
        let copies = match plan.line(number) {
            LineFault::None => 1,
            LineFault::Omitted => 0,
            LineFault::Twice => 2,
            LineFault::Amount => {
                line.amount += 1;
                1
            }
        };
        for _ in 0..copies {
            line.write(&mut file);
            lines += 1;
        }
    }
    if plan.settlement.truncated {
        file.truncate(file.trim_end().len());
    } else {
        let _ = writeln!(file, "end,{lines}");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{ChargeOrder, Fact};
    use crate::tokens::Token;
    use crate::wire::Wire;

    fn book(charges: i64) -> Book {
        let mut book = Book::default();
        book.apply(&Fact::Opened { instance: 1 });
        for number in 1..=charges {
            let order = ChargeOrder {
                amount: number * 1_000,
                currency: "CNY".into(),
                token: if number == 2 { Token::Declined } else { Token::Ok },
                reference: format!("pay_{number},\n"),
                callback_url: None,
                wire: Wire::Sandbox,
            };
            let decided = book.charge(&format!("k{number}"), &order, "2026-11-30T10:00:00Z".into());
            book.apply(&decided.fact.unwrap());
        }
        book
    }

    fn plan(text: &str) -> Plan {
        serde_json::from_str(&format!(r#"{{"settlement":{text}}}"#)).unwrap()
    }

    #[test]
    fn a_file_has_what_moved_money_that_day_and_what_was_kept_of_it() {
        let file = file(&book(3), "2026-11-30", &plan(r#"{"fee_bps":60}"#)).unwrap();

        let lines: Vec<&str> = file.lines().collect();
        assert_eq!(lines[0], "settlement,1,2026-11-30");
        assert_eq!(
            lines[1],
            "charge,ch_0000000100000001,k1,pay_1,1000,CNY,6,2026-11-30T10:00:00Z"
        );
        assert!(lines[2].starts_with("charge,ch_0000000100000003,k3,pay_3,3000,CNY,18,"));
        assert_eq!(lines[3..], ["end,2"]);
    }

    #[test]
    fn another_day_is_empty_and_what_is_no_day_has_no_file() {
        let nothing = Plan::default();

        assert_eq!(
            file(&book(3), "2026-12-01", &nothing).unwrap(),
            "settlement,1,2026-12-01\nend,0\n"
        );
        for day in ["", "2026-11-3", "2026/11/30", "2026-11-30T", "20261-1-30"] {
            assert_eq!(file(&book(1), day, &nothing), Err(NoSuchDay), "{day}");
        }
    }

    #[test]
    fn a_file_errs_as_it_was_asked_to() {
        let book = book(1);
        let said = |text| file(&book, "2026-11-30", &plan(text)).unwrap();

        assert!(said(r#"{"omitted_pct":100}"#).ends_with("\nend,0\n"));
        assert!(said(r#"{"twice_pct":100}"#).ends_with("\nend,2\n"));
        assert!(said(r#"{"amount_pct":100}"#).contains(",1001,CNY,"));
        assert!(said(r#"{"other_day":true}"#).starts_with("settlement,1,2000-01-01\n"));
        assert!(!said(r#"{"truncated":true}"#).contains("end"));
    }
}
