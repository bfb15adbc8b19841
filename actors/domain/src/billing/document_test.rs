//! Documents: their numbers, their taxes, and what credit notes take back.

use lyceum_kernel::Timestamp;

use super::document::*;
use crate::ids::{CourseId, UserId};

const DIGITAL_SERVICES: u16 = 600;

fn sold(prices: &[(i64, i64)]) -> Vec<DocumentLine> {
    let line = |(index, (price, discount)): (usize, &(i64, i64))| DocumentLine {
        course_id: CourseId::from_u128(index as u128 + 1),
        title: "从零开始学摄影".into(),
        price: *price,
        discount: *discount,
        net: price - discount,
        tax: 0,
        creator: UserId::from_u128(7),
        earned: (price - discount) * 7 / 10,
    };
    prices.iter().enumerate().map(line).collect()
}

/// What went back so far of each line, in money and in tax.
fn add(credited: &mut [(i64, i64)], note: &Document, lines: &[DocumentLine]) {
    for line in &note.lines {
        let index = lines
            .iter()
            .position(|one| one.course_id == line.course_id)
            .unwrap();
        credited[index].0 += line.net;
        credited[index].1 += line.tax;
    }
}

/// A small generator, so that a failure can be told by its seed.
fn next(seed: &mut u64) -> i64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    i64::try_from(*seed >> 40).unwrap()
}

#[test]
fn numbers_are_written_in_one_way_and_read_back() {
    let number: Number = "INV-2026-000042".parse().unwrap();

    assert_eq!(number.series.kind, Kind::Invoice);
    assert_eq!((number.series.year, number.number), (2026, 42));
    assert_eq!(number.to_string(), "INV-2026-000042");
    assert_eq!(
        "CRN-2027-1234567".parse::<Number>().unwrap().to_string(),
        "CRN-2027-1234567"
    );
    for other in [
        "",
        "INV-2026",
        "INV-2026-42",
        "INV-2026-0000042",
        "INV-2026-+00042",
        "inv-2026-000042",
        "INV-26-000042",
        "INV-2026-000042-1",
        "XYZ-2026-000042",
    ] {
        assert_eq!(other.parse::<Number>(), Err(NumberError), "{other}");
    }
}

#[test]
fn the_tax_is_taken_out_of_the_price_and_never_added_to_it() {
    let invoice = Document::invoice(sold(&[(19_900, 0), (100, 0)]), DIGITAL_SERVICES).unwrap();

    // 200.00 with 6 % in it: 188.68 and 11.32.
    assert_eq!((invoice.total, invoice.tax), (20_000, 1_132));
    assert_eq!((invoice.lines[0].net, invoice.lines[0].tax), (19_900, 1_126));
    assert_eq!((invoice.lines[1].net, invoice.lines[1].tax), (100, 6));
}

#[test]
fn an_order_that_cost_nothing_has_no_invoice() {
    assert_eq!(Document::invoice(sold(&[(500, 500)]), DIGITAL_SERVICES), None);
}

#[test]
fn an_invoice_says_what_was_taken_off_and_what_the_creator_earns() {
    let invoice = Document::invoice(sold(&[(19_900, 4_900)]), DIGITAL_SERVICES).unwrap();

    let line = &invoice.lines[0];
    assert_eq!((line.price, line.discount, line.net), (19_900, 4_900, 15_000));
    assert_eq!(line.earned, 10_500);
}

#[test]
fn taxes_add_up_to_the_tax_of_the_sum_for_any_amounts() {
    for start in 0..500_u64 {
        let mut seed = start;
        let count = 1 + next(&mut seed) % 20;
        let amounts: Vec<i64> = (0..count).map(|_| next(&mut seed) % 100_000).collect();
        let bps = u16::try_from(next(&mut seed) % 2_000).unwrap();

        let taxes = taxes_in(&amounts, bps);

        let sum: i64 = amounts.iter().sum();
        assert_eq!(
            taxes.iter().sum::<i64>(),
            taxes_in(&[sum], bps)[0],
            "seed {start}"
        );
        for (amount, tax) in amounts.iter().zip(&taxes) {
            let exact = amount * i64::from(bps) / (10_000 + i64::from(bps));
            assert!(
                *tax == exact || *tax == exact + 1,
                "seed {start}: {tax} of {amount}"
            );
        }
    }
}

#[test]
fn a_whole_refund_takes_back_exactly_the_invoice() {
    let invoice = Document::invoice(sold(&[(19_900, 100), (333, 0)]), DIGITAL_SERVICES).unwrap();
    let returned: Vec<i64> = invoice.lines.iter().map(|line| line.net).collect();

    let note = Document::credit_note(&invoice.lines, invoice.tax_bps, &[], &returned).unwrap();

    assert_eq!(note.kind, Kind::CreditNote);
    assert_eq!((note.total, note.tax), (-invoice.total, -invoice.tax));
    for (back, line) in note.lines.iter().zip(&invoice.lines) {
        assert_eq!((back.price, back.discount), (-line.price, -line.discount));
        assert_eq!(
            (back.net, back.tax, back.earned),
            (-line.net, -line.tax, -line.earned)
        );
    }
}

#[test]
fn refunds_in_parts_take_back_no_more_than_the_invoice_however_they_are_cut() {
    for start in 0..300_u64 {
        let mut seed = start;
        let prices: Vec<(i64, i64)> = (0..=next(&mut seed) % 5)
            .map(|_| (1 + next(&mut seed) % 50_000, 0))
            .collect();
        let invoice = Document::invoice(sold(&prices), DIGITAL_SERVICES).unwrap();
        let mut left: Vec<i64> = invoice.lines.iter().map(|line| line.net).collect();
        let mut credited = vec![(0, 0); left.len()];
        let (mut tax, mut earned) = (0, 0);

        while left.iter().any(|amount| *amount > 0) {
            // A refund may name some lines only; each amount is that of its part.
            let returned: Vec<i64> = left
                .iter_mut()
                .map(|amount| {
                    let part = (next(&mut seed) % 3 * (next(&mut seed) % 20_000)).min(*amount);
                    *amount -= part;
                    part
                })
                .collect();
            let note = Document::credit_note(&invoice.lines, invoice.tax_bps, &credited, &returned);
            let Some(note) = note else {
                assert!(returned.iter().all(|part| *part == 0), "seed {start}");
                continue;
            };
            assert_eq!(-note.total, returned.iter().sum::<i64>(), "seed {start}");
            for line in &note.lines {
                assert!(line.net <= line.tax && line.tax <= 0, "seed {start}: {line:?}");
                assert!(
                    line.net <= line.earned && line.earned <= 0,
                    "seed {start}: {line:?}"
                );
            }
            tax += note.tax;
            earned += note.lines.iter().map(|line| line.earned).sum::<i64>();
            add(&mut credited, &note, &invoice.lines);
            assert!(-tax <= invoice.tax, "seed {start}");
        }

        for (line, (net, tax)) in invoice.lines.iter().zip(&credited) {
            assert_eq!((-net, -tax), (line.net, line.tax), "seed {start}");
        }
        let sold: i64 = invoice.lines.iter().map(|line| line.earned).sum();
        assert_eq!((-tax, -earned), (invoice.tax, sold), "seed {start}");
    }
}

#[test]
fn amounts_are_spelled_as_people_write_them_on_paper() {
    for (amount, text) in [
        (0, "零元整"),
        (5, "伍分"),
        (50, "伍角整"),
        (100, "壹元整"),
        (19_900, "壹佰玖拾玖元整"),
        (100_005, "壹仟元零伍分"),
        (1_040_050, "壹万零肆佰元伍角整"),
        (1_000_000_001, "壹仟万元零壹分"),
        (10_000_000_000, "壹亿元整"),
        (10_005_000_000, "壹亿零伍万元整"),
        (100_000_000_000, "壹拾亿元整"),
        (12_345_678_912, "壹亿贰仟叁佰肆拾伍万陆仟柒佰捌拾玖元壹角贰分"),
        (-19_900, "负壹佰玖拾玖元整"),
    ] {
        assert_eq!(spelled(amount), text, "{amount}");
    }
}

#[test]
fn a_document_bears_the_day_that_it_is_where_the_seller_is() {
    let china = Calendar { hours_ahead: 8 };
    let eve: Timestamp = "2026-12-31T17:00:00Z".parse().unwrap();

    assert_eq!(china.date(eve), "2027-01-01");
    assert_eq!(china.year(eve), 2027);
    assert_eq!(Calendar { hours_ahead: 0 }.year(eve), 2026);
    assert_eq!(date_of(china.day(eve)), "2027-01-01");
}
