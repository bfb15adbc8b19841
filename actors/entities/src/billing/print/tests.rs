//! Documents as they come out of the press: read back with poppler's tools, which the set-up installs.

use std::process::Command;

use lyceum_domain::billing::{Document, DocumentLine, Kind, Number, Recipient};
use lyceum_domain::ids::{CourseId, OrderId, RefundId, UserId};
use lyceum_kernel::Timestamp;

use super::*;
use crate::billing::Seller;

const FONT: &str = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc";

fn font() -> Font {
    Font::load(std::path::Path::new(FONT)).expect("config/dev/install.sh brings the font")
}

fn issued(titles: &[&str]) -> Issued {
    let sold = |(index, title): (usize, &&str)| DocumentLine {
        course_id: CourseId::from_u128(index as u128),
        title: (*title).into(),
        price: 19_900,
        discount: if index == 0 { 4_000 } else { 0 },
        net: if index == 0 { 15_900 } else { 19_900 },
        tax: 0,
        creator: UserId::from_u128(9),
        earned: 0,
    };
    let lines = titles.iter().enumerate().map(sold).collect();
    Issued {
        number: "INV-2026-000042".parse::<Number>().unwrap(),
        order: OrderId::from_u128(0x0196_8a11_2233_4455_6677_8899_aabb_ccdd),
        refund: None,
        user: UserId::from_u128(1),
        original: None,
        currency: "CNY".to_owned(),
        document: Document::invoice(lines, 600).unwrap(),
        seller: Seller {
            name: "北京知行云课教育科技有限公司".to_owned(),
            tax_id: "91110000802100433B".to_owned(),
            address: "北京市海淀区中关村大街 1 号  010-8888 8888".to_owned(),
        },
        recipient: Some(
            Recipient::new(
                "深圳市腾讯计算机系统有限公司",
                Some("91440300708461136T".parse().unwrap()),
            )
            .unwrap(),
        ),
        supplied_at: Timestamp::EPOCH,
        issued_at: Timestamp::EPOCH,
        issued_on: "2026-11-30".to_owned(),
    }
}

fn credit_note() -> Issued {
    let invoice = issued(&["从零开始学摄影：光线、构图与后期"]);
    let lines = &invoice.document.lines;
    let document = Document::credit_note(lines, 600, &[], &[lines[0].net]).unwrap();
    assert_eq!(document.kind, Kind::CreditNote);
    Issued {
        number: "CRN-2026-000007".parse::<Number>().unwrap(),
        refund: Some(RefundId::from_u128(5)),
        original: Some(invoice.number),
        document,
        recipient: None,
        ..invoice
    }
}

/// The text of a file, page by page.
fn text_of(file: &[u8]) -> String {
    let path = kept(file, "text");
    let output = Command::new("pdftotext")
        .args(["-layout", &path, "-"])
        .output()
        .expect("config/dev/test.sh brings poppler-utils");
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The first page of a file as grey values, row by row, and how wide and high it is.
fn picture_of(file: &[u8], name: &str) -> (usize, usize, Vec<u8>) {
    let path = kept(file, name);
    let output = Command::new("pdftoppm")
        .args(["-r", "40", "-gray", "-singlefile", &path])
        .output()
        .expect("config/dev/test.sh brings poppler-utils");
    assert!(output.status.success(), "{output:?}");
    let mut parts = output.stdout.splitn(4, |byte| byte.is_ascii_whitespace());
    let mut figure = || -> Option<usize> { std::str::from_utf8(parts.next()?).ok()?.parse().ok() };
    assert_eq!(figure(), None, "P5");
    let (wide, high) = (figure().unwrap(), figure().unwrap());
    let pixels = output.stdout[output.stdout.len() - wide * high..].to_vec();
    (wide, high, pixels)
}

fn kept(file: &[u8], name: &str) -> String {
    let name = format!("lyceum-{}-{name}.pdf", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, file).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_printed_invoice_can_be_read_searched_and_copied() {
    let invoice = issued(&["从零开始学摄影：光线、构图与后期", "Rust & <async> in Practice"]);

    let file = pdf(&invoice, &font()).unwrap();

    let text = text_of(&file);
    for words in [
        "电子发票",
        "INV-2026-000042",
        "2026-11-30",
        "深圳市腾讯计算机系统有限公司",
        "91440300708461136T",
        "北京知行云课教育科技有限公司",
        "从零开始学摄影：光线、构图与后期",
        "Rust & <async> in Practice",
        "-40.00",
        "税额 Tax (6 %)",
        "20.26",
        "¥358.00",
        "叁佰伍拾捌元整",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(
        file.len() < 100_000,
        "{} bytes: only the characters that are used are embedded",
        file.len()
    );
}

#[test]
fn a_credit_note_is_negative_and_names_its_invoice() {
    let text = text_of(&pdf(&credit_note(), &font()).unwrap());

    for words in [
        "红字发票",
        "CRN-2026-000007",
        "INV-2026-000042",
        "-¥159.00",
        "负壹佰伍拾玖元整",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

#[test]
fn a_picture_of_a_page_has_ink_where_the_words_are_and_none_in_its_margins() {
    let file = pdf(&issued(&["从零开始学摄影"]), &font()).unwrap();

    let (wide, high, pixels) = picture_of(&file, "picture");

    // Places in thousandths of the page, from its top left.
    let ink = |from: (usize, usize), to: (usize, usize)| -> usize {
        let place = |part: usize, of: usize| part * of / 1_000;
        let rows = place(from.1, high)..place(to.1, high);
        rows.map(|row| {
            let row = &pixels[row * wide..(row + 1) * wide];
            let dark = row[place(from.0, wide)..place(to.0, wide)].iter();
            dark.filter(|grey| **grey < 160).count()
        })
        .sum()
    };
    // The band at the top, the title, the parties, the sum.
    assert!(ink((0, 0), (1_000, 8)) > 100);
    assert!(ink((80, 50), (400, 120)) > 50);
    assert!(ink((80, 170), (900, 250)) > 50);
    assert!(ink((500, 300), (920, 500)) > 30);
    assert_eq!(ink((0, 20), (60, 1_000)), 0, "the left margin");
    assert_eq!(ink((940, 20), (1_000, 1_000)), 0, "the right margin");
}

#[test]
fn a_long_document_goes_on_over_the_page_and_breaks_long_titles() {
    let long = "一门讲得很慢而且标题长得要命的课程".repeat(4);
    let titles = vec![long.as_str(); 20];

    let text = text_of(&pdf(&issued(&titles), &font()).unwrap());

    let pages: Vec<&str> = text
        .split('\u{c}')
        .filter(|page| !page.trim().is_empty())
        .collect();
    assert!(pages.len() >= 2, "{} pages", pages.len());
    for (index, page) in pages.iter().enumerate() {
        assert!(page.contains(&format!("{}/{}", index + 1, pages.len())), "{page}");
    }
    assert_eq!(text.matches('讲').count(), 20 * 4, "every title is whole");
}

#[test]
fn a_character_that_the_font_lacks_is_a_box_and_no_failure() {
    let text = text_of(&pdf(&issued(&["摄影 🎓 \u{FE0F}入门"]), &font()).unwrap());

    assert!(text.contains("摄影") && text.contains("入门"), "{text}");
}

#[test]
fn a_file_that_is_no_font_is_refused_by_what_is_wrong_with_it() {
    let missing = Font::load(std::path::Path::new("/nowhere/font.ttf"))
        .err()
        .unwrap();
    let other = Font::load(std::path::Path::new(file!())).err();
    let nothing = std::env::temp_dir().join(format!("lyceum-{}.ttf", std::process::id()));
    std::fs::write(&nothing, b"no font").unwrap();

    assert!(
        missing
            .to_string()
            .starts_with("the file of the font cannot be read")
    );
    assert!(other.is_some());
    assert!(matches!(Font::load(&nothing), Err(FontError::Face(_))));
}
