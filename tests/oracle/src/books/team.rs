//! What each event of a group price or a team means: places that are kept for orders, and granted as a whole or given back.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Books, Order, id, money};
use crate::report::{Report, Rule};

/// Places and orders agree in the journal itself.
pub(crate) const PLACES_FOLLOW_ORDERS: Rule = Rule {
    name: "books.places_follow_their_orders",
    says: "Whoever has paid a place in a team is granted if the team has succeeded, and else has the money back; no order is granted, or \
           kept waiting, on a place that it does not have.",
};

/// What the table of group prices says about each.
pub(super) const GROUPS_SQL: &str = "SELECT group_id::text, format('%s course %s by %s price %s size %s lasts %s', state, course_id, creator, \
    price, size, lasts_s) FROM group_offers";
/// What the table of teams says about each.
pub(super) const TEAMS_SQL: &str = "SELECT team_id::text, format('%s of %s course %s price %s size %s paid %s reserved %s', state, group_id, \
    course_id, price, size, paid, reserved) FROM teams";
/// What the table of places says about each.
pub(super) const PLACES_SQL: &str =
    "SELECT format('%s of %s', order_id, team_id), format('user %s %s', user_id, state) FROM team_places";

/// One group price as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    course: Uuid,
    creator: Uuid,
    price: i64,
    size: u64,
    lasts_s: u64,
    withdrawn: bool,
}

/// One team as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Team {
    group: Uuid,
    course: Uuid,
    price: i64,
    size: usize,
    /// As it is written.
    ends_at: String,
    state: &'static str,
    /// Every place that an order has had, by order.
    places: BTreeMap<Uuid, Place>,
}

/// A place that an order has had.
#[derive(Clone, Copy, Debug)]
struct Place {
    user: Uuid,
    state: &'static str,
}

pub(super) fn group(books: &mut Books, group_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    match event_type {
        "offered" => {
            let offer = &event["offer"];
            let offered = Group {
                course: id("crs", &offer["course_id"])?,
                creator: id("usr", &offer["creator"])?,
                price: money(&offer["price"])?.0,
                size: offer["size"].as_u64()?,
                lasts_s: offer["lasts_s"].as_u64()?,
                withdrawn: false,
            };
            books.groups.insert(group_id, offered).is_none().then_some(())
        }
        "withdrawn" => {
            let group = books.groups.get_mut(&group_id)?;
            (!std::mem::replace(&mut group.withdrawn, true)).then_some(())
        }
        _ => None,
    }
}

pub(super) fn apply(books: &mut Books, team_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "opened" {
        let terms = &event["terms"];
        let team = Team {
            group: id("grp", &terms["group_id"])?,
            course: id("crs", &terms["course_id"])?,
            price: money(&terms["price"])?.0,
            size: usize::try_from(terms["size"].as_u64()?).ok()?,
            ends_at: terms["ends_at"].as_str()?.to_owned(),
            state: "open",
            places: BTreeMap::new(),
        };
        return books.teams.insert(team_id, team).is_none().then_some(());
    }
    let team = books.teams.get_mut(&team_id)?;
    // Times are all written alike, so that a later one is written as a greater text.
    let in_time = event["at"].as_str()? < team.ends_at.as_str();
    match event_type {
        "succeeded" => {
            let whole = team.count("paid") == team.size && in_time;
            (std::mem::replace(&mut team.state, "succeeded") == "open" && whole).then_some(())
        }
        "failed" => (std::mem::replace(&mut team.state, "failed") == "open" && !in_time).then_some(()),
        "place_reserved" => {
            team.place(event, None, "reserved")?;
            let open = team.state == "open" && in_time;
            let user = id("usr", &event["user"])?;
            let taken = || team.places.values().filter(|place| place.state != "released");
            let of_user = taken().filter(|place| place.user == user).count();
            // Never more than there are, and never two of one buyer.
            (open && taken().count() <= team.size && of_user == 1).then_some(())
        }
        "place_paid" => {
            team.place(event, Some("reserved"), "paid")?;
            (team.state == "open" && in_time).then_some(())
        }
        "place_refused" => {
            team.place(event, Some("reserved"), "refused")?;
            (team.state == "failed").then_some(())
        }
        "place_released" => team.place(event, Some("reserved"), "released"),
        _ => None,
    }
}

impl Team {
    fn count(&self, state: &str) -> usize {
        self.places.values().filter(|place| place.state == state).count()
    }

    /// Moves the place of an order from one state to another.
    fn place(&mut self, event: &Value, from: Option<&str>, to: &'static str) -> Option<()> {
        let (order, user) = (id("ord", &event["order_id"])?, id("usr", &event["user"])?);
        let before = self.places.insert(order, Place { user, state: to });
        let fits = before.map(|place| place.state) == from;
        (fits && before.is_none_or(|place| place.user == user)).then_some(())
    }
}

/// What the table of group prices must say.
pub(super) fn groups(books: &Books) -> HashMap<String, String> {
    let row = |(id, group): (&Uuid, &Group)| {
        let text = format!(
            "{} course {} by {} price {} size {} lasts {}",
            if group.withdrawn { "withdrawn" } else { "offered" },
            group.course,
            group.creator,
            group.price,
            group.size,
            group.lasts_s
        );
        (id.to_string(), text)
    };
    books.groups.iter().map(row).collect()
}

/// What the table of teams must say.
pub(super) fn teams(books: &Books) -> HashMap<String, String> {
    let row = |(id, team): (&Uuid, &Team)| {
        let text = format!(
            "{} of {} course {} price {} size {} paid {} reserved {}",
            team.state,
            team.group,
            team.course,
            team.price,
            team.size,
            team.count("paid"),
            team.count("reserved")
        );
        (id.to_string(), text)
    };
    books.teams.iter().map(row).collect()
}

/// What the table of places must say.
pub(super) fn places(books: &Books) -> HashMap<String, String> {
    let mut rows = HashMap::new();
    for (team_id, team) in &books.teams {
        for (order, Place { user, state }) in &team.places {
            rows.insert(format!("{order} of {team_id}"), format!("user {user} {state}"));
        }
    }
    rows
}

/// Compares every place with its order, and every order with its place, at rest.
pub(super) fn examine(books: &Books, report: &mut Report) {
    report.examine(PLACES_FOLLOW_ORDERS);
    for (team_id, team) in &books.teams {
        for (order_id, place) in &team.places {
            let order = books.orders.get(order_id);
            let own = order.filter(|order| order.user == place.user && order.team == Some(*team_id));
            let fits = match (place.state, own) {
                ("released", None) => order.is_none(),
                ("released", Some(order)) => !order.held && !order.fulfilled,
                ("paid" | "refused", Some(order)) => agrees(team, place, order),
                _ => false,
            };
            if !fits {
                let order = order.map(|order| order.state);
                let text = format!(
                    "place {} of {order_id} in {team_id}, which is {}, order {order:?}",
                    place.state, team.state
                );
                report.violate(PLACES_FOLLOW_ORDERS, 1, text);
            }
        }
    }
    for (order_id, order) in &books.orders {
        let kept = order.held || (order.fulfilled && order.team.is_some());
        let team = order.team.and_then(|team_id| books.teams.get(&team_id));
        let place = team.and_then(|team| team.places.get(order_id));
        if kept && place.is_none_or(|place| !["paid", "refused"].contains(&place.state)) {
            let text = format!("order {order_id} has no place in {:?}", order.team);
            report.violate(PLACES_FOLLOW_ORDERS, 1, text);
        }
    }
}

/// Whether an order is where its paid place says. What costs nothing waits for nobody, and what its buyer has had otherwise by then is
/// returned.
fn agrees(team: &Team, place: &Place, order: &Order) -> bool {
    let at_the_price = order.lines.len() == 1 && order.total <= team.price;
    let returned = order.held && !order.fulfilled && order.state == "refunded";
    let granted = order.fulfilled && (order.held || order.total == 0);
    at_the_price
        && match (team.state, place.state) {
            ("succeeded", "paid") => granted || returned,
            ("open", "paid") => order.state == "paid" || order.total == 0,
            _ => returned || order.total == 0,
        }
}

/// The team that an order has a place in, by what was agreed when it was placed.
pub(super) fn reserved_by(placement: &Value) -> Option<Option<Uuid>> {
    let Some(reservations) = placement["reservations"].as_array() else {
        return placement["reservations"].is_null().then_some(None);
    };
    let mut places = reservations
        .iter()
        .filter(|reservation| reservation["type"] == "place");
    match places.next() {
        None => Some(None),
        // Nothing else is reserved with it.
        Some(place) if reservations.len() == 1 => id("tem", &place["team_id"]).map(Some),
        Some(_) => None,
    }
}
