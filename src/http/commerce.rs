//! Commerce over HTTP: quotes, orders, refunds, wallets, callbacks, and what operators see of the money.
//!
//! ```text
//! commerce            quotes, orders, cancellation
//! commerce/payments   another payment of an order that waits for one
//! commerce/refunds    refunds of what was bought, and what operators decide about them
//! commerce/reserving  what an order reserves before it is placed
//! commerce/discounting  what coupons take off a cart, and keep for an order
//! commerce/coupons    coupons as whoever issues them sees them
//! commerce/sales      flash sales
//! commerce/groups     group prices and teams
//! commerce/wallet     the wallet, its statement, top-ups
//! commerce/bundles    several courses at one price
//! commerce/offerings  withdrawing whatever is offered
//! commerce/codes      redeem codes, in batches and as gifts
//! commerce/plans      membership plans, and commerce/memberships whoever joins them
//! commerce/pricing    what a cart costs
//! commerce/callbacks  what providers report
//! commerce/oversight  the trial balance and the statement of an account, for operators
//! commerce/sagas      sagas that have not ended, and what operators do about them
//! commerce/adjustments  manual adjustments, proposed by one operator and approved by another
//! commerce/timeline   everything that is known of any order
//! commerce/wire       bodies of requests and answers
//! ```
//!
//! Prices come from the node's catalog snapshot; everything else is decided by the buyer's entity. An order of
//! somebody else does not exist for the caller, because orders are looked up in the caller's own buyer.

mod adjustments;
mod bundles;
mod callbacks;
mod codes;
mod coupons;
mod deeds;
mod discounting;
mod groups;
mod memberships;
mod offerings;
mod oversight;
mod payments;
mod plans;
mod pricing;
mod refunds;
mod reserving;
mod sagas;
mod sales;
mod timeline;
mod wallet;
mod wire;

use lyceum_domain::billing::Recipient;
use lyceum_domain::commerce::order::Stage;
use lyceum_domain::commerce::payment::PayerAction;
use lyceum_domain::commerce::{Command, Error, Method, Order, OrderState, PlaceOrder, Provider, order};
use lyceum_domain::ids::{OrderId, PaymentId, UserId};
use lyceum_entities::commerce::{Answer, PaymentAnswer, PaymentKey, PaymentQuestion, Question};
use lyceum_runtime::{Context, clock, ids};

pub use self::adjustments::*;
pub use self::bundles::*;
pub use self::callbacks::*;
pub use self::codes::*;
pub use self::coupons::*;
use self::discounting::Codes;
pub use self::groups::*;
pub use self::memberships::*;
pub use self::oversight::*;
pub use self::payments::*;
pub use self::plans::*;
use self::pricing::is_sold;
pub use self::refunds::*;
pub use self::sagas::*;
pub use self::sales::*;
pub use self::timeline::*;
pub use self::wallet::*;
use self::wire::{OrderBody, OrderRequest, QuoteBody, QuoteLine, QuoteRequest, checked_token};
use super::billing::{self, RecipientBody};
use super::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request};

/// `POST /v1/quotes`: prices a cart for the caller, without reserving anything.
///
/// # Errors
/// 409 `commerce.coupon_exhausted`, `commerce.coupon_used`; 422 `commerce.course_not_for_sale` and the rules for a cart.
#[utoipa::path(
    post, path = "/v1/quotes", tag = "commerce", request_body = QuoteRequest,
    responses(
        (status = 200, body = QuoteBody),
        (status = 409, body = ProblemBody, description = "`commerce.coupon_exhausted`, `commerce.coupon_used`"),
        (status = 422, body = ProblemBody, description = "`commerce.course_not_for_sale`, `commerce.order_empty`, \
            `commerce.too_many_lines`, `commerce.duplicate_course`, `commerce.coupon_unknown`, \
            `commerce.coupon_not_started`, `commerce.coupon_expired`, `commerce.coupon_disabled`, `commerce.coupon_not_applicable`, \
            `commerce.coupon_below_threshold`, `commerce.coupon_not_stackable`, \
            `commerce.currency_unsupported`, `commerce.amount_out_of_range`"),
    )
)]
pub async fn quote(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let QuoteRequest {
        items,
        coupon_code,
        coupon_codes,
    } = request.json().await?;
    let coupons = Codes::of(coupon_code, coupon_codes).find(api, &request).await?;
    // A quote changes nothing, so what is recorded of a repeated one would only be old.
    let context = Context {
        operation: None,
        ..request.context()
    };
    let wanted: Vec<_> = items
        .iter()
        .map(|item| (item.course_id, item.bundle_id))
        .collect();
    let mut cart = pricing::cart(api, caller.user, &wanted, &context).await?;
    let coupons = discounting::preview(api, &context, &coupons, caller.user, &mut cart).await?;
    let lines = cart.lines;
    let total = order::total(&lines).map_err(|error| Problem::from_error(&error))?;

    let question = Question::Owned {
        course_ids: lines.iter().map(|line| line.course_id).collect(),
    };
    let answer = api.platform.buyers.read(caller.user, question, &context).await?;
    let Answer::Owned(owned) = answer else {
        return Err(unexpected());
    };

    let data = lines
        .iter()
        .map(|line| {
            let own = line.creator == caller.user;
            QuoteLine::of(line, own || owned.contains(&line.course_id))
        })
        .collect();
    Ok(Reply::ok(&QuoteBody {
        items: data,
        coupons,
        total,
    }))
}

/// `POST /v1/orders`: buys courses, from the wallet at once, or through a provider.
///
/// # Errors
/// 400 `http.invalid_body` for a course in a sale and a team at once; 402 `commerce.insufficient_funds`; 404 for a sale, a group price or a
/// team that there is not; 409 `commerce.course_already_owned`, `commerce.course_in_pending_order`, `commerce.own_course`,
/// `commerce.price_changed`, and what sales, teams and coupons refuse by their state; 422 the rules for an order.
#[utoipa::path(
    post, path = "/v1/orders", tag = "commerce", request_body = OrderRequest,
    params(("Idempotency-Key" = String, Header, description = "names the purchase; repeating it buys nothing more")),
    responses(
        (status = 201, body = OrderBody, description = "paid and fulfilled",
            headers(("Location" = String, description = "the order"))),
        (status = 202, body = OrderBody, description = "the payment is under way, or its team",
            headers(("Location" = String, description = "the order"))),
        (status = 400, body = ProblemBody, description = "`http.invalid_body`, also for a course with several of `sale_id`, `group_offer_id` \
            and `team_id`"),
        (status = 402, body = ProblemBody, description = "`commerce.insufficient_funds`"),
        (status = 404, body = ProblemBody, description = "`commerce.sale_not_found`, `commerce.group_not_found`, \
            `commerce.team_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.course_already_owned`, \
            `commerce.course_in_pending_order`, `commerce.own_course`, `commerce.price_changed`, \
            `commerce.sale_sold_out`, `commerce.sale_not_started`, `commerce.sale_ended`, `commerce.sale_slot_reserved`, \
            `commerce.sale_slot_sold`, `commerce.team_full`, `commerce.team_succeeded`, `commerce.team_failed`, \
            `commerce.team_place_reserved`, `commerce.team_place_paid`, `commerce.coupon_exhausted`, `commerce.coupon_used`, `commerce.reservation_expired`"),
        (status = 422, body = ProblemBody, description = "`commerce.course_not_for_sale`, `commerce.order_empty`, \
            `commerce.too_many_lines`, `commerce.duplicate_course`, `commerce.coupon_unknown`, \
            `commerce.coupon_not_started`, `commerce.coupon_expired`, `commerce.coupon_disabled`, `commerce.coupon_not_applicable`, \
            `commerce.coupon_below_threshold`, `commerce.coupon_not_stackable`, \
            `commerce.sale_of_another_course`, `commerce.too_many_reservations`, `commerce.group_withdrawn`, \
            `commerce.group_of_another_course`, `commerce.team_of_another_course`, `commerce.team_order_not_alone`, \
            `commerce.payment_method_unknown`, `commerce.payment_token_required`, \
            `commerce.too_many_open_orders`, `commerce.too_many_team_orders`, `commerce.currency_unsupported`, `commerce.amount_out_of_range`, \
            `billing.title_invalid`, `billing.tax_id_invalid`"),
    )
)]
pub async fn place_order(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let buyer = request.caller()?.user;
    let OrderRequest {
        items,
        coupon_code,
        coupon_codes,
        expected_total,
        payment_method,
        payment_token,
        gift,
        invoice_details,
    } = request.json().await?;
    let recipient = invoice_details.map(RecipientBody::checked).transpose()?;
    let method = method(api, &payment_method)?;
    let payment_token = checked_token(payment_token)?;
    let (codes, context) = (Codes::of(coupon_code, coupon_codes), request.context());
    // A repetition would keep another use, or open another team, for as long as it takes to find out that it is one; and a team that is
    // decided by now would refuse it. So it is looked up first.
    if (!codes.is_empty() || reserving::is_in_team(&items))
        && let Some(Answer::Order(order)) = api.platform.buyers.recorded(&context).await?
    {
        return told(api, buyer, &order, recipient).await;
    }
    let coupons = codes.find(api, &request).await?;
    let unnamed = Context {
        operation: None,
        ..context
    };
    let wanted: Vec<_> = items
        .iter()
        .map(|item| (item.course_id, item.bundle_id))
        .collect();
    let (lines, categories) = match pricing::cart(api, buyer, &wanted, &unnamed).await {
        Ok(cart) => (cart.lines, cart.categories),
        // What is not for sale any more may have been sold under this very key.
        Err(refused) => return repeated(api, &request, refused).await,
    };
    let (settings, now) = (&api.settings.commerce, clock::now());
    let order_id = ids::new();
    let mut place = PlaceOrder {
        order_id,
        payment_id: ids::new(),
        buyer,
        lines,
        expected_total,
        method,
        payment_token,
        expires_at: now.plus(*settings.order_ttl_s),
        refundable_until: now.plus(*settings.refund_window_s),
        reservations: vec![],
        gift: gift.then(|| codes::secret(api).of_gift(order_id).id()),
        reserved_until: Some(now.plus(*settings.reservation_ttl_s)),
    };
    let mut reserved = reserving::reserve(api, &context, &items, &mut place).await;
    if reserved.is_ok() {
        reserved = discounting::reserve(api, &context, &coupons, &categories, &mut place).await;
    }
    if let Err(refused) = reserved {
        reserving::release(api, &place);
        return if reserving::may_be_repeated(&refused) {
            repeated(api, &request, refused).await
        } else {
            Err(refused)
        };
    }

    let reserved = (!place.reservations.is_empty()).then(|| place.clone());
    let (command, question) = (Command::PlaceOrder(Box::new(place)), Question::Order { order_id });
    let answered = api.platform.buyers.ask(buyer, command, question, &context).await;
    if let Some(place) = reserved
        && reserving::is_not_placed(&answered, order_id)
    {
        reserving::release(api, &place);
    }
    let Answer::Order(order) = answered? else {
        return Err(unexpected());
    };
    told(api, buyer, &order, recipient).await
}

/// Answers with an order, once it is known to whom its invoice is made out.
async fn told(
    api: &Api,
    buyer: UserId,
    order: &Order,
    recipient: Option<Recipient>,
) -> Result<Reply, Problem> {
    // Whoever does not hear of it repeats the request, which places no other order and says this again.
    if let Some(recipient) = recipient {
        billing::make_out(api, buyer, order.placement.order_id, &recipient).await?;
    }
    Ok(placed(api, order))
}

/// Answers a request that cannot be carried out any more as its first time was answered, if it was.
async fn repeated(api: &Api, request: &Request, refused: Problem) -> Result<Reply, Problem> {
    match api.platform.buyers.recorded(&request.context()).await? {
        Some(Answer::Order(order)) => Ok(placed(api, &order)),
        _ => Err(refused),
    }
}

/// 202 while the order waits for its payment or its team, 201 once it is settled.
fn placed(api: &Api, order: &Order) -> Reply {
    let location = format!("/v1/orders/{}", order.placement.order_id);
    let body = OrderBody::of(order).giving(codes::gift_code(api, order));
    match order.state() {
        OrderState::Pending | OrderState::Paid => Reply::accepted(location, &body),
        _ => Reply::created(location, &body),
    }
}

/// `GET /v1/orders/{id}`: shows one of the caller's orders, and what its payer has to do.
///
/// # Errors
/// 404 `commerce.order_not_found`, also for somebody else's.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "commerce", params(("id" = String, Path, description = "the order")),
    responses(
        (status = 200, body = OrderBody),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
    )
)]
pub async fn get_order(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let question = Question::Order {
        order_id: request.path("id")?,
    };
    match api
        .platform
        .buyers
        .read(caller.user, question, &request.context())
        .await?
    {
        Answer::Order(order) => {
            let payment = order.payment();
            let asked = match (&order.stage, payment.method) {
                (Stage::AwaitingPayment { .. }, Method::Provider(provider)) => {
                    payer_action(api, &request, payment.payment_id, provider).await?
                }
                _ => None,
            };
            let code = codes::gift_code(api, &order);
            Ok(Reply::ok(&OrderBody::of(&order).asking(asked).giving(code)))
        }
        _ => Err(unexpected()),
    }
}

/// What the caller has to do for a payment of theirs that is under way.
async fn payer_action(
    api: &Api,
    request: &Request,
    payment: PaymentId,
    provider: Provider,
) -> Result<Option<PayerAction>, Problem> {
    if !provider.asks_payer() {
        return Ok(None);
    }
    let user = request.caller()?.user;
    let key = PaymentKey { payment, user };
    match api
        .platform
        .payments
        .read(key, PaymentQuestion::PayerAction, &request.context())
        .await?
    {
        PaymentAnswer::PayerAction(action) => Ok(action),
        _ => Err(unexpected()),
    }
}

/// `GET /v1/me/orders`: lists the caller's orders, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/me/orders", tag = "commerce", params(PageQuery),
    responses(
        (status = 200, body = Page<OrderBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_orders(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let before: Option<OrderId> = query.cursor()?;

    let question = Question::Orders {
        before,
        limit: limit + 1,
    };
    let answer = api
        .platform
        .buyers
        .read(caller.user, question, &request.context())
        .await?;
    let Answer::Orders(orders) = answer else {
        return Err(unexpected());
    };

    let cursor = |order: &Order| order.placement.order_id.to_string();
    Ok(Reply::ok(&Page::of(orders, limit, cursor, |order| {
        OrderBody::of(&order)
    })))
}

/// `POST /v1/orders/{id}/cancel`: gives a pending order up; its payment is closed first.
///
/// # Errors
/// 404 `commerce.order_not_found`; 409 `commerce.wrong_state`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "commerce",
    params(
        ("id" = String, Path, description = "the order"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = OrderBody, description = "cancelled"),
        (status = 202, body = OrderBody, description = "the payment is being closed",
            headers(("Location" = String, description = "the order"))),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
    )
)]
pub async fn cancel_order(api: &Api, request: Request) -> Result<Reply, Problem> {
    let order_id: OrderId = request.path("id")?;
    let order = asked(
        api,
        &request,
        Command::Cancel { order_id },
        Question::Order { order_id },
    )
    .await?;

    let body = OrderBody::of(&order);
    Ok(match order.state() {
        OrderState::Pending => Reply::accepted(format!("/v1/orders/{order_id}"), &body),
        _ => Reply::ok(&body),
    })
}

/// Has the caller's buyer carry a command out, and answers with the order.
async fn asked(api: &Api, request: &Request, command: Command, question: Question) -> Result<Order, Problem> {
    let caller = request.caller()?;
    match api
        .platform
        .buyers
        .ask(caller.user, command, question, &request.context())
        .await?
    {
        Answer::Order(order) => Ok(*order),
        _ => Err(unexpected()),
    }
}

/// A payment method that is offered.
fn method(api: &Api, name: &str) -> Result<Method, Problem> {
    let refused = |error| Problem::from_error(&error).at("/payment_method", "this method is not offered");
    let method = Method::from_name(name).map_err(refused)?;
    match method {
        Method::Provider(provider) if !api.platform.gateway.offers(provider) => {
            Err(refused(Error::PaymentMethodUnknown))
        }
        Method::Provider(_) | Method::Wallet => Ok(method),
    }
}

/// An entity answered another question than it was asked.
fn unexpected() -> Problem {
    Problem::internal("a buyer answered another question")
}
