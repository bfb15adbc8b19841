//! A flash sale: 20,000 buyers with filled wallets for 500 seats, each asking once; whoever gets none is told that it is sold out.
//!
//! Each sample is a sale of its own, of a course that nobody has bought, and counts answered buyers a second until the last one is
//! answered. Afterwards exactly the stock must be sold and paid, one seat to each buyer; else a figure says nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lyceum_domain::ids::{CourseId, SaleId};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::http::{call, request};
use crate::load::{Load, Sample, Traffic, measure};
use crate::process::Process;
use crate::purchases::figures;
use crate::report::{Line, Section, progress};
use crate::seed::{COURSES, Seeded};
use crate::site::Site;

/// Callers at once.
pub(crate) const CONNECTIONS: [usize; 2] = [64, 256];
/// Sales of each.
pub(crate) const ROUNDS: usize = 3;
/// Whoever wants a seat.
pub(crate) const BUYERS: usize = 20_000;
/// Seats of each sale.
pub(crate) const SEATS: u32 = 500;
/// A sale is over when all are answered; whatever is slower than this cannot be compared.
const WINDOW: Duration = Duration::from_mins(5);
/// Until every paid slot is counted as sold, by messages between entities.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Below every list price that courses are seeded with.
const PRICE: i64 = 1;

/// Has all buyers ask once, and measures until the last one is answered.
pub(crate) async fn answered(
    address: std::net::SocketAddr,
    connections: usize,
    requests: Vec<Bytes>,
    server: &Process,
) -> Result<Sample, Failure> {
    let load = Load {
        address,
        connections,
        warm_up: Duration::ZERO,
        window: WINDOW,
    };
    let traffic = Traffic {
        requests: Arc::new(requests),
        repeat: false,
        // Bought, or sold out.
        expected: &[201, 409],
    };
    let sample = measure(load, &traffic, server).await?.checked("a flash sale")?;
    let (asked, heard) = (BUYERS as u64, sample.acknowledged);
    if heard == asked {
        Ok(sample)
    } else {
        Err(format!("{heard} of {asked} buyers were answered").into())
    }
}

/// Sales of Lyceum, each of another course.
pub(crate) struct Sales<'a> {
    seeded: &'a Seeded,
    tokens: Vec<String>,
    operator: String,
    made: usize,
}

impl<'a> Sales<'a> {
    /// Nothing is sold yet.
    pub(crate) fn new(seeded: &'a Seeded) -> Result<Self, Failure> {
        Ok(Sales {
            seeded,
            tokens: seeded.tokens(BUYERS)?,
            operator: seeded.operator()?,
            made: 0,
        })
    }

    /// Holds one sale and checks what was sold.
    pub(crate) async fn sample(
        &mut self,
        site: &Site,
        connections: usize,
        database: &Client,
    ) -> Result<Sample, Failure> {
        // From the end, where purchases do not get to.
        let course = self.seeded.courses[COURSES - 1 - self.made];
        self.made += 1;
        let sale = self.open(site, course).await?;
        let body = json!({"items": [{"course_id": course, "sale_id": sale}], "payment_method": "wallet"});
        let buy = |token: &String| {
            let key = Uuid::now_v7().to_string();
            request("POST", "/v1/orders", Some(token), Some(&key), Some(&body))
        };
        let requests = self.tokens.iter().map(buy).collect();
        let sample = answered(site.address, connections, requests, &site.process).await?;
        sold(site, database, sale).await?;
        Ok(sample)
    }

    async fn open(&self, site: &Site, course: CourseId) -> Result<SaleId, Failure> {
        let body = json!({
            "course_id": course, "price": {"amount": PRICE, "currency": "CNY"}, "stock": SEATS,
            "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z", "reason": "a measurement",
        });
        let made = request("POST", "/v1/sales", Some(&self.operator), None, Some(&body));
        let made = call(site.address, &made, &[201]).await?;
        let id = made["id"].as_str().ok_or("a sale has an id")?;
        Ok(id.parse()?)
    }
}

/// Waits until every seat is sold, and compares the books with that.
async fn sold(site: &Site, database: &Client, sale: SaleId) -> Result<(), Failure> {
    let show = request("GET", &format!("/v1/sales/{sale}"), None, None, None);
    let began = Instant::now();
    loop {
        let shown = call(site.address, &show, &[200]).await?;
        if shown["sold"] == SEATS {
            break;
        }
        if began.elapsed() > SETTLED_TIMEOUT {
            return Err(format!("the sale is not settled: {shown}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let row = database
        .query_one(
            "SELECT count(*), count(DISTINCT s.user_id), count(g.source_id) FROM sale_slots AS s \
             JOIN sales AS l USING (sale_id) LEFT JOIN grants AS g \
                ON g.source = 'order' AND g.source_id = s.order_id AND g.course_id = l.course_id \
             WHERE s.state = 'sold' AND s.sale_id = $1",
            &[&Uuid::from_u128(sale.as_u128())],
        )
        .await?;
    let found: [i64; 3] = std::array::from_fn(|column| row.get(column));
    let seats = i64::from(SEATS);
    if found == [seats, seats, seats] {
        Ok(())
    } else {
        Err(format!("{seats} seats: sold, buyers and grants are {found:?}").into())
    }
}

/// Measures flash sales alone.
///
/// # Errors
/// A buyer was not answered, or more or less was sold than there is.
pub(crate) async fn run(site: &Site, seeded: &Seeded, database: &Client) -> Result<Section, Failure> {
    let mut sales = Sales::new(seeded)?;
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        progress(&format!("flash sale: {connections} connections"));
        let mut samples = Vec::new();
        for _ in 0..ROUNDS {
            samples.push(sales.sample(site, connections, database).await?);
        }
        lines.push(Line::new(
            format!("flash sale, {connections} connections"),
            figures("buyers/s", &samples),
        ));
    }
    Ok(Section {
        title: "Flash sale: 20,000 buyers, 500 seats, each bought by the whole checkout, fsync on",
        lines,
    })
}
