//! What ids, headers and times look like, by their name: written once, so that no description forgets it.
//!
//! Their parsers live elsewhere and hold the rule; a test tries each pattern against them.

use lyceum_domain::ids::{
    AdjustmentKind, BatchKind, BundleKind, ChapterKind, CouponKind, CourseKind, GroupKind, LessonKind,
    MembershipKind, OrderKind, PaymentKind, PlanKind, RefundKind, SaleKind, SessionKind, TeamKind, UserKind,
    WebhookDeliveryKind, WebhookEndpointKind, WebhookEventKind,
};
use lyceum_kernel::IdKind;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayItems, KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{OpenApi, RefOr};

/// Visible ASCII, as `idempotency.rs` asks for.
const KEY: &str = "^[!-~]{1,255}$";
/// RFC 3339 in UTC, as the kernel's `Timestamp` reads it.
const TIME: &str =
    "^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z$";

/// Segments of a path and the ids that come after them.
const AFTER_SEGMENT: [(&str, &str); 18] = [
    ("adjustments", AdjustmentKind::PREFIX),
    ("bundles", BundleKind::PREFIX),
    ("code-batches", BatchKind::PREFIX),
    ("coupons", CouponKind::PREFIX),
    ("courses", CourseKind::PREFIX),
    ("authored-courses", CourseKind::PREFIX),
    ("group-offers", GroupKind::PREFIX),
    ("membership-plans", PlanKind::PREFIX),
    ("memberships", MembershipKind::PREFIX),
    ("orders", OrderKind::PREFIX),
    ("refunds", RefundKind::PREFIX),
    // A checkout is named by its order, the saga of a payment by the payment.
    ("sagas", "(ord|pay)"),
    ("sales", SaleKind::PREFIX),
    ("sessions", SessionKind::PREFIX),
    ("teams", TeamKind::PREFIX),
    ("top-ups", PaymentKind::PREFIX),
    ("users", UserKind::PREFIX),
    ("webhook-endpoints", WebhookEndpointKind::PREFIX),
];

/// Names of parameters and fields that hold an id of one kind wherever they are.
const BY_NAME: [(&str, &str); 19] = [
    ("bundle_id", BundleKind::PREFIX),
    ("chapter_id", ChapterKind::PREFIX),
    ("course_id", CourseKind::PREFIX),
    ("creator", UserKind::PREFIX),
    ("creator_id", UserKind::PREFIX),
    ("delivery_id", WebhookDeliveryKind::PREFIX),
    ("event_id", WebhookEventKind::PREFIX),
    ("lesson_id", LessonKind::PREFIX),
    ("refund_id", RefundKind::PREFIX),
    ("order_id", OrderKind::PREFIX),
    ("owner", UserKind::PREFIX),
    ("membership_id", MembershipKind::PREFIX),
    ("open_order_id", OrderKind::PREFIX),
    ("payment_id", PaymentKind::PREFIX),
    ("plan_id", PlanKind::PREFIX),
    ("group_offer_id", GroupKind::PREFIX),
    ("sale_id", SaleKind::PREFIX),
    ("team_id", TeamKind::PREFIX),
    ("user_id", UserKind::PREFIX),
];

/// Adds the patterns to a whole description.
pub(super) fn describe(description: &mut OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            describe_parameters(path, operation);
            describe_body(operation);
        }
    }
    let components = description.components.get_or_insert_default();
    for schema in components.schemas.values_mut() {
        describe_schema(schema);
    }
}

fn describe_parameters(path: &str, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let pattern = match parameter.parameter_in {
            ParameterIn::Path => id_in(path, &parameter.name),
            ParameterIn::Query => named(&parameter.name),
            ParameterIn::Header => {
                without_null(parameter);
                (parameter.name == "Idempotency-Key").then(|| KEY.to_owned())
            }
            ParameterIn::Cookie | ParameterIn::QueryString => None,
        };
        if let (Some(pattern), Some(RefOr::T(Schema::Object(schema)))) = (pattern, &mut parameter.schema) {
            schema.pattern = Some(pattern);
        }
    }
}

/// An optional body is left out; null is another body, which is refused.
fn describe_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(one))) = &mut content.schema
        {
            one.items.retain(|item| !is_null(item));
        }
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

/// An optional header is left out; there is no way to write null in one.
fn without_null(parameter: &mut Parameter) {
    if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
        schema.schema_type = SchemaType::Type(Type::String);
    }
}

/// One of several things under its name holds nothing beside it.
fn variant_alone(variant: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = variant
        && object.properties.len() == 1
        && object.required.len() == 1
    {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

fn describe_schema(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            for (name, property) in &mut object.properties {
                match property {
                    RefOr::T(Schema::Object(field)) => describe_field(name, field),
                    RefOr::T(Schema::Array(list)) => describe_items(name, list),
                    _ => {}
                }
                describe_schema(property);
            }
        }
        Schema::AllOf(all) => all.items.iter_mut().for_each(describe_schema),
        Schema::OneOf(one) => {
            one.items.iter_mut().for_each(variant_alone);
            one.items.iter_mut().for_each(describe_schema);
        }
        Schema::AnyOf(any) => any.items.iter_mut().for_each(describe_schema),
        _ => {}
    }
}

fn describe_field(name: &str, field: &mut Object) {
    if field.format == Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)) {
        field.pattern = Some(TIME.to_owned());
    } else if is_text(field) && field.pattern.is_none() {
        field.pattern = named(name);
    }
}

/// A list of ids is named after what one of them would be: `course_ids`.
fn describe_items(name: &str, list: &mut Array) {
    if let Some(one) = name.strip_suffix('s')
        && let ArrayItems::RefOrSchema(items) = &mut list.items
        && let RefOr::T(Schema::Object(item)) = items.as_mut()
    {
        describe_field(one, item);
    }
}

fn is_text(field: &Object) -> bool {
    match &field.schema_type {
        SchemaType::Type(kind) => *kind == Type::String,
        SchemaType::Array(kinds) => kinds.contains(&Type::String),
        SchemaType::AnyValue => false,
    }
}

fn id_in(path: &str, parameter: &str) -> Option<String> {
    let place = format!("/{{{parameter}}}");
    let (before, _) = path.split_once(&place)?;
    let segment = before.rsplit('/').next()?;
    let found = AFTER_SEGMENT
        .iter()
        .find(|(name, _)| *name == segment && parameter == "id");
    found.map(|(_, prefix)| id(prefix)).or_else(|| named(parameter))
}

fn named(name: &str) -> Option<String> {
    let found = BY_NAME.iter().find(|(field, _)| *field == name);
    found.map(|(_, prefix)| id(prefix))
}

/// 26 symbols of base32, of which the first holds three bits.
fn id(prefix: &str) -> String {
    format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths_are_of_the_kind_that_their_place_asks_for() {
        assert_eq!(id_in("/v1/orders/{id}/refunds", "id"), Some(id("ord")));
        assert_eq!(
            id_in("/v1/courses/{id}/lessons/{lesson_id}", "id"),
            Some(id("crs"))
        );
        assert_eq!(
            id_in("/v1/courses/{id}/lessons/{lesson_id}", "lesson_id"),
            Some(id("les"))
        );
        assert_eq!(id_in("/admin/v1/entities/{kind}/{id}", "id"), None);
        assert_eq!(id_in("/admin/v1/entities/{kind}/{id}", "kind"), None);
    }

    #[test]
    fn the_pattern_of_an_id_has_the_symbols_and_the_length_of_one() {
        let text = lyceum_domain::ids::CourseId::from_u128(u128::MAX).to_string();

        assert_eq!(text, "crs_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(id("crs"), "^crs_[0-7][0-9a-hjkmnp-tv-z]{25}$");
        for left_out in ["i", "l", "o", "u"] {
            let with = text.replace("zzz", &format!("z{left_out}z"));
            assert!(
                with.parse::<lyceum_domain::ids::CourseId>().is_err(),
                "{left_out}"
            );
        }
    }

    #[test]
    fn the_content_of_a_lesson_is_one_thing_and_nothing_beside_it() {
        let document: serde_json::Value =
            serde_json::from_slice(&crate::http::openapi::ready_made().0).unwrap();

        let variants = document["components"]["schemas"]["NewContentBody"]["oneOf"].as_array();

        for variant in variants.unwrap() {
            assert_eq!(variant["additionalProperties"], false, "{variant}");
        }
    }

    #[test]
    fn a_body_that_may_be_left_out_is_not_null() {
        let document: serde_json::Value =
            serde_json::from_slice(&crate::http::openapi::ready_made().0).unwrap();

        for path in ["/v1/courses/{id}/reject", "/v1/bundles/{id}/withdraw"] {
            let body = &document["paths"][path]["post"]["requestBody"];
            let schema = body["content"]["application/json"]["schema"].to_string();
            assert_ne!(body["required"], true, "{path}");
            assert!(
                schema.contains("ReasonBody") || schema.contains("WithdrawalBody"),
                "{schema}"
            );
            assert!(!schema.contains("null"), "{schema}");
        }
    }

    #[test]
    fn each_of_a_list_of_ids_has_the_pattern_of_one() {
        let document: serde_json::Value =
            serde_json::from_slice(&crate::http::openapi::ready_made().0).unwrap();

        for body in ["BundleRequest", "BundleBody", "RedemptionBody"] {
            let list = &document["components"]["schemas"][body]["properties"]["course_ids"];
            assert_eq!(list["items"]["pattern"], id("crs"), "{body}");
        }
    }

    #[test]
    fn every_id_of_a_path_has_a_pattern_but_that_of_any_entity() {
        let document: serde_json::Value =
            serde_json::from_slice(&crate::http::openapi::ready_made().0).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
                    let described = parameter["schema"]["pattern"].is_string();
                    // The names of nodes are their operators' choice, and shards and versions are numbers.
                    let of_any_kind = ["entities", "nodes", "shards", "recommendation-models"]
                        .iter()
                        .any(|part| path.starts_with(&format!("/admin/v1/{part}/")));

                    assert_eq!(described, !of_any_kind, "{method} {path} {}", parameter["name"]);
                }
            }
        }
    }
}
