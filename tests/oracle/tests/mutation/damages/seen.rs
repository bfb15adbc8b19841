//! Damages to what others say: the provider, the clients, and a server that reads damaged state.

use lyceum_oracle::history::{Outcome, Request};
use lyceum_oracle::provider::Statement;
use serde_json::{Value, json};

use super::{Damage, Harm};

const fn provider(breaks: &'static str, what: &'static str, harm: fn(&mut Statement)) -> Damage {
    Damage {
        what,
        breaks,
        harm: Harm::Provider(harm),
    }
}

const fn history(breaks: &'static str, what: &'static str, harm: fn(&mut Vec<Request>)) -> Damage {
    Damage {
        what,
        breaks,
        harm: Harm::History(harm),
    }
}

const fn served(breaks: &'static str, what: &'static str, sql: &'static str) -> Damage {
    Damage {
        what,
        breaks,
        harm: Harm::Served(sql),
    }
}

pub(super) const DAMAGES: &[Damage] = &[
    provider(
        "provider.nobody_is_charged_twice",
        "a second charge of one payment",
        |book| {
            let mut again = book.charges[0].clone();
            again.id.push('0');
            again.key.push('0');
            book.charges.push(again);
        },
    ),
    provider(
        "provider.every_charge_is_known",
        "a charge for a payment of nobody",
        |book| {
            let mut foreign = book.charges[0].clone();
            foreign.id.push('0');
            foreign.reference = "pay_00000000000000000000000000".to_owned();
            book.charges.push(foreign);
        },
    ),
    provider(
        "provider.every_charge_is_known",
        "a charge of another amount",
        |book| {
            book.charges[0].amount += 1;
        },
    ),
    provider(
        "provider.every_success_was_charged",
        "a charge that was never made",
        |book| {
            let made = book
                .charges
                .iter()
                .position(|charge| charge.state == "succeeded")
                .unwrap();
            book.charges.remove(made);
        },
    ),
    provider(
        "provider.every_refund_is_known",
        "a refund that nobody asked for",
        |book| {
            let mut foreign = book.refunds[0].clone();
            foreign.reference = "ref_00000000000000000000000000".to_owned();
            book.refunds.push(foreign);
        },
    ),
    provider(
        "provider.every_refund_was_sent_once",
        "a refund that was never sent",
        |book| {
            book.refunds.clear();
        },
    ),
    provider(
        "provider.every_refund_was_sent_once",
        "a refund that was sent twice",
        |book| {
            book.refunds.push(book.refunds[0].clone());
        },
    ),
    provider(
        "provider.refunds_within_charge",
        "more given back than taken",
        |book| {
            book.refunds[0].amount += 1;
        },
    ),
    provider(
        "provider.sum_is_the_ledger",
        "a charge in another currency",
        |book| {
            book.charges[0].currency = "USD".to_owned();
        },
    ),
    history(
        "claims.nothing_is_lost",
        "an order that a client was told of and nobody has",
        |requests| {
            response(bought(requests))["id"] = json!("ord_01h455vb4pex5vsknk084sn02q");
        },
    ),
    history(
        "claims.it_is_as_it_was_told",
        "an order whose total a client was told wrong",
        |requests| {
            response(bought(requests))["total"]["amount"] = json!(1);
        },
    ),
    history(
        "claims.it_is_as_it_was_told",
        "an order that a client was told of and another has",
        |requests| {
            bought(requests).intent.user = Some("cleo".to_owned());
        },
    ),
    history(
        "claims.one_effect_each",
        "two requests that were told of one order",
        |requests| {
            let mut again = bought(requests).clone();
            again.intent.idempotency_key = Some("another".to_owned());
            requests.push(again);
        },
    ),
    history(
        "claims.repetitions_are_answered_alike",
        "a repetition that was answered otherwise",
        |requests| {
            let mut again = bought(requests).clone();
            let Some(Outcome::Acknowledged { body_sha256, .. }) = &mut again.outcome else {
                return;
            };
            body_sha256.replace_range(..4, "0000");
            requests.push(again);
        },
    ),
    history(
        "claims.nothing_is_made_up",
        "an order that its client never asked for",
        |requests| {
            let order = requests.iter().position(is_purchase).unwrap();
            requests.remove(order);
        },
    ),
    history(
        "claims.nothing_is_made_up",
        "an order that its client was refused",
        |requests| {
            let unknown = |request: &&mut Request| matches!(request.outcome, Some(Outcome::Unknown { .. }));
            requests.iter_mut().find(unknown).unwrap().outcome = Some(Outcome::Refused {
                http: 402,
                code: None,
            });
        },
    ),
    history(
        "claims.nothing_is_made_up",
        "a top-up that its client never asked for",
        |requests| {
            requests.retain(|request| request.intent.kind != "top_up");
        },
    ),
    history(
        "claims.nothing_is_made_up",
        "a refund that its client never asked for",
        |requests| {
            requests.retain(|request| request.intent.kind != "refund");
        },
    ),
    Damage {
        what: "a client whose password is another one",
        breaks: "api.clients_can_log_in",
        harm: Harm::ServedHistory(|requests| {
            for request in requests
                .iter_mut()
                .filter(|request| request.intent.kind == "register")
            {
                request.intent.body = request.intent.body.replace("violin", "guitar");
            }
        }),
    },
    served(
        "api.wallet_is_the_ledger",
        "a snapshot with another balance",
        "UPDATE snapshots SET state = regexp_replace(state::text, '\"balance\":\\d+', '\"balance\":7')::json WHERE kind = 4",
    ),
    served(
        "api.order_reads_back",
        "a snapshot with another price",
        "UPDATE snapshots SET state = replace(state::text, ':1990,', ':1991,')::json WHERE kind = 4",
    ),
    served(
        "api.access_is_granted",
        "a snapshot in which nobody owns anything",
        "UPDATE snapshots SET state = jsonb_set(state::jsonb, '{access}', '{}')::json WHERE kind = 4",
    ),
    served(
        "replay.answers_identically",
        "a recorded answer with another title",
        "UPDATE operations SET answer = replace(answer::text, 'A course of 2990', 'Another')::json WHERE kind = 4",
    ),
    Damage {
        what: "a report of which the client was told that more was taken in",
        breaks: "replay.signals_are_known_again",
        harm: Harm::ServedHistory(|requests| {
            let report = requests
                .iter_mut()
                .find(|request| request.intent.path == "/v1/events");
            response(report.unwrap())["accepted"] = json!(7);
        }),
    },
    Damage {
        what: "a server to which every report comes under new ids",
        breaks: "replay.signals_are_known_again",
        harm: Harm::Renamed("start-1"),
    },
    served(
        "replay.changes_nothing",
        "operations that everybody has forgotten",
        "UPDATE events SET operation = NULL WHERE events::text LIKE '%top_up_started%'; \
         DELETE FROM operations WHERE answer::text LIKE '{\"top_up\"%'; \
         UPDATE snapshots SET operations = '{}'",
    ),
];

fn is_purchase(request: &Request) -> bool {
    request.intent.kind == "buy" && matches!(request.outcome, Some(Outcome::Acknowledged { .. }))
}

fn bought(requests: &mut [Request]) -> &mut Request {
    requests.iter_mut().find(|request| is_purchase(request)).unwrap()
}

fn response(request: &mut Request) -> &mut Value {
    match &mut request.outcome {
        Some(Outcome::Acknowledged { response, .. }) => response,
        _ => panic!("it was acknowledged"),
    }
}
