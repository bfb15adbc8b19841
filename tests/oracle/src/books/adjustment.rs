//! What each event of an adjustment means: who proposed and who decided, and a posting where no wallet is concerned.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::posting::{self, ADJUSTMENT};
use super::{Books, id};

/// What the table of adjustments says about each.
pub(super) const SQL: &str = "SELECT adjustment_id::text, format('%s maker %s checker %s wallet %s refused %s entries %s %s %s', \
    state, maker, coalesce(checker::text, '-'), coalesce(user_id::text, '-'), coalesce(refusal, '-'), accounts, \
    replace(owners::text, 'NULL', '-'), amounts) FROM adjustments";

/// One adjustment as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Adjustment {
    state: &'static str,
    maker: Uuid,
    checker: Option<Uuid>,
    refusal: Option<String>,
    entries: Vec<Entry>,
}

/// One entry: account, owner, amount.
type Entry = (i16, Option<Uuid>, i64);

pub(super) fn apply(books: &mut Books, adjustment_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "proposed" {
        let proposal = &event["proposal"];
        let adjustment = Adjustment {
            state: "proposed",
            maker: id("usr", &proposal["maker"]["operator"])?,
            checker: None,
            refusal: None,
            entries: entries(&proposal["entries"])?,
        };
        return books
            .adjustments
            .insert(adjustment_id, adjustment)
            .is_none()
            .then_some(());
    }
    let adjustment = books.adjustments.get_mut(&adjustment_id)?;
    match (event_type, adjustment.state) {
        ("approved", "proposed") => {
            adjustment.state = "approved";
            adjustment.checker = Some(id("usr", &event["checker"]["operator"])?);
        }
        ("posted", "approved") => {
            adjustment.state = "posted";
            let adjustment = adjustment.clone();
            // What moves a wallet is posted by its buyer.
            if adjustment.wallet().is_none() {
                posting::adjustment(books, adjustment_id, adjustment.maker, &adjustment.entries);
            }
        }
        ("rejected", "proposed" | "approved") => {
            adjustment.state = "rejected";
            adjustment.checker = Some(id("usr", &event["checker"]["operator"])?);
            adjustment.refusal = event["refusal"].as_str().map(ToOwned::to_owned);
        }
        _ => return None,
    }
    // Nobody decides about what they have proposed.
    let adjustment = books.adjustments.get(&adjustment_id)?;
    (adjustment.checker != Some(adjustment.maker)).then_some(())
}

/// A wallet that was moved by an adjustment.
pub(super) fn adjusted(books: &mut Books, user: Uuid, event: &Value) -> Option<()> {
    let entries = entries(&event["entries"])?;
    let wallet = entries
        .iter()
        .find(|(account, owner, _)| *account == posting::USER_WALLET && *owner == Some(user))?;
    *books.wallets.entry(user).or_default() += wallet.2;
    let adjustment_id = id("adj", &event["adjustment_id"])?;
    // An adjustment moves a wallet once.
    if books.postings.contains_key(&(adjustment_id, ADJUSTMENT)) {
        return None;
    }
    posting::adjustment(books, adjustment_id, user, &entries);
    Some(())
}

/// A wallet that could not bear an adjustment: it is never posted after that.
pub(super) fn refused(books: &Books, event: &Value) -> Option<()> {
    let adjustment_id = id("adj", &event["adjustment_id"])?;
    let posted = books.postings.contains_key(&(adjustment_id, ADJUSTMENT));
    (!posted && event["code"].is_string()).then_some(())
}

/// What the table must say.
pub(super) fn rows(books: &Books) -> HashMap<String, String> {
    let shown = |id: Option<Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let list = |values: Vec<String>| format!("{{{}}}", values.join(","));
    let row = |(id, adjustment): (&Uuid, &Adjustment)| {
        let entries = &adjustment.entries;
        let text = format!(
            "{} maker {} checker {} wallet {} refused {} entries {} {} {}",
            adjustment.state,
            adjustment.maker,
            shown(adjustment.checker),
            shown(adjustment.wallet()),
            adjustment.refusal.as_deref().unwrap_or("-"),
            list(entries.iter().map(|entry| entry.0.to_string()).collect()),
            list(entries.iter().map(|entry| shown(entry.1)).collect()),
            list(entries.iter().map(|entry| entry.2.to_string()).collect()),
        );
        (id.to_string(), text)
    };
    books.adjustments.iter().map(row).collect()
}

impl Adjustment {
    fn wallet(&self) -> Option<Uuid> {
        let mut entries = self.entries.iter();
        entries
            .find(|entry| entry.0 == posting::USER_WALLET)
            .and_then(|entry| entry.1)
    }
}

fn entries(value: &Value) -> Option<Vec<Entry>> {
    let entry = |entry: &Value| {
        let owner = match &entry["owner"] {
            Value::Null => None,
            owner => Some(id("usr", owner)?),
        };
        let account = posting::account(entry["account"].as_str()?)?;
        Some((account, owner, entry["amount"].as_i64()?))
    };
    value.as_array()?.iter().map(entry).collect()
}
