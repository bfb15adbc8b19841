//! A document as one page of HTML: no scripts, nothing from elsewhere, and every word of it escaped.

use std::fmt::Write;

use lyceum_domain::billing::Kind;

use super::sheet::{COLUMNS, FOOT, Party, Sheet};

const STYLE: &str = include_str!("sheet.css");

pub(super) fn page(sheet: &Sheet) -> String {
    let mut html = String::with_capacity(8_192);
    let (chinese, english) = sheet.title;
    let class = match sheet.kind {
        Kind::Invoice => "invoice",
        Kind::CreditNote => "credit",
    };
    let number = escaped(&sheet.number);
    // Writing to a String does not fail.
    _ = write!(
        html,
        "<!doctype html>\n<html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{english} {number}</title><style>{STYLE}</style></head><body class=\"{class}\"><main>\
         <header><div><h1>{chinese}</h1><p class=\"english\">{english}</p></div>\
         <dl><dt>发票号码 Number</dt><dd class=\"number\">{number}</dd>"
    );
    for (label, value) in &sheet.facts {
        _ = write!(html, "<dt>{label}</dt><dd>{}</dd>", escaped(value));
    }
    html.push_str("</dl></header><section class=\"parties\">");
    for side in [&sheet.recipient, &sheet.seller] {
        party(&mut html, side);
    }
    html.push_str("</section><table><thead><tr>");
    for (chinese, english) in COLUMNS {
        _ = write!(html, "<th scope=\"col\">{chinese} <span>{english}</span></th>");
    }
    html.push_str("</tr></thead><tbody>");
    for row in &sheet.lines {
        _ = write!(html, "<tr><td>{}</td>", escaped(&row.title));
        for figure in [&row.price, &row.discount, &row.tax, &row.net] {
            _ = write!(html, "<td>{figure}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table><section class=\"sum\">");
    if !sheet.spelled.is_empty() {
        _ = write!(
            html,
            "<p class=\"spelled\"><span>价税合计（大写）</span>{}</p>",
            sheet.spelled
        );
    }
    html.push_str("<dl>");
    for (label, value) in &sheet.parts {
        _ = write!(html, "<dt>{label}</dt><dd>{value}</dd>");
    }
    _ = write!(
        html,
        "<dt class=\"total\">价税合计 Total</dt><dd class=\"total\">{}</dd></dl></section>\
         <footer>{FOOT}</footer></main></body></html>",
        escaped(&sheet.total)
    );
    html
}

fn party(html: &mut String, party: &Party) {
    let (chinese, english) = party.label;
    _ = write!(
        html,
        "<div><h2>{chinese} <span>{english}</span></h2><p class=\"name\">{}</p>",
        escaped(&party.name)
    );
    for line in &party.lines {
        _ = write!(html, "<p>{}</p>", escaped(line));
    }
    html.push_str("</div>");
}

/// A text as the content of an element.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::print::sheet::Row;

    #[test]
    fn whatever_people_have_written_is_text_and_nothing_else() {
        let party = |name: &str| Party {
            label: ("购买方", "Bill to"),
            name: name.to_owned(),
            lines: vec!["<b>&\"'".to_owned()],
        };
        let sheet = Sheet {
            kind: Kind::Invoice,
            title: ("电子发票", "INVOICE"),
            number: "INV-2026-000001".to_owned(),
            facts: vec![("Order", "<i>".to_owned())],
            seller: party("知行 & 合"),
            recipient: party("<script>alert(1)</script>"),
            lines: vec![Row {
                title: "</td><img src=x onerror=alert(1)>".to_owned(),
                price: "1.00".to_owned(),
                discount: "—".to_owned(),
                tax: "0.06".to_owned(),
                net: "1.00".to_owned(),
            }],
            parts: [
                ("a".to_owned(), "0.94".to_owned()),
                ("b".to_owned(), "0.06".to_owned()),
            ],
            total: "¥1.00".to_owned(),
            spelled: "壹元整".to_owned(),
        };

        let html = page(&sheet);

        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(html.contains("&lt;/td&gt;&lt;img src=x onerror=alert(1)&gt;"));
        assert!(html.contains("<p>&lt;b&gt;&amp;&quot;&#39;</p>"));
        assert!(html.contains("知行 &amp; 合"));
    }
}
