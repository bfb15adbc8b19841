//! Every metric of the domains' bindings.

use lyceum_runtime::metrics::{Area, Counter, Gauge, Histogram, Label, Metric};

/// The states of a checkout or a payment that has not ended, as the view `sagas` names them.
pub(crate) const OPEN_STATES: &[&str] = &[
    "awaiting_payment",
    "closing",
    "awaiting_team",
    "refunding",
    "refund_unknown",
    "refund_failed",
    "processing",
    "requires_action",
    "unknown",
];
/// Every step of a checkout or a payment.
const STEPS: &[&str] = &[
    "new",
    "awaiting_payment",
    "closing",
    "awaiting_team",
    "completed",
    "refunding",
    "refund_unknown",
    "refund_failed",
    "compensated",
    "requires_payment",
    "processing",
    "requires_action",
    "unknown",
    "succeeded",
    "declined",
    "cancelled",
    "surplus",
];
/// From which step to which: first of checkouts, then of payments.
const TRANSITIONS: &[&[&str]] = &[
    &["new", "awaiting_payment"],
    &["new", "completed"],
    &["new", "awaiting_team"],
    &["awaiting_payment", "closing"],
    &["awaiting_payment", "completed"],
    &["awaiting_payment", "awaiting_team"],
    &["awaiting_payment", "compensated"],
    &["awaiting_payment", "refunding"],
    &["closing", "completed"],
    &["closing", "awaiting_team"],
    &["closing", "compensated"],
    &["closing", "refunding"],
    &["awaiting_team", "completed"],
    &["awaiting_team", "refunding"],
    &["awaiting_team", "compensated"],
    &["completed", "refunding"],
    &["completed", "compensated"],
    &["compensated", "completed"],
    &["compensated", "refunding"],
    &["refunding", "refund_unknown"],
    &["refunding", "refund_failed"],
    &["refunding", "compensated"],
    &["refunding", "completed"],
    &["refund_unknown", "refunding"],
    &["refund_unknown", "refund_failed"],
    &["refund_unknown", "compensated"],
    &["refund_failed", "refunding"],
    &["refund_failed", "refund_unknown"],
    &["refund_failed", "compensated"],
    &["requires_payment", "processing"],
    &["requires_payment", "cancelled"],
    &["processing", "unknown"],
    &["processing", "requires_action"],
    &["processing", "succeeded"],
    &["processing", "declined"],
    &["processing", "cancelled"],
    &["requires_action", "processing"],
    &["requires_action", "succeeded"],
    &["requires_action", "declined"],
    &["requires_action", "cancelled"],
    &["unknown", "processing"],
    &["unknown", "requires_action"],
    &["unknown", "succeeded"],
    &["unknown", "declined"],
    &["unknown", "cancelled"],
    &["declined", "processing"],
    &["declined", "succeeded"],
    &["cancelled", "succeeded"],
    &["succeeded", "surplus"],
];
const STATE: Label = Label::of("state", OPEN_STATES);
const PROVIDER: Label = Label::of("provider", &["sandbox", "stripe", "wechat", "alipay"]);

pub(crate) static SAGA_IN_STATE: Metric<Gauge> =
    Metric::new("saga_in_state", "Checkouts and payments that have not ended.")
        .labels(&[STATE])
        .worry("`unknown` grows: a provider does not say what became of its charges");
pub(crate) static SAGA_OLDEST_AGE_SECONDS: Metric<Gauge> = Metric::new(
    "saga_oldest_age_seconds",
    "How long the oldest of them has been in its state.",
)
.labels(&[STATE])
.worry("`unknown` above 15 minutes");
pub(crate) static SAGA_TRANSITIONS_TOTAL: Metric<Counter> = Metric::new(
    "saga_transitions_total",
    "Steps of checkouts and payments, once they are durable.",
)
.labels(&[Label::of("from", STEPS), Label::of("to", STEPS)])
.only(TRANSITIONS)
.worry("`refund_failed` at all; many more to `unknown` than from it");
pub(crate) static SAGA_DURATION_SECONDS: Metric<Histogram> = Metric::new(
    "saga_duration_seconds",
    "How long a checkout took from the order to its end: with access, or without and nothing kept.",
)
.labels(&[Label::of("outcome", &["completed", "compensated"])])
.worry("`completed` above 60 s for more than 0.1 %");
pub(crate) static PAYMENT_PROVIDER_SECONDS: Metric<Histogram> = Metric::new(
    "payment_provider_seconds",
    "How long a call to a payment provider took.",
)
.labels(&[
    // Made as they are called: with every operation and outcome of providers that nobody offers, a third of all series
    // would be these.
    Label::program("provider", "every provider that is offered"),
    Label::of("op", &["charge", "query", "close", "refund", "query_refund"]),
    Label::of(
        "outcome",
        &[
            "succeeded",
            "declined",
            "closed",
            "action_required",
            "pending",
            "failed",
            "unknown",
            "never_seen",
        ],
    ),
])
.worry("`unknown` above 1 % of calls, or p99 near the provider's timeout");
pub(crate) static PAYMENT_UNKNOWN_RESOLVED_TOTAL: Metric<Counter> = Metric::new(
    "payment_unknown_resolved_total",
    "Payments whose outcome had been unknown and was found out.",
)
.labels(&[Label::of(
    "outcome",
    &[
        "succeeded",
        "declined",
        "cancelled",
        "requires_action",
        "processing",
    ],
)]);
pub(crate) static PAYMENT_AMOUNT_MISMATCH_TOTAL: Metric<Counter> = Metric::new(
    "payment_amount_mismatch_total",
    "Captures that a provider reported with another amount or currency than was asked for; none was believed.",
)
.labels(&[PROVIDER])
.worry("at all: somebody forges, or money was taken that is not the order's");
pub(crate) static COUPON_USES_TOTAL: Metric<Counter> = Metric::new(
    "coupon_uses_total",
    "Uses of coupons that were kept for an order, spent by a paid one, and given back by one that was not, once that is durable.",
)
.labels(&[Label::of("state", &["reserved", "redeemed", "released"])])
.worry("`released` nears `reserved`: orders with coupons are placed and not paid; a coupon is used up by them");
pub(crate) static TEAMS_TOTAL: Metric<Counter> = Metric::new(
    "teams_total",
    "Teams of group buying that were opened, have all their members, or have run out of time, once that is durable.",
)
.labels(&[Label::of("state", &["opened", "succeeded", "failed"])])
.worry("`failed` nears `opened`: teams are too large or too short, and money goes to and fro for nothing");
pub(crate) static TEAM_PLACES_TOTAL: Metric<Counter> = Metric::new(
    "team_places_total",
    "Places in teams that were kept for an order, paid, given back unpaid, and paid too late, once that is durable.",
)
.labels(&[Label::of("state", &["reserved", "paid", "released", "refused"])])
.worry("`refused` grows with `paid`: payers reach a provider only when their team has failed");
pub(crate) static MEMBERSHIP_PERIODS_TOTAL: Metric<Counter> = Metric::new(
    "membership_periods_total",
    "Periods of memberships that an order has paid or has not, and those whose money went back, once that is durable.",
)
.labels(&[Label::of("state", &["paid", "unpaid", "removed"])])
.worry("`unpaid` nears `paid`: renewals fail, be it for want of money or of the provider");
pub(crate) static MEMBERSHIPS_ENDED_TOTAL: Metric<Counter> =
    Metric::new("memberships_ended_total", "Memberships that are over, by why.").labels(&[Label::of(
        "reason",
        &["never_paid", "cancelled", "unpaid", "refunded"],
    )]);
pub(crate) static LEDGER_IMBALANCE_MINOR_UNITS: Metric<Gauge> = Metric::new(
    "ledger_imbalance_minor_units",
    "What all entries of the ledger add up to, over all currencies.",
)
.worry("anything but 0: money was made or lost");
pub(crate) static WEBHOOK_EVENTS_TOTAL: Metric<Counter> =
    Metric::new("webhook_events_total", "Callbacks of payment providers.")
        .labels(&[
            PROVIDER,
            Label::of(
                "result",
                &[
                    "processed",
                    "duplicate",
                    "forged",
                    "malformed",
                    "mismatch",
                    "refused",
                    "failed",
                ],
            ),
        ])
        .worry("`forged`, `malformed`, `mismatch` or `refused` at all; `failed` for minutes");

pub(crate) static WEBHOOK_REREADS_TOTAL: Metric<Counter> = Metric::new(
    "webhook_rereads_total",
    "Callbacks of payment providers that were left behind and read again from the inbox.",
)
.labels(&[
    PROVIDER,
    Label::of("result", &["processed", "refused", "failed", "given_up"]),
])
.worry("`given_up` at all: the log names the callback, and `callback_rereads` keeps it; `processed` often: nodes die, or providers give up");
pub(crate) static WEBHOOK_DELIVERY_SECONDS: Metric<Histogram> = Metric::new(
    "webhook_delivery_seconds",
    "How long an attempt took to tell a receiver of an event, and what came of it.",
)
.labels(&[Label::of("result", &["delivered", "retry", "given_up", "gone"])])
.worry("`retry` for most: receivers are away, or this node cannot reach them");
pub(crate) static WEBHOOK_DUE_OLDEST_SECONDS: Metric<Gauge> = Metric::new(
    "webhook_due_oldest_seconds",
    "How long the oldest delivery has been due whose endpoint and user have a place free.",
)
.worry(
    "above a minute: nobody delivers, or there are more receivers than `webhooks.concurrency_max` can serve",
);
pub(crate) static WEBHOOK_DELIVERIES_DROPPED_TOTAL: Metric<Counter> = Metric::new(
    "webhook_deliveries_dropped_total",
    "Events that an endpoint is never told of, because `webhooks.pending_max` waited for it already.",
)
.worry("any: a receiver takes less than happens to its owner, or is away for days");
pub(crate) static WEBHOOK_ENDPOINTS_DISABLED_TOTAL: Metric<Counter> = Metric::new(
    "webhook_endpoints_disabled_total",
    "Endpoints that are told of nothing more, because their receiver failed for days or said that it is gone.",
)
.labels(&[Label::of("reason", &["failing", "gone"])]);

pub(crate) static AUTH_ATTEMPTS_TOTAL: Metric<Counter> = Metric::new("auth_attempts_total", "Logins.")
    .labels(&[Label::of(
        "result",
        &["succeeded", "refused", "suspended", "failed"],
    )])
    .worry("`refused` far above its usual share: somebody guesses passwords");
pub(crate) static REFRESH_REUSE_TOTAL: Metric<Counter> = Metric::new(
    "refresh_reuse_total",
    "Refresh tokens that were used twice; their login was ended.",
)
.worry("at all: a token was stolen, or a client keeps old ones");

pub(crate) static RECOMMEND_SECONDS: Metric<Histogram> = Metric::new(
    "recommend_seconds",
    "How long a list of recommendations took that was not cached.",
)
.labels(&[Label::of("source", &["ranked", "similar"])])
.worry("p99 above 10 ms");
pub(crate) static RECOMMEND_LISTS_CACHED_TOTAL: Metric<Counter> = Metric::new(
    "recommend_lists_cached_total",
    "Lists that were answered from the cache.",
);
pub(crate) static RECOMMEND_MODEL_VERSION: Metric<Gauge> = Metric::new(
    "recommend_model_version",
    "The current model: Unix milliseconds of its training.",
)
.worry("0: nothing is learned yet, and lists come from interests and content");
pub(crate) static RECOMMEND_MODEL_AGE_SECONDS: Metric<Gauge> = Metric::new(
    "recommend_model_age_seconds",
    "Time since the current model was made.",
)
.worry("above ten times `recommend.train_every_s`, unless an operator has chosen the version");
pub(crate) static RECOMMEND_MODEL_BYTES: Metric<Gauge> = Metric::new(
    "recommend_model_bytes",
    "Memory of the tables of the current model.",
)
.worry("near what the node may have: while a version takes another's place there are two");
pub(crate) static RECOMMEND_MODELS_REFUSED_TOTAL: Metric<Counter> = Metric::new(
    "recommend_models_refused_total",
    "Times that the active version was refused, because it is not what was written; the last one stays.",
)
.worry("at all");
pub(crate) static RECOMMEND_TRAINING_SECONDS: Metric<Histogram> = Metric::new(
    "recommend_training_seconds",
    "How long a training took, from reading the rows to the kept model.",
);
pub(crate) static RECOMMEND_FEEDBACK_LAG_SECONDS: Metric<Histogram> = Metric::new(
    "recommend_feedback_lag_seconds",
    "How long an event waited until it was stored for training.",
)
.worry("p99 above 10 s");
pub(crate) static RECOMMEND_EVENTS_DROPPED_TOTAL: Metric<Counter> = Metric::new(
    "recommend_events_dropped_total",
    "Events that were lost for training because their buffer was full or the store away.",
)
.worry("at all, while Postgres is well");

pub(crate) static BILLING_DOCUMENTS_TOTAL: Metric<Counter> = Metric::new(
    "billing_documents_total",
    "Invoices and credit notes that were issued.",
)
.labels(&[Label::of("kind", &["invoice", "credit_note"])]);
pub(crate) static BILLING_LAG_SECONDS: Metric<Gauge> = Metric::new(
    "billing_lag_seconds",
    "How old the oldest order or refund was that the last look found without its document; if that look failed, the oldest decision \
     that was not looked at.",
)
.worry("above a minute: the log says why documents could not be issued");

/// What a node keeps of the decisions of all nodes.
const SNAPSHOTS: &[&str] = &["catalog", "logins", "counters", "keys", "model"];
pub(crate) static SNAPSHOT_LAG_SECONDS: Metric<Gauge> = Metric::new(
    "snapshot_lag_seconds",
    "How far what this node keeps of other nodes' decisions is behind them.",
)
.labels(&[Label::of("snapshot", SNAPSHOTS)])
.worry(
    "above 1 s: an ended login is still let in, or a course shown as it was; `model` while a training fails",
);

/// The metrics of the domains.
pub static METERS: &[Area] = &[
    Area {
        title: "Sagas and money",
        families: &[
            &SAGA_IN_STATE,
            &SAGA_OLDEST_AGE_SECONDS,
            &SAGA_TRANSITIONS_TOTAL,
            &SAGA_DURATION_SECONDS,
            &PAYMENT_PROVIDER_SECONDS,
            &PAYMENT_UNKNOWN_RESOLVED_TOTAL,
            &PAYMENT_AMOUNT_MISMATCH_TOTAL,
            &LEDGER_IMBALANCE_MINOR_UNITS,
            &COUPON_USES_TOTAL,
            &TEAMS_TOTAL,
            &TEAM_PLACES_TOTAL,
            &MEMBERSHIP_PERIODS_TOTAL,
            &MEMBERSHIPS_ENDED_TOTAL,
            &WEBHOOK_EVENTS_TOTAL,
            &WEBHOOK_REREADS_TOTAL,
            &BILLING_DOCUMENTS_TOTAL,
            &BILLING_LAG_SECONDS,
        ],
    },
    Area {
        title: "Webhooks",
        families: &[
            &WEBHOOK_DELIVERY_SECONDS,
            &WEBHOOK_DUE_OLDEST_SECONDS,
            &WEBHOOK_DELIVERIES_DROPPED_TOTAL,
            &WEBHOOK_ENDPOINTS_DISABLED_TOTAL,
        ],
    },
    Area {
        title: "Accounts",
        families: &[&AUTH_ATTEMPTS_TOTAL, &REFRESH_REUSE_TOTAL],
    },
    Area {
        title: "Snapshots",
        families: &[&SNAPSHOT_LAG_SECONDS],
    },
    Area {
        title: "Recommendations",
        families: &[
            &RECOMMEND_SECONDS,
            &RECOMMEND_LISTS_CACHED_TOTAL,
            &RECOMMEND_MODEL_VERSION,
            &RECOMMEND_MODEL_AGE_SECONDS,
            &RECOMMEND_MODEL_BYTES,
            &RECOMMEND_MODELS_REFUSED_TOTAL,
            &RECOMMEND_TRAINING_SECONDS,
            &RECOMMEND_FEEDBACK_LAG_SECONDS,
            &RECOMMEND_EVENTS_DROPPED_TOTAL,
        ],
    },
];
