//! Leaves of a state what an operator may see of anybody: its form, numbers, ids, times and the program's own words.
//!
//! Nothing is shown because nobody thought of hiding it. A text stays only if it is an id, a time or one of our words; the name of a
//! field only if it is an id or one of our fields. Whatever somebody typed, and every secret, is neither.

use serde_json::{Map, Value};

/// What stands in the place of a text.
const HIDDEN: &str = "***";
/// Entries of one list or map that are shown; a state is looked at and not exported.
const ENTRIES_MAX: usize = 100;

/// Ids are written with these prefixes.
const IDS: [&str; 23] = [
    "usr_", "ses_", "crs_", "chp_", "les_", "ord_", "pay_", "ref_", "adj_", "cpn_", "bnd_", "bat_", "rdc_",
    "pyo_", "ftr_", "sal_", "whe_", "evt_", "whd_", "pln_", "mbr_", "grp_", "tem_",
];
const ID_LENGTH: usize = 30;

/// The words that states are written with: names of states, reasons, providers, currencies.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    // Accounts.
    "active", "suspended", "erased", "absent", "open", "learner", "creator", "operator", "support", "finance",
    "logged_out", "refresh_reused", "displaced", "password_changed", "account_closed", "role_revoked",
    // Courses.
    "Present", "Absent", "draft", "in_review", "approved", "scheduled", "published", "unlisted", "retired", "archived", "listed",
    "all", "beginner", "intermediate", "advanced", "article", "video", "audio", "quiz", "document",
    // Money.
    "CNY", "USD", "EUR", "wallet", "sandbox", "stripe", "wechat", "alipay", "free", "order", "import", "top_up", "pending", "paid", "fulfilled",
    "fulfil_failed", "refunding", "refunded", "cancelled", "expired", "closing", "awaiting_payment", "processing", "unknown",
    "succeeded", "declined", "failed", "requires_payment", "requires_action", "redirect", "qr_code", "app", "charge", "query", "close", "refund", "query_refund",
    "completed", "compensated", "proposed", "posted", "rejected", "provider_clearing", "user_wallet", "wallet_hold", "creator_payable",
    "affiliate_payable", "platform_revenue", "fees", "tax_payable", "chargeback_reserve", "refund_payable", "retry", "compensate",
    "reconcile", "send", "payment_declined", "purchased", "order_placed", "order_fulfilled", "fulfilment_failed",
    "order_closing", "order_closed", "refunded_to_wallet", "refund_requested", "refund_moved", "refund_decided", "refund_cancelled", "requested",
    "partially_refunded", "unfulfilled", "original", "payment_added", "payment_surplus", "surplus", "intervened", "adjusted", "adjustment_refused", "started",
    "close_requested", "rescheduled", "became_unknown", "surplus_captured", "refund_started", "sending",
    // Coupons. Their codes are worth money, so they stay hidden.
    "platform", "fixed", "percent", "threshold", "courses",
    // Group buying.
    "awaiting_team", "order_held", "place", "reserved", "refused",
    // Memberships.
    "everything", "month", "year", "past_due", "paused", "resume", "renew", "end", "never_paid", "unpaid", "period", "offered", "withdrawn",
    // Webhooks. Addresses may hold what only their owner knows, so they stay hidden.
    "enabled", "disabled", "gone", "failing", "order.fulfilled", "order.cancelled", "order.expired", "order.refunded",
    "sale.completed", "sale.refunded",
    // Profiles.
    "view", "click", "start", "progress", "purchase", "complete", "rate", "dismiss",
];

/// The fields of states. One that is missing here hides itself and all below it.
#[rustfmt::skip]
const FIELDS: &[&str] = &[
    "type", "is", "state", "stage", "kind", "at", "version", "revision", "steps", "step", "tries", "reason", "since", "until",
    // Accounts and logins.
    "roles", "standing", "profile", "personalised", "registered_at", "ended", "except", "single", "logins", "started_at",
    "refreshed_at", "expires_at", "ends_at", "revoked", "username", "email", "password_hash", "display_name", "bio", "language",
    "interests", "device", "attempt", "current", "spent",
    // Courses.
    "creator", "newest", "live", "published_at", "objection", "details", "outline", "chapters", "lessons", "id", "title",
    "subtitle", "description", "level", "category", "tags", "price", "amount", "currency", "duration_seconds", "preview",
    "content", "listing",
    // Money.
    "wallet", "balance", "held", "orders", "pending", "top_ups", "access", "source", "course_version", "granted_at",
    "revoked_at", "placement", "order_id", "payment_id", "method", "lines", "total", "placed_at", "refundable_until", "course_id",
    "share_bps", "timeline", "refund", "refund_id", "requested_at", "provider", "terms", "purpose", "token", "settlement",
    "refunds", "charge_id", "next", "action", "due_at", "expires", "order", "import", "adjustments", "adjustment_id", "entries",
    "account", "owner", "proposal", "maker", "checker", "operator", "deed", "index", "retry_at", "refusal", "parts", "destination", "requester", "awaits_approval", "approved", "payment", "paid", "paid_by", "further", "surplus",
    // Coupons.
    "issued", "by", "issuer", "benefit", "off", "off_bps", "at_least", "at_most", "scope", "limit", "per_user", "stackable",
    "starts_at", "disabled_at", "reserved", "redeemed", "uses", "user", "discounts",
    // Group buying.
    "opened", "decided", "places", "group_id", "team_id", "size", "lasts_s", "held_at",
    // Memberships. What a provider charges by is worth money, so it stays hidden.
    "joined", "plan_id", "membership_id", "offer", "every", "opens", "dunning", "retries_ms", "grace_ms", "pause_max_ms", "periods", "from", "to",
    "removed_at", "due", "renews", "failures", "left_ms", "reservations",
    // Webhooks.
    "endpoints", "events", "secret_version", "previous_until", "created_at",
    // Profiles.
    "recent", "owned", "completed", "dismissed", "seen", "last", "accepted", "duplicates", "ignored", "course", "activity",
    "value",
];

/// The state without what is personal or secret.
pub(crate) fn redacted(state: Value) -> Value {
    match state {
        Value::Null | Value::Bool(_) | Value::Number(_) => state,
        Value::String(text) if is_ours(&text) => Value::String(text),
        Value::String(_) => Value::String(HIDDEN.to_owned()),
        Value::Array(entries) => {
            let more = entries.len().saturating_sub(ENTRIES_MAX);
            let mut shown: Vec<Value> = entries.into_iter().take(ENTRIES_MAX).map(redacted).collect();
            if more > 0 {
                shown.push(serde_json::json!({ "more": more }));
            }
            Value::Array(shown)
        }
        Value::Object(fields) => Value::Object(redacted_fields(fields)),
    }
}

fn redacted_fields(fields: Map<String, Value>) -> Map<String, Value> {
    let more = fields.len().saturating_sub(ENTRIES_MAX);
    let mut shown = Map::new();
    let mut hidden = 0_usize;
    for (name, value) in fields.into_iter().take(ENTRIES_MAX) {
        // An enum's variant is written as the name of the only field.
        if FIELDS.contains(&name.as_str()) || WORDS.contains(&name.as_str()) || is_id(&name) {
            shown.insert(name, redacted(value));
        } else {
            hidden += 1;
        }
    }
    if hidden > 0 {
        shown.insert(HIDDEN.to_owned(), hidden.into());
    }
    if more > 0 {
        shown.insert("more".to_owned(), more.into());
    }
    shown
}

fn is_ours(text: &str) -> bool {
    WORDS.contains(&text) || is_id(text) || is_time(text)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH
        && IDS.iter().any(|prefix| {
            text.strip_prefix(prefix).is_some_and(|symbols| {
                symbols
                    .bytes()
                    .all(|symbol| symbol.is_ascii_digit() || symbol.is_ascii_lowercase())
            })
        })
}

/// `2026-01-02T03:04:05.678Z`, and nothing that merely begins like it.
fn is_time(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let Some((date, time)) = text.strip_suffix('Z').and_then(|text| text.split_once('T')) else {
        return false;
    };
    let date: Vec<&str> = date.split('-').collect();
    let time: Vec<&str> = time.split([':', '.']).collect();
    let plain = date
        .iter()
        .chain(&time)
        .all(|part| digits(part) && !part.is_empty());
    plain && date.len() == 3 && (3..=4).contains(&time.len()) && text.len() <= 30
}

#[cfg(test)]
mod tests {
    use lyceum_domain::ids::{
        AdjustmentId, BatchId, BundleId, ChapterId, CodeId, CouponId, CourseId, ForfeitureId, GroupId,
        LessonId, MembershipId, OrderId, PaymentId, PayoutId, PlanId, RefundId, SaleId, SessionId, TeamId,
        UserId, WebhookDeliveryId, WebhookEndpointId, WebhookEventId,
    };
    use lyceum_kernel::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_times_numbers_and_our_words_stay() {
        let state = json!({
            "roles": ["learner"], "registered_at": Timestamp::from_millis(1_700_000_000_123), "version": 3,
            "logins": {SessionId::from_u128(1).to_string(): {"device": null}},
            "owned": [CourseId::from_u128(2)], "standing": {"is": "active"},
        });

        assert_eq!(redacted(state.clone()), state);
    }

    #[test]
    fn an_id_of_every_kind_stays() {
        let ids = json!([
            UserId::from_u128(1),
            SessionId::from_u128(1),
            CourseId::from_u128(1),
            ChapterId::from_u128(1),
            LessonId::from_u128(1),
            OrderId::from_u128(1),
            PaymentId::from_u128(1),
            RefundId::from_u128(1),
            AdjustmentId::from_u128(1),
            PlanId::from_u128(1),
            MembershipId::from_u128(1),
            CouponId::from_u128(1),
            BundleId::from_u128(1),
            BatchId::from_u128(1),
            CodeId::from_u128(1),
            PayoutId::from_u128(1),
            ForfeitureId::from_u128(1),
            SaleId::from_u128(1),
            GroupId::from_u128(1),
            TeamId::from_u128(1),
            WebhookEndpointId::from_u128(1),
            WebhookEventId::from_u128(1),
            WebhookDeliveryId::from_u128(1),
        ]);

        assert_eq!(ids.as_array().map(Vec::len), Some(IDS.len()));
        assert_eq!(redacted(ids.clone()), ids);
    }

    #[test]
    fn what_somebody_typed_and_every_secret_is_hidden() {
        let state = json!({
            "username": "ada", "email": "ada@example.com", "password_hash": "$argon2id$v=19$…",
            "current": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "interests": ["rust", "2026-01-01Tea"], "bio": "usr_ I was born 1990-01-01T00:00:00Z",
            "notes": {"phone": "555"}, "ada@example.com": 1,
        });

        let text = redacted(state).to_string();

        for secret in [
            "ada", "argon2", "9f86", "rust", "Tea", "born", "notes", "phone", "555",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains(r#""***":2"#), "{text}");
    }

    #[test]
    fn long_lists_are_cut() {
        let shown = redacted(json!((0..1_000).collect::<Vec<_>>()));

        assert_eq!(shown.as_array().map(Vec::len), Some(ENTRIES_MAX + 1));
        assert_eq!(shown[ENTRIES_MAX], json!({"more": 900}));
    }
}
