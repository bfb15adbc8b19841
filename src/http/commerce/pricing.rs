//! What a cart costs: list prices from the catalog's snapshot, less what bundles take off each line.
//!
//! A bundle becomes a line for each of its courses that the buyer does not own.

use std::sync::Arc;

use lyceum_domain::commerce::{Error, Line, bundle, order};
use lyceum_domain::ids::{BundleId, CourseId, UserId};
use lyceum_entities::catalog::{Entry, Visibility};
use lyceum_entities::commerce::{Answer, OfferQuestion, Question};
use lyceum_kernel::{Class, Money};
use lyceum_runtime::Context;

use super::unexpected;
use crate::http::{Api, Problem};

/// One thing of a cart: a course or a bundle.
pub(super) type Wanted = (Option<CourseId>, Option<BundleId>);

/// Lines that are bought together, with what coupons ask about each.
pub(super) struct Cart {
    pub(super) lines: Vec<Line>,
    pub(super) categories: Vec<Option<Arc<str>>>,
}

/// Prices what a buyer wants; bundles without what they own.
///
/// # Errors
/// 400 `http.invalid_body`: an item that is neither a course nor a bundle; 404 `commerce.bundle_not_found`; 409
/// `commerce.bundle_owned`; 422 `commerce.course_not_for_sale`, `commerce.bundle_withdrawn`, `commerce.too_many_lines`.
pub(super) async fn cart(
    api: &Api,
    buyer: UserId,
    items: &[Wanted],
    context: &Context,
) -> Result<Cart, Problem> {
    if items.len() > order::LINES_MAX {
        return Err(Problem::from_error(&Error::TooManyLines));
    }
    let mut cart = Cart {
        lines: Vec::with_capacity(items.len()),
        categories: Vec::with_capacity(items.len()),
    };
    for (index, item) in items.iter().enumerate() {
        match item {
            &(Some(course), None) => {
                let pointer = || format!("/items/{index}/course_id");
                let entry = sold(api, course).ok_or_else(|| not_for_sale(pointer()))?;
                let share_bps = api.settings.commerce.share_bps;
                cart.push(course, &entry, share_bps, order::no_discount());
            }
            &(None, Some(bundle)) => {
                let pointer = format!("/items/{index}/bundle_id");
                cart.unbundle(api, buyer, bundle, &pointer, context).await?;
            }
            (Some(_), Some(_)) | (None, None) => {
                let problem = Problem::new(
                    Class::Malformed,
                    "http.invalid_body",
                    "The body cannot be understood.",
                );
                return Err(problem.at(format!("/items/{index}"), "either course_id or bundle_id"));
            }
        }
        if cart.lines.len() > order::LINES_MAX {
            return Err(Problem::from_error(&Error::TooManyLines));
        }
    }
    Ok(cart)
}

impl Cart {
    fn push(&mut self, course_id: CourseId, entry: &Entry, share_bps: u16, discount: Money) {
        self.lines.push(Line {
            course_id,
            course_version: entry.version,
            title: entry.title.clone(),
            price: entry.price,
            creator: entry.creator,
            share_bps,
            discount,
        });
        self.categories.push(entry.category.clone());
    }

    async fn unbundle(
        &mut self,
        api: &Api,
        buyer: UserId,
        bundle_id: BundleId,
        pointer: &str,
        context: &Context,
    ) -> Result<(), Problem> {
        let read = api
            .platform
            .bundles
            .read(bundle_id, OfferQuestion::Offer, context)
            .await;
        let offer = read.map_err(|error| at(error.into(), pointer))?.offer;
        let question = Question::Owned {
            course_ids: offer.course_ids.clone(),
        };
        let Answer::Owned(owned) = api.platform.buyers.read(buyer, question, context).await? else {
            return Err(unexpected());
        };
        let mut entries = Vec::with_capacity(offer.course_ids.len());
        for course in &offer.course_ids {
            // A course that has changed hands is no part of what its creator offers.
            let entry = sold(api, *course).filter(|entry| entry.creator == offer.creator);
            entries.push((*course, entry.ok_or_else(|| not_for_sale(pointer.to_owned()))?));
        }
        let list: Vec<Money> = entries.iter().map(|(_, entry)| entry.price).collect();
        let shares = bundle::shares(offer.price, &list).map_err(|_| {
            Problem::from_error(&Error::CurrencyUnsupported).at(pointer, "of another currency")
        })?;
        if owned.len() == entries.len() {
            let refusal = Error::Bundle(bundle::Refusal::Owned);
            return Err(Problem::from_error(&refusal).at(pointer, refusal.to_string()));
        }
        let share_bps = api.settings.commerce.share_bps;
        for ((course, entry), share) in entries.iter().zip(shares) {
            if !owned.contains(course) {
                let discount = entry.price.minus(share).unwrap_or(order::no_discount());
                self.push(*course, entry, share_bps, discount);
            }
        }
        Ok(())
    }
}

/// A course that is for sale.
fn sold(api: &Api, course: CourseId) -> Option<Arc<Entry>> {
    api.platform.catalog.get(course).filter(|entry| is_sold(entry))
}

pub(super) fn is_sold(entry: &Entry) -> bool {
    matches!(entry.visibility, Visibility::Published | Visibility::Unlisted)
}

fn not_for_sale(pointer: String) -> Problem {
    Problem::from_error(&Error::CourseNotForSale).at(pointer, "this course is not for sale")
}

/// A refusal, and which part of the request it is about.
pub(super) fn at(problem: Problem, pointer: &str) -> Problem {
    problem.at(pointer.to_owned(), "see the code of this problem")
}
