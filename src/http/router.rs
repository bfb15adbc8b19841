//! Every route on one screen.
//!
//! A line says: method, path and handler; who may use it; whether it asks for an Idempotency-Key; how important
//! it is when not everything can be served; which rate limit it counts towards. A handler after `=` answers from
//! memory, at once; any other may wait.

use hyper::Method;
use lyceum_domain::accounts::Role;

use super::admission::Priority::{self, Callback, Probe, Purchase, Read, Recommend};
use super::guard::Access::{self, Caller, Public};
use super::idempotency::Key::{self, Accepted, Required};
use super::limits::Limit::{self, Credentials, Never, Usual};
use super::route::{Handler, Route};
use super::{
    Api, accounts, admin, billing, catalog, commerce, docs, health, imports, keys, learning, models, privacy,
    recommend, webhooks,
};

const OPERATOR: Access = Access::Role(Role::Operator);

macro_rules! table {
    ($($method:ident $path:literal $(= $at:ident::$ready:ident)? $($by:ident::$task:ident)?, $access:expr, $key:expr, $priority:expr, $limit:expr;)*) => {
        vec![$(route(
            Method::$method,
            $path,
            $(Handler::Ready($at::$ready))? $(Handler::Task(|api, request| Box::pin($by::$task(api, request))))?,
            $access, $key, $priority, $limit,
        )),*]
    };
}

/// The API.
#[rustfmt::skip]
pub fn routes() -> Vec<Route<Api>> {
    table! {
        POST   "/v1/users"                                accounts::register,          Public,   Accepted, Purchase,  Credentials;
        GET    "/v1/users/{id}"                           accounts::user,              Caller,   Accepted, Read,      Usual;
        POST   "/v1/sessions"                             accounts::log_in,            Public,   Accepted, Purchase,  Credentials;
        POST   "/v1/sessions/refresh"                     accounts::refresh,           Public,   Accepted, Purchase,  Credentials;
        DELETE "/v1/sessions/{id}"                        accounts::log_out,           Caller,   Accepted, Purchase,  Usual;
        GET    "/v1/me"                                   accounts::me,                Caller,   Accepted, Read,      Usual;
        PATCH  "/v1/me"                                   accounts::change_me,         Caller,   Accepted, Read,      Usual;
        POST   "/v1/me/password"                          accounts::change_password,   Caller,   Accepted, Purchase,  Credentials;
        GET    "/v1/me/sessions"                          accounts::list_sessions,     Caller,   Accepted, Read,      Usual;
        POST   "/admin/v1/users/{id}/suspend"             accounts::suspend,           OPERATOR, Accepted, Purchase,  Usual;
        POST   "/admin/v1/users/{id}/reinstate"           accounts::reinstate,         OPERATOR, Accepted, Purchase,  Usual;
        POST   "/admin/v1/users/{id}/roles"               accounts::change_role,       OPERATOR, Accepted, Purchase,  Usual;

        GET    "/v1/courses"                            = catalog::list_courses,       Public,   Accepted, Read,      Usual;
        POST   "/v1/courses"                              catalog::create_course,      Caller,   Accepted, Read,      Usual;
        GET    "/v1/courses/{id}"                       = catalog::get_course,         Public,   Accepted, Read,      Usual;
        PATCH  "/v1/courses/{id}"                         catalog::edit_course,        Caller,   Accepted, Read,      Usual;
        PUT    "/v1/courses/{id}/lessons/{lesson_id}"     catalog::put_lesson,         Caller,   Accepted, Read,      Usual;
        DELETE "/v1/courses/{id}/lessons/{lesson_id}"     catalog::remove_lesson,      Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/submit"                  catalog::submit_course,      Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/approve"                 catalog::approve_course,     OPERATOR, Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/reject"                  catalog::reject_course,      OPERATOR, Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/publish"                 catalog::publish_course,     Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/schedule"                catalog::schedule_course,    Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/unschedule"              catalog::unschedule_course,  Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/unlist"                  catalog::unlist_course,      Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/relist"                  catalog::relist_course,      Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/suspend"                 catalog::suspend_course,     OPERATOR, Accepted, Purchase,  Usual;
        POST   "/v1/courses/{id}/reinstate"               catalog::reinstate_course,   OPERATOR, Accepted, Purchase,  Usual;
        POST   "/v1/courses/{id}/retire"                  catalog::retire_course,      Caller,   Accepted, Read,      Usual;
        POST   "/v1/courses/{id}/archive"                 catalog::archive_course,     Caller,   Accepted, Read,      Usual;
        GET    "/v1/categories"                         = catalog::list_categories,    Public,   Accepted, Read,      Usual;
        GET    "/v1/me/authored-courses"                  catalog::list_authored,      Caller,   Accepted, Read,      Usual;
        GET    "/v1/me/authored-courses/{id}"             catalog::get_authored,       Caller,   Accepted, Read,      Usual;
        POST   "/admin/v1/courses"                        catalog::import_course,      OPERATOR, Accepted, Read,      Usual;

        POST   "/v1/events"                               recommend::report_events,    Caller,   Accepted, Recommend, Usual;
        GET    "/v1/me/recommendations"                   recommend::recommendations,  Caller,   Accepted, Recommend, Usual;
        GET    "/v1/me/recommendation-profile"            privacy::recommendation_profile, Caller, Accepted, Recommend, Usual;
        PUT    "/v1/me/recommendation-profile"            privacy::choose_recommendations, Caller, Accepted, Read, Usual;
        GET    "/v1/courses/{id}/similar"                 recommend::similar_courses,  Public,   Accepted, Recommend, Usual;

        POST   "/v1/quotes"                                      commerce::quote,            Caller,   Accepted, Read,      Usual;
        POST   "/v1/orders"                                      commerce::place_order,      Caller,   Required, Purchase,  Limit::Purchase;
        GET    "/v1/orders/{id}"                                 commerce::get_order,        Caller,   Accepted, Read,      Usual;
        POST   "/v1/orders/{id}/cancel"                          commerce::cancel_order,     Caller,   Accepted, Purchase,  Usual;
        POST   "/v1/orders/{id}/refunds"                         commerce::refund_order,     Caller,   Required, Purchase,  Limit::Purchase;
        POST   "/v1/orders/{id}/payments"                        commerce::pay_order,        Caller,   Required, Purchase,  Limit::Purchase;
        POST   "/v1/orders/{id}/refunds/preview"                 commerce::preview_refund,   Caller,   Accepted, Read,      Usual;
        POST   "/v1/orders/{id}/refunds/{refund_id}/cancel"      commerce::cancel_refund,    Caller,   Accepted, Purchase,  Usual;
        POST   "/v1/sales"                                       commerce::create_sale,      Caller,   Accepted, Read,      Usual;
        GET    "/v1/sales/{id}"                                  commerce::get_sale,         Public,   Accepted, Read,      Usual;
        GET    "/v1/me/orders"                                   commerce::list_orders,      Caller,   Accepted, Read,      Usual;
        PUT    "/v1/orders/{id}/invoice-details"                 billing::name_recipient,    Caller,   Accepted, Purchase,  Usual;
        GET    "/v1/orders/{id}/invoice"                         billing::order_invoice,     Caller,   Accepted, Read,      Usual;
        GET    "/v1/orders/{id}/invoice.html"                    billing::order_invoice_html, Caller,  Accepted, Read,      Usual;
        GET    "/v1/orders/{id}/invoice.pdf"                     billing::order_invoice_pdf, Caller,   Accepted, Read,      Usual;
        GET    "/v1/me/invoices"                                 billing::list_invoices,     Caller,   Accepted, Read,      Usual;
        GET    "/v1/me/invoices/{number}"                        billing::get_invoice,       Caller,   Accepted, Read,      Usual;
        GET    "/v1/me/wallet"                                   commerce::wallet,           Caller,   Accepted, Read,      Usual;
        POST   "/v1/me/wallet/top-ups"                           commerce::top_up,           Caller,   Required, Purchase,  Limit::Purchase;
        GET    "/v1/me/wallet/top-ups/{id}"                      commerce::get_top_up,       Caller,   Accepted, Read,      Usual;
        POST   "/callbacks/sandbox"                              commerce::sandbox_callback, Public,   Accepted, Callback,  Never;
        POST   "/callbacks/stripe"                               commerce::stripe_callback,  Public,   Accepted, Callback,  Never;
        POST   "/callbacks/wechat"                               commerce::wechat_callback,  Public,   Accepted, Callback,  Never;
        POST   "/callbacks/alipay"                               commerce::alipay_callback,  Public,   Accepted, Callback,  Never;
        GET    "/v1/me/courses"                                  learning::my_courses,       Caller,   Accepted, Read,      Usual;
        GET    "/v1/courses/{id}/lessons/{lesson_id}/content"    learning::lesson_content,   Public,   Accepted, Read,      Usual;
        GET    "/admin/v1/sagas"                                 commerce::sagas,            OPERATOR, Accepted, Read,      Usual;
        GET    "/admin/v1/sagas/{id}"                            commerce::saga,             OPERATOR, Accepted, Read,      Usual;
        POST   "/admin/v1/sagas/{id}/retry"                      commerce::retry_saga,       OPERATOR, Accepted, Purchase,  Usual;
        POST   "/admin/v1/sagas/{id}/compensate"                 commerce::compensate_saga,  OPERATOR, Required, Purchase,  Usual;
        POST   "/admin/v1/sagas/{id}/reconcile"                  commerce::reconcile_saga,   OPERATOR, Accepted, Purchase,  Usual;
        GET    "/admin/v1/refunds"                               commerce::refunds,          OPERATOR, Accepted, Read,      Usual;
        GET    "/admin/v1/refunds/{id}"                          commerce::refund,           OPERATOR, Accepted, Read,      Usual;
        POST   "/admin/v1/refunds/{id}/approve"                  commerce::approve_refund,   OPERATOR, Required, Purchase,  Usual;
        POST   "/admin/v1/refunds/{id}/reject"                   commerce::reject_refund,    OPERATOR, Accepted, Purchase,  Usual;
        GET    "/admin/v1/orders/{id}/timeline"                  commerce::order_timeline,   OPERATOR, Accepted, Read,      Usual;
        GET    "/admin/v1/ledger/trial-balance"                  commerce::trial_balance,    OPERATOR, Accepted, Read,      Usual;
        GET    "/admin/v1/ledger/entries"                        commerce::ledger_entries,   OPERATOR, Accepted, Read,      Usual;
        POST   "/admin/v1/adjustments"                           commerce::propose_adjustment, OPERATOR, Required, Purchase, Usual;
        GET    "/admin/v1/adjustments"                           commerce::adjustments,      OPERATOR, Accepted, Read,      Usual;
        GET    "/admin/v1/adjustments/{id}"                      commerce::adjustment,       OPERATOR, Accepted, Read,      Usual;
        POST   "/admin/v1/adjustments/{id}/approve"              commerce::approve_adjustment, OPERATOR, Required, Purchase, Usual;
        POST   "/admin/v1/adjustments/{id}/reject"               commerce::reject_adjustment, OPERATOR, Accepted, Purchase, Usual;

        POST   "/v1/me/webhook-endpoints"                    webhooks::create_webhook_endpoint, Caller, Accepted, Read,    Usual;
        GET    "/v1/me/webhook-endpoints"                    webhooks::list_webhook_endpoints,  Caller, Accepted, Read,    Usual;
        GET    "/v1/me/webhook-endpoints/{id}"               webhooks::get_webhook_endpoint,    Caller, Accepted, Read,    Usual;
        PATCH  "/v1/me/webhook-endpoints/{id}"               webhooks::change_webhook_endpoint, Caller, Accepted, Read,    Usual;
        DELETE "/v1/me/webhook-endpoints/{id}"               webhooks::delete_webhook_endpoint, Caller, Accepted, Read,    Usual;
        POST   "/v1/me/webhook-endpoints/{id}/rotate-secret" webhooks::rotate_webhook_secret,   Caller, Accepted, Read,    Usual;
        GET    "/v1/me/webhook-endpoints/{id}/deliveries"    webhooks::list_webhook_deliveries, Caller, Accepted, Read,    Usual;
        POST   "/v1/me/webhook-endpoints/{id}/deliveries/{delivery_id}/replay" webhooks::replay_webhook_delivery, Caller, Accepted, Read, Usual;
        POST   "/v1/bundles"                                     commerce::create_bundle,    Caller,   Accepted, Read,      Usual;
        GET    "/v1/bundles"                                     commerce::list_bundles,     Public,   Accepted, Read,      Usual;
        GET    "/v1/bundles/{id}"                                commerce::get_bundle,       Public,   Accepted, Read,      Usual;
        POST   "/v1/bundles/{id}/withdraw"                       commerce::withdraw_bundle,  Caller,   Accepted, Read,      Usual;
        POST   "/v1/group-offers"                                commerce::create_group_offer, Caller, Accepted, Read,      Usual;
        GET    "/v1/group-offers"                                commerce::list_group_offers, Public,  Accepted, Read,      Usual;
        GET    "/v1/group-offers/{id}"                           commerce::get_group_offer,  Public,   Accepted, Read,      Usual;
        POST   "/v1/group-offers/{id}/withdraw"                  commerce::withdraw_group_offer, Caller, Accepted, Read,    Usual;
        GET    "/v1/teams/{id}"                                  commerce::get_team,         Public,   Accepted, Read,      Usual;
        POST   "/v1/coupons"                                     commerce::create_coupon,    Caller,   Accepted, Read,      Usual;
        GET    "/v1/coupons"                                     commerce::list_coupons,     Caller,   Accepted, Read,      Usual;
        GET    "/v1/coupons/{id}"                                commerce::get_coupon,       Caller,   Accepted, Read,      Usual;
        POST   "/v1/coupons/{id}/disable"                        commerce::disable_coupon,   Caller,   Accepted, Read,      Usual;
        POST   "/v1/membership-plans"                            commerce::create_plan,      Caller,   Accepted, Read,      Usual;
        GET    "/v1/membership-plans"                            commerce::list_plans,       Public,   Accepted, Read,      Usual;
        GET    "/v1/membership-plans/{id}"                       commerce::get_plan,         Public,   Accepted, Read,      Usual;
        POST   "/v1/membership-plans/{id}/withdraw"              commerce::withdraw_plan,    Caller,   Accepted, Read,      Usual;
        POST   "/admin/v1/membership-plans"                      commerce::create_platform_plan, OPERATOR, Accepted, Purchase, Usual;
        POST   "/v1/memberships"                                 commerce::join_plan,        Caller,   Required, Purchase,  Limit::Purchase;
        GET    "/v1/me/memberships"                              commerce::list_memberships, Caller,   Accepted, Read,      Usual;
        GET    "/v1/memberships/{id}"                            commerce::get_membership,   Caller,   Accepted, Read,      Usual;
        POST   "/v1/memberships/{id}/cancel"                     commerce::cancel_membership, Caller,  Accepted, Purchase,  Usual;
        POST   "/v1/memberships/{id}/pause"                      commerce::pause_membership, Caller,   Accepted, Purchase,  Usual;
        POST   "/v1/memberships/{id}/resume"                     commerce::resume_membership, Caller,  Accepted, Purchase,  Usual;
        POST   "/v1/redemptions"                                 commerce::redeem_code,      Caller,   Accepted, Purchase,  Usual;
        POST   "/admin/v1/code-batches"                          commerce::issue_codes,      OPERATOR, Required, Purchase,  Usual;
        GET    "/admin/v1/code-batches/{id}"                     commerce::code_batch,       OPERATOR, Accepted, Read,      Usual;
        POST   "/admin/v1/code-batches/{id}/cancel"              commerce::cancel_codes,     OPERATOR, Accepted, Purchase,  Usual;
        POST   "/admin/v1/coupons"                               commerce::create_platform_coupon, OPERATOR, Accepted, Purchase, Usual;
        GET    "/admin/v1/coupons"                               commerce::platform_coupons, OPERATOR, Accepted, Read,      Usual;
        GET    "/admin/v1/coupons/{id}"                          commerce::platform_coupon,  OPERATOR, Accepted, Read,      Usual;
        POST   "/admin/v1/coupons/{id}/disable"                  commerce::disable_platform_coupon, OPERATOR, Accepted, Purchase, Usual;

        GET    "/.well-known/jwks.json"                 = keys::keys,                  Public,   Accepted, Read,      Usual;
        GET    "/openapi.json"                          = docs::description,           Public,   Accepted, Read,      Usual;
        GET    "/docs"                                  = docs::page,                  Public,   Accepted, Read,      Usual;
        GET    "/docs/{file}"                           = docs::asset,                 Public,   Accepted, Read,      Usual;
    }
}

/// Metrics, health and operators; on a listener of their own if one is configured.
#[rustfmt::skip]
pub fn operations() -> Vec<Route<Api>> {
    table! {
        GET    "/livez"                         = health::live,             Public,   Accepted, Probe,    Never;
        GET    "/readyz"                          health::ready,            Public,   Accepted, Probe,    Never;
        GET    "/startupz"                      = health::started,          Public,   Accepted, Probe,    Never;
        GET    "/metrics"                         health::metrics,          Public,   Accepted, Probe,    Never;
        GET    "/admin/v1/cluster"                admin::cluster,           OPERATOR, Accepted, Read,     Usual;
        POST   "/admin/v1/nodes/{node}/drain"     admin::drain,             OPERATOR, Accepted, Purchase, Usual;
        POST   "/admin/v1/nodes/{node}/evict"     admin::evict,             OPERATOR, Accepted, Purchase, Usual;
        POST   "/admin/v1/shards/{shard}/move"    admin::move_shard,        OPERATOR, Accepted, Purchase, Usual;
        GET    "/admin/v1/audit-log"              admin::audit_log,         OPERATOR, Accepted, Read,     Usual;
        GET    "/admin/v1/audit-log/verification" admin::verify_audit_log,  OPERATOR, Accepted, Read,     Usual;
        GET    "/admin/v1/recommendation-models"  models::recommendation_models, OPERATOR, Accepted, Read, Usual;
        POST   "/admin/v1/recommendation-models/train" models::train_model,  OPERATOR, Accepted, Purchase, Usual;
        POST   "/admin/v1/recommendation-models/{version}/activate" models::activate_model, OPERATOR, Accepted, Purchase, Usual;
        POST   "/admin/v1/imports"                imports::import,          OPERATOR, Accepted, Read,     Usual;
        GET    "/admin/v1/entities/{kind}/{id}"   admin::entity,            OPERATOR, Accepted, Read,     Usual;
    }
}

fn route(
    method: Method,
    template: &'static str,
    handler: Handler<Api>,
    access: Access,
    key: Key,
    priority: Priority,
    limit: Limit,
) -> Route<Api> {
    Route {
        method,
        template,
        handler,
        access,
        key,
        priority,
        limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::Routes;

    #[test]
    fn the_table_is_consistent_on_one_listener_or_two() {
        assert!(Routes::new(routes()).is_ok());
        assert!(Routes::new(operations()).is_ok());
        assert!(Routes::new(routes().into_iter().chain(operations()).collect()).is_ok());
    }

    #[test]
    fn whatever_belongs_to_somebody_needs_a_caller() {
        for route in routes().iter().chain(&operations()) {
            let template = route.template;
            // Registering and logging in are how one becomes a caller; a callback's sender signs its body.
            let by_itself = route.limit == Limit::Credentials || route.priority == Priority::Callback;
            let own = template == "/v1/me" || template.starts_with("/v1/me/");
            let personal = own || route.method != Method::GET && !by_itself;

            assert!(!personal || route.access != Public, "{template}");
            assert!(
                !template.starts_with("/admin/") || route.access == OPERATOR,
                "{template}"
            );
        }
    }

    #[test]
    fn posts_that_move_money_ask_for_a_key() {
        for route in routes()
            .iter()
            .filter(|route| route.method == Method::POST && route.limit == Limit::Purchase)
        {
            assert_eq!(route.key, Required, "{}", route.template);
        }
    }
}
