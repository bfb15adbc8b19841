//! What a document says, in words and figures, before it is laid out.

use lyceum_domain::billing::Kind;
use lyceum_domain::billing::document::spelled;

use crate::billing::Issued;

/// The words of one document.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) kind: Kind,
    /// What it is, in Chinese and in English.
    pub(super) title: (&'static str, &'static str),
    pub(super) number: String,
    /// Labels and values that identify it.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) seller: Party,
    pub(super) recipient: Party,
    pub(super) lines: Vec<Row>,
    /// The sum without tax, and the tax, with their labels.
    pub(super) parts: [(String, String); 2],
    pub(super) total: String,
    /// The total, spelled.
    pub(super) spelled: String,
}

/// One side of a sale.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) label: (&'static str, &'static str),
    pub(super) name: String,
    /// More lines about them.
    pub(super) lines: Vec<String>,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) price: String,
    pub(super) discount: String,
    pub(super) tax: String,
    pub(super) net: String,
}

/// The heads of the table's columns.
pub(super) const COLUMNS: [(&str, &str); 5] = [
    ("项目", "Item"),
    ("单价", "Price"),
    ("优惠", "Discount"),
    ("税额", "Tax"),
    ("金额", "Amount"),
];
/// What stands below everything.
pub(super) const FOOT: &str = "价格均含税。本凭证由系统开具，无需签章。  Prices include tax. Issued electronically and valid without a signature.";

impl Sheet {
    pub(super) fn of(issued: &Issued) -> Self {
        let document = &issued.document;
        let title = match document.kind {
            Kind::Invoice => ("电子发票", "INVOICE"),
            Kind::CreditNote => ("红字发票", "CREDIT NOTE"),
        };
        let mut facts = vec![("开票日期 Date", issued.issued_on.clone())];
        if let Some(original) = issued.original {
            facts.push(("对应蓝字发票 For invoice", original.to_string()));
        }
        facts.push(("订单号 Order", issued.order.to_string()));
        if let Some(refund) = issued.refund {
            facts.push(("退款号 Refund", refund.to_string()));
        }
        let tax_line = |id: &str| format!("纳税人识别号 Tax ID  {id}");
        let mut seller = Party {
            label: ("销售方", "Seller"),
            name: issued.seller.name.clone(),
            lines: Vec::new(),
        };
        if !issued.seller.tax_id.is_empty() {
            seller.lines.push(tax_line(&issued.seller.tax_id));
        }
        if !issued.seller.address.is_empty() {
            seller.lines.push(issued.seller.address.clone());
        }
        let mut recipient = Party {
            label: ("购买方", "Bill to"),
            name: "个人 Individual".to_owned(),
            lines: Vec::new(),
        };
        if let Some(known) = &issued.recipient {
            known.title().clone_into(&mut recipient.name);
            recipient
                .lines
                .extend(known.tax_id().map(|id| tax_line(id.as_str())));
        }
        let rate = percent(document.tax_bps);
        Sheet {
            kind: document.kind,
            title,
            number: issued.number.to_string(),
            facts,
            seller,
            recipient,
            lines: document
                .lines
                .iter()
                .map(|line| Row {
                    title: line.title.to_string(),
                    price: figure(line.price),
                    // What was taken off is taken off again in what is read.
                    discount: if line.discount == 0 {
                        "—".to_owned()
                    } else {
                        figure(-line.discount)
                    },
                    tax: figure(line.tax),
                    net: figure(line.net),
                })
                .collect(),
            parts: [
                (
                    "不含税金额 Net of tax".to_owned(),
                    figure(document.total - document.tax),
                ),
                (format!("税额 Tax ({rate})"), figure(document.tax)),
            ],
            total: money(document.total, &issued.currency),
            spelled: if issued.currency == "CNY" {
                spelled(document.total)
            } else {
                String::new()
            },
        }
    }
}

/// `1,234.56`.
fn figure(amount: i64) -> String {
    let units = amount.unsigned_abs();
    let whole = (units / 100).to_string();
    let mut text = String::new();
    if amount < 0 {
        text.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text}.{:02}", units % 100)
}

/// `¥1,234.56`.
fn money(amount: i64, currency: &str) -> String {
    let figure = figure(amount);
    match (currency, figure.strip_prefix('-')) {
        ("CNY", None) => format!("¥{figure}"),
        ("CNY", Some(figure)) => format!("-¥{figure}"),
        _ => format!("{currency} {figure}"),
    }
}

/// `6 %`, `6.5 %`.
fn percent(bps: u16) -> String {
    let text = format!("{}.{:02}", bps / 100, bps % 100);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_people_read_them() {
        for (amount, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (99_900, "999.00"),
            (123_456_789, "1,234,567.89"),
            (-100_000, "-1,000.00"),
        ] {
            assert_eq!(figure(amount), text);
        }
        assert_eq!(money(-19_900, "CNY"), "-¥199.00");
        assert_eq!(money(19_900, "EUR"), "EUR 199.00");
        for (bps, text) in [(600, "6 %"), (1_350, "13.5 %"), (0, "0 %"), (1_000, "10 %")] {
            assert_eq!(percent(bps), text);
        }
    }
}
