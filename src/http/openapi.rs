//! The OpenAPI 3.1 description, collected from the handlers.

mod patterns;

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::HeaderValue;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::{FieldError, ProblemBody};
use super::shapes::Money;
use super::token::etag;
use super::{
    accounts, admin, billing, catalog, commerce, health, imports, keys, learning, models, privacy, recommend,
    webhooks,
};

/// The description of every route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lyceum",
        description = "A knowledge-commerce platform. Conventions: TypeIDs, money in minor units, \
            problem details (RFC 9457), Idempotency-Key, ETag and If-Match, cursors. \
            Of equal requests under one Idempotency-Key one is carried out; the others, also those that come while it \
            runs, get its answer. \
            A head that is not HTTP, or beyond the limits of the protocol's parser (400, 414, 431), is \
            answered with a status alone: no request came into being that a problem could be about.",
    ),
    paths(
        accounts::register, accounts::log_in, accounts::refresh, accounts::log_out, accounts::list_sessions,
        accounts::me, accounts::change_me, accounts::change_password, accounts::user,
        accounts::suspend, accounts::reinstate, accounts::change_role,
        catalog::list_courses, catalog::get_course, catalog::list_categories,
        catalog::create_course, catalog::edit_course, catalog::put_lesson, catalog::remove_lesson,
        catalog::list_authored, catalog::get_authored, catalog::import_course,
        catalog::submit_course, catalog::approve_course, catalog::reject_course, catalog::publish_course,
        catalog::schedule_course, catalog::unschedule_course, catalog::unlist_course, catalog::relist_course,
        catalog::suspend_course, catalog::reinstate_course, catalog::retire_course, catalog::archive_course,
        commerce::quote, commerce::place_order, commerce::get_order, commerce::list_orders, commerce::cancel_order,
        commerce::refund_order, commerce::create_sale, commerce::get_sale, commerce::wallet, commerce::top_up, commerce::get_top_up,
        commerce::sandbox_callback, commerce::stripe_callback, commerce::wechat_callback, commerce::alipay_callback,
        commerce::sagas, commerce::saga, commerce::retry_saga, commerce::compensate_saga,
        commerce::reconcile_saga, commerce::order_timeline, commerce::trial_balance, commerce::ledger_entries,
        webhooks::create_webhook_endpoint, webhooks::list_webhook_endpoints, webhooks::get_webhook_endpoint,
        webhooks::change_webhook_endpoint, webhooks::delete_webhook_endpoint, webhooks::rotate_webhook_secret,
        webhooks::list_webhook_deliveries, webhooks::replay_webhook_delivery,
        commerce::propose_adjustment, commerce::adjustments, commerce::adjustment, commerce::approve_adjustment,
        commerce::reject_adjustment, commerce::pay_order, commerce::preview_refund, commerce::cancel_refund, commerce::refunds, commerce::refund,
        commerce::approve_refund, commerce::reject_refund, commerce::create_bundle, commerce::get_bundle, commerce::list_bundles,
        commerce::withdraw_bundle, commerce::issue_codes, commerce::code_batch, commerce::cancel_codes, commerce::redeem_code,
        commerce::create_group_offer, commerce::get_group_offer, commerce::list_group_offers, commerce::withdraw_group_offer,
        commerce::get_team,
        commerce::create_coupon, commerce::list_coupons, commerce::get_coupon, commerce::disable_coupon,
        commerce::create_plan, commerce::create_platform_plan, commerce::get_plan, commerce::list_plans, commerce::withdraw_plan,
        commerce::join_plan, commerce::list_memberships, commerce::get_membership, commerce::cancel_membership,
        commerce::pause_membership, commerce::resume_membership,
        commerce::create_platform_coupon, commerce::platform_coupons, commerce::platform_coupon, commerce::disable_platform_coupon,
        billing::name_recipient, billing::order_invoice, billing::order_invoice_html, billing::order_invoice_pdf,
        billing::list_invoices, billing::get_invoice,
        learning::my_courses, learning::lesson_content,
        recommend::report_events, recommend::recommendations, recommend::similar_courses,
        privacy::recommendation_profile, privacy::choose_recommendations,
        keys::keys, admin::cluster, admin::entity, admin::drain, admin::evict, admin::move_shard, admin::audit_log,
        admin::verify_audit_log, imports::import,
        models::recommendation_models, models::train_model, models::activate_model,
        health::live, health::ready, health::started, health::metrics,
    ),
    components(schemas(ProblemBody<'static>, FieldError, Money)),
    security(("bearer" = [])),
    modifiers(&Conventions),
)]
struct Description;

/// What holds for every operation and is therefore written once.
struct Conventions;

impl Modify for Conventions {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));

        let problem = utoipa::openapi::ContentBuilder::new()
            .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
            .build();
        let refusal = ResponseBuilder::new()
            .description("Not carried out")
            .content("application/problem+json", problem)
            .build();
        patterns::describe(description);
        for item in description.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.patch,
                &mut item.delete,
            ];
            for operation in operations.into_iter().flatten() {
                operation.summary = operation.summary.take().map(without_route);
                let responses = &mut operation.responses.responses;
                responses
                    .entry("default".to_owned())
                    .or_insert_with(|| RefOr::T(refusal.clone()));
                for (_, response) in responses
                    .iter_mut()
                    .filter(|(status, _)| status.starts_with(['4', '5']))
                {
                    if let RefOr::T(response) = response {
                        as_problem(response);
                    }
                }
            }
        }
    }
}

/// Handlers say their route first, for whoever reads the code; the description shows it beside the summary.
fn without_route(summary: String) -> String {
    let Some((_, said)) = summary.strip_prefix('`').and_then(|rest| rest.split_once("`: ")) else {
        return summary;
    };
    let mut characters = said.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// Handlers name the shape of a refusal; the content type of a problem is always the same. A node that is not ready
/// answers with something else.
fn as_problem(response: &mut utoipa::openapi::Response) {
    let problem = Ref::from_schema_name("Problem");
    let is_problem = matches!(
        response.content.get("application/json"),
        Some(RefOr::T(content)) if matches!(&content.schema, Some(RefOr::Ref(shape)) if *shape == problem)
    );
    if is_problem && let Some(content) = response.content.shift_remove("application/json") {
        response
            .content
            .insert("application/problem+json".to_owned(), content);
    }
}

/// The description as JSON.
pub fn json() -> String {
    Description::openapi()
        .to_pretty_json()
        .expect("a description is made of texts and numbers")
}

/// The description as it is served, with its entity tag.
pub(super) fn ready_made() -> &'static (Bytes, HeaderValue) {
    static READY: LazyLock<(Bytes, HeaderValue)> = LazyLock::new(|| {
        let text = Bytes::from(json());
        let tag = etag(&text);
        (text, tag)
    });
    &READY
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::http::router;

    fn document() -> serde_json::Value {
        serde_json::from_slice(&ready_made().0).unwrap()
    }

    /// Browsers fetch these; clients have no use for a description of them.
    const UNDESCRIBED: [&str; 3] = ["/openapi.json", "/docs", "/docs/{file}"];

    #[test]
    fn a_summary_begins_with_what_the_route_does() {
        let summary = "`GET /v1/me`: one's own profile.".to_owned();

        assert_eq!(without_route(summary), "One's own profile.");
        assert_eq!(without_route("Plain.".to_owned()), "Plain.");
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                described.insert((path.clone(), method.to_uppercase()));
            }
        }
        let routed: BTreeSet<_> = router::routes()
            .iter()
            .chain(&router::operations())
            .filter(|route| !UNDESCRIBED.contains(&route.template))
            .map(|route| (route.template.to_owned(), route.method.to_string()))
            .collect();

        assert_eq!(described, routed);
    }

    #[test]
    fn the_description_is_openapi_3_1_and_refers_only_to_what_it_holds() {
        let document = document();
        let text = document.to_string();

        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        for reference in text
            .split("\"$ref\":\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    /// Of two schemas of one name the description keeps one without a word, so the sources are asked.
    #[test]
    fn no_two_schemas_share_a_name() {
        let mut homes = BTreeMap::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                for name in schemas(&fs::read_to_string(&path).unwrap()) {
                    if let Some(other) = homes.insert(name.clone(), path.clone()) {
                        panic!("{name} in {} and in {}", path.display(), other.display());
                    }
                }
            }
        }

        for known in ["OrderBody", "OperatorOrderBody", "Problem", "NewContentBody"] {
            assert!(homes.contains_key(known), "{known}");
        }
        let document = document();
        let described = document["components"]["schemas"].as_object().unwrap();
        // A schema of a type with a parameter is named after both.
        let unknown: Vec<&String> = described
            .keys()
            .filter(|name| !homes.contains_key(name.split('_').next().unwrap()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?} are not found in the sources");
    }

    /// The names of the schemas that a source derives: the type's own, unless it says another.
    fn schemas(source: &str) -> Vec<String> {
        let mut names = Vec::new();
        for derived in source.split("#[derive(").skip(1) {
            let Some((traits, rest)) = derived.split_once(")]") else {
                continue;
            };
            if !traits.contains("ToSchema") {
                continue;
            }
            let item = rest
                .lines()
                .find(|line| line.contains("struct ") || line.contains("enum "));
            let item = item.expect("what is derived for");
            let (attributes, _) = rest.split_once(item).expect("it was found there");
            let after = |text: &str, word: &str| {
                let (_, rest) = text.split_once(word)?;
                rest.split(|letter: char| !letter.is_alphanumeric())
                    .next()
                    .map(ToOwned::to_owned)
            };
            let own = after(item, "struct ").or_else(|| after(item, "enum "));
            names.extend(after(attributes, "schema(as = ").or(own));
        }
        names
    }

    #[test]
    fn a_node_that_is_not_ready_answers_as_described() {
        let document = document();

        for path in ["/readyz", "/startupz"] {
            let content = &document["paths"][path]["get"]["responses"]["503"]["content"];
            let types: Vec<_> = content.as_object().unwrap().keys().collect();
            assert_eq!(types, ["application/json"], "{path}");
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            for (status, response) in item
                .as_object()
                .unwrap()
                .values()
                .flat_map(|operation| operation["responses"].as_object().unwrap())
                .filter(|(_, response)| response.to_string().contains("/Problem\""))
            {
                assert!(
                    response["content"].get("application/problem+json").is_some(),
                    "{path} {status}"
                );
            }
        }
    }

    #[test]
    fn every_operation_says_how_refusals_look() {
        for (path, item) in document()["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let content = &operation["responses"]["default"]["content"];
                assert!(
                    content.get("application/problem+json").is_some(),
                    "{method} {path}"
                );
            }
        }
    }
}
