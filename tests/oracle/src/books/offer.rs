//! What each event of a bundle or a batch of redeem codes means.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Books, id, money, texts_of};

pub(super) const BUNDLES_SQL: &str = "SELECT bundle_id::text, format('%s by %s courses %s price %s %s', state, creator, course_ids, \
    price, currency) FROM bundles";
pub(super) const BATCHES_SQL: &str = "SELECT batch_id::text, format('course %s codes %s redeemed %s cancelled %s', course_id, codes, \
    redeemed, CASE WHEN cancelled_at IS NULL THEN 'no' ELSE 'yes' END) FROM code_batches";
pub(super) const CODES_SQL: &str = "SELECT format('%s of %s', number, coalesce(batch_id, order_id)), coalesce(user_id::text, '-') FROM redeem_codes";

/// One bundle as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    creator: Uuid,
    courses: Vec<Uuid>,
    price: (i64, String),
    withdrawn: bool,
}

/// One batch as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    course: Uuid,
    count: i64,
    cancelled: bool,
    /// By number.
    redeemed: BTreeMap<i64, Uuid>,
}

pub(super) fn bundle(books: &mut Books, bundle: Uuid, event_type: &str, event: &Value) -> Option<()> {
    match event_type {
        "offered" => {
            let offer = &event["offer"];
            let courses = texts_of(&offer["course_ids"])?;
            let courses = courses.iter().map(|course| crate::typeid::parse("crs", course));
            let offered = Bundle {
                creator: id("usr", &offer["creator"])?,
                courses: courses.collect::<Option<_>>()?,
                price: money(&offer["price"])?,
                withdrawn: false,
            };
            books.bundles.insert(bundle, offered).is_none().then_some(())
        }
        "withdrawn" => {
            let bundle = books.bundles.get_mut(&bundle)?;
            (!std::mem::replace(&mut bundle.withdrawn, true)).then_some(())
        }
        _ => None,
    }
}

/// A code that is redeemed twice, or after its batch was cancelled, makes no sense.
pub(super) fn batch(books: &mut Books, batch: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "issued" {
        let terms = &event["terms"];
        let issued = Batch {
            course: id("crs", &terms["course_id"])?,
            count: terms["count"].as_i64()?,
            cancelled: false,
            redeemed: BTreeMap::new(),
        };
        return books.batches.insert(batch, issued).is_none().then_some(());
    }
    let batch = books.batches.get_mut(&batch)?;
    match event_type {
        "cancelled" => (!std::mem::replace(&mut batch.cancelled, true)).then_some(()),
        "redeemed" => {
            let number = event["number"].as_i64()?;
            let user = id("usr", &event["user"])?;
            let fits = (0..batch.count).contains(&number) && !batch.cancelled;
            (batch.redeemed.insert(number, user).is_none() && fits).then_some(())
        }
        _ => None,
    }
}

/// A redeem code that gave access: as a grant without a price.
pub(super) fn code_granted(books: &mut Books, user: Uuid, event: &Value) -> Option<()> {
    let code = id("rdc", &event["code"])?;
    for course in event["courses"].as_array()? {
        let (course, version) = (id("crs", &course[0])?, course[1].as_i64()?);
        // A code gives a course once.
        if books.codes.insert((code, course), (user, version)).is_some() {
            return None;
        }
    }
    Some(())
}

pub(super) fn bundles(books: &Books) -> HashMap<String, String> {
    let row = |(id, bundle): (&Uuid, &Bundle)| {
        let courses: Vec<String> = bundle.courses.iter().map(Uuid::to_string).collect();
        let text = format!(
            "{} by {} courses {{{}}} price {} {}",
            if bundle.withdrawn { "withdrawn" } else { "offered" },
            bundle.creator,
            courses.join(","),
            bundle.price.0,
            bundle.price.1
        );
        (id.to_string(), text)
    };
    books.bundles.iter().map(row).collect()
}

pub(super) fn batches(books: &Books) -> HashMap<String, String> {
    let row = |(id, batch): (&Uuid, &Batch)| {
        let text = format!(
            "course {} codes {} redeemed {} cancelled {}",
            batch.course,
            batch.count,
            batch.redeemed.len(),
            yes(batch.cancelled)
        );
        (id.to_string(), text)
    };
    books.batches.iter().map(row).collect()
}

pub(super) fn codes(books: &Books) -> HashMap<String, String> {
    let mut rows = HashMap::new();
    for (id, batch) in &books.batches {
        for number in 0..batch.count {
            let holder = batch.redeemed.get(&number).map(Uuid::to_string);
            rows.insert(
                format!("{number} of {id}"),
                holder.unwrap_or_else(|| "-".to_owned()),
            );
        }
    }
    // A gift has one code from the moment it is ordered.
    for (id, order) in books.orders.iter().filter(|(_, order)| order.gift) {
        let holder = order.redeemed_by.map(|user| user.to_string());
        rows.insert(format!("0 of {id}"), holder.unwrap_or_else(|| "-".to_owned()));
    }
    rows
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
