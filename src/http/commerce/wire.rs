//! Bodies of requests and answers of commerce.

use lyceum_domain::commerce::coupon::Code;
use lyceum_domain::commerce::order::{CloseReason, OrderPayment, Stage};
use lyceum_domain::commerce::payment::PayerAction;
use lyceum_domain::commerce::wallet::{TopUp, TopUpState};
use lyceum_domain::commerce::{Line, Order, OrderState, Reservation};
use lyceum_domain::ids::{
    BundleId, CouponId, CourseId, GroupId, MembershipId, OrderId, PaymentId, PlanId, SaleId, TeamId,
};
use lyceum_domain::text::is_hidden;
use lyceum_kernel::{Class, Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refunds::RefundBody;
use crate::http::billing::RecipientBody;
use crate::http::{Problem, shapes};

/// The longest payment token, bytes.
const TOKEN_BYTES_MAX: usize = 256;
/// The state of a payment whose payer has to do something.
const REQUIRES_ACTION: &str = "requires_action";

/// One thing of a cart: a course or a bundle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ItemBody {
    pub(super) course_id: Option<CourseId>,
    pub(super) bundle_id: Option<BundleId>,
}

/// One thing of an order: a course, in a sale, in a team or in neither, or a bundle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OrderItemBody {
    pub(super) course_id: Option<CourseId>,
    pub(super) bundle_id: Option<BundleId>,
    pub(super) sale_id: Option<SaleId>,
    pub(super) group_offer_id: Option<GroupId>,
    pub(super) team_id: Option<TeamId>,
}

/// Asks what a cart costs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct QuoteRequest {
    /// From 1 to 20 different courses and bundles.
    #[schema(value_type = Vec<shapes::CartItem>, min_items = 1, max_items = 20)]
    pub(super) items: Vec<ItemBody>,
    /// A coupon.
    #[schema(max_length = 32, example = "SPRING-2026")]
    pub(super) coupon_code: Option<String>,
    /// Coupons beside it: at most one of a creator and one of the platform in all.
    #[serde(default)]
    #[schema(max_items = 2)]
    pub(super) coupon_codes: Vec<String>,
}

/// Asks for a purchase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OrderRequest {
    /// From 1 to 20 different courses and bundles.
    #[schema(value_type = Vec<shapes::OrderItem>, min_items = 1, max_items = 20)]
    pub(super) items: Vec<OrderItemBody>,
    /// A coupon.
    #[schema(max_length = 32, example = "SPRING-2026")]
    pub(super) coupon_code: Option<String>,
    /// Coupons beside it: at most one of a creator and one of the platform in all.
    #[serde(default)]
    #[schema(max_items = 2)]
    pub(super) coupon_codes: Vec<String>,
    /// The total of the quote that was agreed to: the order is refused if it costs anything else by now.
    #[schema(value_type = Option<shapes::Money>)]
    pub(super) expected_total: Option<Money>,
    /// `wallet`, or the name of a provider: `sandbox`, `stripe`, `wechat`, `alipay`.
    #[schema(example = "wallet")]
    pub(super) payment_method: String,
    /// What the provider needs to charge; the wallet needs none. `stripe`: a payment method. `wechat`: `native` (a QR
    /// code, what is meant if it is left out) or `jsapi:` and the payer's openid. `alipay`: `page` (what is meant if it is
    /// left out) or `app`.
    #[schema(pattern = "^[!-~]{1,256}$", example = "tok_ok")]
    pub(super) payment_token: Option<String>,
    /// Whether it is for somebody else: the buyer pays and gets a code instead of access.
    #[serde(default)]
    pub(super) gift: bool,
    /// To whom the invoice is made out; it may be said later, once.
    pub(super) invoice_details: Option<RecipientBody>,
}

/// Asks for money in the wallet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TopUpRequest {
    /// How much.
    #[schema(value_type = shapes::Money)]
    pub(super) amount: Money,
    /// The name of a provider.
    #[schema(example = "sandbox")]
    pub(super) provider: String,
    /// What the provider needs to charge.
    #[schema(pattern = "^[!-~]{1,256}$", example = "tok_ok")]
    pub(super) payment_token: Option<String>,
}

/// What a cart costs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct QuoteBody {
    /// The courses.
    pub(super) items: Vec<QuoteLine>,
    /// What each coupon takes off, in the order in which they apply; it is part of the discounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) coupons: Vec<QuoteCoupon>,
    /// The sum of the prices less the discounts.
    #[schema(value_type = shapes::Money)]
    pub(super) total: Money,
}

/// A coupon of a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct QuoteCoupon {
    #[schema(value_type = String)]
    code: Code,
    #[schema(value_type = shapes::Money)]
    off: Money,
}

impl QuoteCoupon {
    pub(super) fn of(code: &Code, off: Money) -> Self {
        QuoteCoupon {
            code: code.clone(),
            off,
        }
    }
}

/// One course of a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct QuoteLine {
    #[schema(value_type = String)]
    course_id: CourseId,
    title: String,
    /// The list price.
    #[schema(value_type = shapes::Money)]
    price: Money,
    /// What is not paid of it; left out if that is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Money>)]
    discount: Option<Money>,
    /// Whether the caller has bought or made it, so that an order of this cart would be refused.
    owned: bool,
}

impl QuoteLine {
    pub(super) fn of(line: &Line, owned: bool) -> Self {
        QuoteLine {
            course_id: line.course_id,
            title: line.title.to_string(),
            price: line.price,
            discount: discount(line),
            owned,
        }
    }
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct OrderBody {
    #[schema(value_type = String, example = "ord_01h455vb4pex5vsknk084sn02q")]
    id: OrderId,
    /// `pending`, `paid` (and waiting for its team), `fulfilled`, `refunding`, `refunded`, `partially_refunded`, `cancelled` or `expired`.
    #[schema(value_type = String)]
    state: OrderState,
    /// Why it ended without payment: `cancelled`, `expired` or `payment_declined`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<CloseReason>,
    items: Vec<OrderLine>,
    /// The coupons that it was placed with; what they take off is part of the discounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    coupon_ids: Vec<CouponId>,
    /// The membership that it pays a period of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    membership_id: Option<MembershipId>,
    /// The team that it has a place in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    team_id: Option<TeamId>,
    #[schema(value_type = shapes::Money)]
    total: Money,
    payment_method: &'static str,
    payments: Vec<PaymentBody>,
    refunds: Vec<RefundBody>,
    timeline: Vec<Milestone>,
    /// When a pending order is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Until when it may be refunded.
    #[schema(value_type = String, format = DateTime)]
    refundable_until: Timestamp,
    /// Of a gift: the code by which somebody else gets what was bought, once it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    gift: Option<GiftBody>,
}

/// What a gift is redeemed with.
#[derive(Debug, Serialize, ToSchema)]
struct GiftBody {
    /// Left out if it is not known any more: it is derived from a secret that has been changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7K3M-0QXZ-9V2B-H8RT")]
    code: Option<String>,
    redeemed: bool,
}

/// One course of an order.
#[derive(Debug, Serialize, ToSchema)]
struct OrderLine {
    /// Left out if it is a period of a membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    course_id: Option<CourseId>,
    /// The plan, if it is a period of a membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    plan_id: Option<PlanId>,
    course_version: u32,
    title: String,
    /// The list price when it was ordered.
    #[schema(value_type = shapes::Money)]
    price: Money,
    /// What is not paid of it; left out if that is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Money>)]
    discount: Option<Money>,
}

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentBody {
    #[schema(value_type = String)]
    id: PaymentId,
    method: &'static str,
    /// `processing`, `requires_action`, `succeeded`, `declined`, `cancelled` (also one that gave way to another), or `surplus`: captured
    /// beside the one that paid, so that its money goes back.
    state: &'static str,
    #[schema(value_type = shapes::Money)]
    amount: Money,
    /// What the payer has to do, while the state is `requires_action`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NextAction>)]
    next_action: Option<PayerAction>,
}

/// What the payer has to do before the provider charges.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes how the domain writes it")]
struct NextAction {
    /// `redirect`: open the page at `url`. `qr_code`: show `url` as a QR code, for the provider's app. `app`: call the
    /// provider's app or library with `parameters`.
    #[schema(example = "qr_code")]
    r#type: String,
    /// Of a page or a code.
    #[schema(example = "weixin://wxpay/bizpayurl?pr=p4lpSuKzz")]
    url: Option<String>,
    /// As the provider's app or library takes them.
    parameters: Option<String>,
}

/// A state that an order reached.
#[derive(Debug, Serialize, ToSchema)]
struct Milestone {
    #[schema(value_type = String)]
    state: OrderState,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl OrderBody {
    pub(super) fn of(order: &Order) -> Self {
        let placement = &order.placement;
        let reason = match &order.stage {
            Stage::Closed { reason } | Stage::Closing { reason, .. } => Some(*reason),
            Stage::AwaitingPayment { .. } | Stage::Held { .. } | Stage::Fulfilled | Stage::Unfulfilled => {
                None
            }
        };
        let expires_at = match &order.stage {
            Stage::AwaitingPayment { expires_at } => Some(*expires_at),
            _ => None,
        };
        let membership_id = placement.membership();
        let plan = |line: &Line| membership_id.map(|_| PlanId::from_u128(line.course_id.as_u128()));
        let line = |line: &Line| OrderLine {
            course_id: membership_id.is_none().then_some(line.course_id),
            plan_id: plan(line),
            course_version: line.course_version,
            title: line.title.to_string(),
            price: line.price,
            discount: discount(line),
        };
        let coupon = |reservation: &Reservation| match reservation {
            Reservation::Coupon { coupon_id } => Some(*coupon_id),
            Reservation::Slot { .. } | Reservation::Period { .. } | Reservation::Place { .. } => None,
        };
        let payment = |payment: OrderPayment| PaymentBody {
            id: payment.payment_id,
            method: payment.method.name(),
            state: payment_state(order, payment),
            amount: placement.total,
            next_action: None,
        };
        OrderBody {
            id: placement.order_id,
            state: order.state(),
            reason,
            items: placement.lines.iter().map(line).collect(),
            coupon_ids: placement.reservations.iter().filter_map(coupon).collect(),
            membership_id,
            team_id: placement.team().map(|(team_id, _)| team_id),
            total: placement.total,
            payment_method: order.payment().method.name(),
            payments: order.payments().map(payment).collect(),
            refunds: order.refunds.iter().map(RefundBody::of).collect(),
            timeline: order
                .timeline
                .iter()
                .map(|(state, at)| Milestone {
                    state: *state,
                    at: *at,
                })
                .collect(),
            expires_at,
            refundable_until: placement.refundable_until,
            gift: placement.gift.map(|_| GiftBody {
                code: None,
                redeemed: order.redeemed_by.is_some(),
            }),
        }
    }

    /// The order, with the code that it is redeemed with.
    pub(super) fn giving(mut self, code: Option<String>) -> Self {
        if let Some(gift) = &mut self.gift {
            gift.code = code;
        }
        self
    }

    /// The order, with what its payer has to do.
    pub(super) fn asking(mut self, action: Option<PayerAction>) -> Self {
        if let (Some(payment), Some(action)) = (self.payments.last_mut(), action) {
            payment.state = REQUIRES_ACTION;
            payment.next_action = Some(action);
        }
        self
    }
}

/// What a line takes off its price, if anything.
fn discount(line: &Line) -> Option<Money> {
    Some(line.discount).filter(|discount| !discount.is_zero())
}

/// What the order knows of one of its payments.
fn payment_state(order: &Order, payment: OrderPayment) -> &'static str {
    if order.surplus.contains(&payment.payment_id) {
        return "surplus";
    }
    if order.payment() != payment {
        return "cancelled";
    }
    match order.stage {
        Stage::AwaitingPayment { .. } | Stage::Closing { .. } => "processing",
        Stage::Held { .. } | Stage::Fulfilled | Stage::Unfulfilled => "succeeded",
        Stage::Closed {
            reason: CloseReason::PaymentDeclined,
        } => "declined",
        Stage::Closed { .. } => "cancelled",
    }
}

/// A top-up.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TopUpBody {
    #[schema(value_type = String, example = "pay_01h455vb4pex5vsknk084sn02q")]
    id: PaymentId,
    /// `processing`, `requires_action`, `succeeded`, `declined` or `cancelled`.
    state: &'static str,
    #[schema(value_type = shapes::Money)]
    amount: Money,
    /// What the payer has to do, while the state is `requires_action`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NextAction>)]
    next_action: Option<PayerAction>,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
}

impl TopUpBody {
    pub(super) fn of(id: PaymentId, top_up: TopUp) -> Self {
        let state = top_up.state.name();
        let decline_code = match top_up.state {
            TopUpState::Declined { code } => Some(code),
            TopUpState::Processing | TopUpState::Succeeded | TopUpState::Cancelled => None,
        };
        let (provider, started_at) = (top_up.provider.name(), top_up.started_at);
        TopUpBody {
            id,
            state,
            amount: top_up.amount,
            next_action: None,
            provider,
            decline_code,
            started_at,
        }
    }

    /// The top-up, with what its payer has to do.
    pub(super) fn asking(mut self, action: Option<PayerAction>) -> Self {
        if let Some(action) = action {
            self.state = REQUIRES_ACTION;
            self.next_action = Some(action);
        }
        self
    }
}

/// A text of 1 to `chars_max` characters without hidden ones.
pub(super) fn checked_text(text: String, chars_max: usize, pointer: &'static str) -> Result<String, Problem> {
    let fits = !text.trim().is_empty() && text.chars().count() <= chars_max;
    if fits && !text.chars().any(|symbol| is_hidden(symbol) && symbol != '\n') {
        return Ok(text);
    }
    Err(malformed(
        pointer,
        format!("from 1 to {chars_max} characters, none of them hidden"),
    ))
}

/// A payment token, which a provider's header or body must be able to carry.
pub(super) fn checked_token(token: Option<String>) -> Result<Option<String>, Problem> {
    let Some(token) = token else { return Ok(None) };
    if !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX
        && token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(Some(token));
    }
    Err(malformed(
        "/payment_token",
        format!("from 1 to {TOKEN_BYTES_MAX} visible ASCII characters"),
    ))
}

fn malformed(pointer: &'static str, rule: String) -> Problem {
    Problem::new(
        Class::Malformed,
        "http.invalid_body",
        "The body cannot be understood.",
    )
    .at(pointer, rule)
}
