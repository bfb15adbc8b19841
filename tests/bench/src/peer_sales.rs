//! The same flash sale held by the systems people use instead: those ways of actix-web over Postgres that do not oversell.
//!
//! The peers know no slots: a course with a stock is sold until it is gone, by a conditional `UPDATE` at the beginning of the order's
//! transaction or right before its commit. The one-statement order is left out, since it does not look at the stock.

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::http::request;
use crate::load::Sample;
use crate::peers::{Peer, PeerArgs, seed};
use crate::purchases::figures;
use crate::report::{Goal, Line, Section, progress};
use crate::sales::{BUYERS, CONNECTIONS, ROUNDS, SEATS, Sales, answered};
use crate::seed::Seeded;
use crate::site::{Place, Site};
use crate::stats::{median, ratio};
use crate::tokens::peer_token;

/// How the order reaches Postgres, and how it takes from the stock.
const WAYS: [(&str, &str); 3] = [
    ("pipelined", "late"),
    ("pipelined", "conditional"),
    ("steps", "conditional"),
];
/// Courses of the sales; those of the seed are below.
const FIRST_COURSE: i32 = 20_001;
const OPEN: &str = "INSERT INTO courses SELECT $1, 'sale-' || $1, title, summary, teacher, category, 990, rating, students, tags, \
    lessons, updated_at, $2 FROM courses WHERE id = 1";

/// Measures Lyceum's flash sales beside those of its peers.
///
/// # Errors
/// A buyer was not answered, or more or less was sold than there is.
pub(crate) async fn run(
    place: &Place,
    site: &Site,
    seeded: &Seeded,
    database: &Client,
    args: &PeerArgs,
) -> Result<Section, Failure> {
    let (url, books) = seed(place, database, &args.schema).await?;
    let mut peers = Vec::new();
    for (order, stock) in WAYS {
        peers.push(Peer::start(place, &args.peer, order, stock, &url).await?);
    }
    let mut ours = Sales::new(seeded)?;
    let tokens: Vec<String> = (1..=BUYERS).map(peer_token).collect::<Result<_, _>>()?;
    let mut course = FIRST_COURSE;
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); WAYS.len() + 1];
        for round in 1..=ROUNDS {
            progress(&format!(
                "flash sale: {connections} connections, round {round} of {ROUNDS}"
            ));
            samples[0].push(ours.sample(site, connections, database).await?);
            for (peer, samples) in peers.iter().zip(&mut samples[1..]) {
                samples.push(hold(peer, connections, course, &tokens, &books).await?);
                course += 1;
            }
        }
        lines.extend(compared(connections, &samples));
    }
    Ok(Section {
        title: "Flash sale beside the best peer over SQL that does not oversell: 20,000 buyers, 500 seats, alternating",
        lines,
    })
}

/// Has a peer hold one sale, and checks what it sold.
async fn hold(
    peer: &Peer,
    connections: usize,
    course: i32,
    tokens: &[String],
    books: &Client,
) -> Result<Sample, Failure> {
    let seats = i32::try_from(SEATS)?;
    books.execute(OPEN, &[&course, &seats]).await?;
    let buy = |token: &String| {
        let body = json!({"course_id": course, "idem_key": Uuid::now_v7().to_string()});
        request("POST", "/api/orders", Some(token), None, Some(&body))
    };
    let requests = tokens.iter().map(buy).collect();
    let sample = answered(peer.address, connections, requests, &peer.process).await?;
    let row = books
        .query_one(
            "SELECT (SELECT count(*) FROM orders WHERE course_id = $1), (SELECT stock FROM courses WHERE id = $1)",
            &[&course],
        )
        .await?;
    let (sold, left): (i64, i32) = (row.get(0), row.get(1));
    if (sold, left) == (i64::from(seats), 0) {
        Ok(sample)
    } else {
        Err(format!("a peer sold {sold} of {seats} seats and has {left} left").into())
    }
}

fn compared(connections: usize, samples: &[Vec<Sample>]) -> Vec<Line> {
    let rate = |samples: &Vec<Sample>| median(samples.iter().map(Sample::rate));
    let best = samples[1..].iter().map(rate).fold(0.0, f64::max);
    let mut figures_of_ours = figures("buyers/s", &samples[0]);
    figures_of_ours.push(("to best peer", ratio(rate(&samples[0]), best)));
    let ours = Line::new(format!("Lyceum, {connections} connections"), figures_of_ours)
        .judged("to best peer", Goal::at_least(4.0, 8.0));
    let theirs = WAYS.iter().zip(&samples[1..]).map(|((order, stock), samples)| {
        Line::new(
            format!("actix-web + Postgres, {order}, stock {stock}, {connections} connections"),
            figures("buyers/s", samples),
        )
    });
    [ours].into_iter().chain(theirs).collect()
}
