//! Sends records to a running server: batches in parallel, repeated until they are answered.
//!
//! A batch may be repeated freely, because every record carries its ids: what was made is met again. So a lost
//! connection, a 429 or a 503 only cost time, and an import that was broken off is continued by starting it again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::{debug, info};

use super::record::{Receipt, Record};

/// Half of what the server takes at most, so that a long line still fits.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// What a server on one core does well within the time of one request.
const BATCH_RECORDS_MAX: usize = 400;
/// Batches on their way at once: enough to keep the server busy while answers travel.
const IN_FLIGHT_MAX: usize = 4;
/// With the pauses below a server may be away for about two minutes.
const TRIES_MAX: u32 = 20;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 5_000;

/// Makes an access token of an operator; asked again before every request, because tokens are short-lived.
pub type TokenSource = Arc<dyn Fn() -> Result<String, ImportError> + Send + Sync>;

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file of the data set cannot be used.
    #[error("{file}: {cause}")]
    File {
        /// Which one.
        file: String,
        /// Why.
        cause: String,
    },
    /// The server cannot be reached, or keeps answering that it is busy.
    #[error("the server at {address} did not take a batch after {TRIES_MAX} tries: {cause}")]
    Unreachable {
        /// Where it should be.
        address: SocketAddr,
        /// What went wrong last.
        cause: String,
    },
    /// The server refused a whole batch.
    #[error("the server refused a batch: {status} {detail}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        detail: String,
    },
    /// No operator's token can be made.
    #[error("no access token: {0}")]
    Token(String),
}

/// A connection to the server that owns the entities.
#[derive(Clone)]
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    token: TokenSource,
}

impl Client {
    /// A client of the server whose operators' routes are at `address`.
    pub fn new(address: SocketAddr, token: TokenSource) -> Self {
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build_http();
        Client { http, address, token }
    }

    /// Whether a server answers there.
    pub async fn finds_server(&self) -> bool {
        let uri = format!("http://{}/livez", self.address);
        let Ok(request) = Request::get(uri).body(Full::default()) else {
            return false;
        };
        let answer = tokio::time::timeout(Duration::from_secs(2), self.http.request(request)).await;
        matches!(answer, Ok(Ok(response)) if response.status().is_success())
    }

    /// Sends records and returns what became of them; their order within one call does not matter.
    ///
    /// # Errors
    /// The server stays away, refuses a batch as a whole, or no token can be made.
    pub async fn send(
        &self,
        what: &str,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Receipt, ImportError> {
        let mut total = Receipt::default();
        let mut reported = 0;
        let batches = stream::iter(Batches {
            records: records.into_iter(),
            held: None,
        });
        let mut answers = batches
            .map(|batch| self.send_batch(batch))
            .buffer_unordered(IN_FLIGHT_MAX);
        while let Some(receipt) = answers.next().await {
            total.add(receipt?);
            let done = total.applied + total.unchanged + total.refused;
            if done / PROGRESS_EVERY > reported {
                reported = done / PROGRESS_EVERY;
                info!(what, done, "importing");
            }
        }
        info!(
            what,
            applied = total.applied,
            unchanged = total.unchanged,
            refused = total.refused,
            "imported"
        );
        Ok(total)
    }

    async fn send_batch(&self, batch: Bytes) -> Result<Receipt, ImportError> {
        let mut pause = FIRST_PAUSE;
        let mut cause = String::new();
        for _ in 0..TRIES_MAX {
            let waited = match tokio::time::timeout(ANSWER_TIMEOUT, self.try_batch(batch.clone())).await {
                Ok(Ok(receipt)) => return Ok(receipt),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Passing { cause: text, after })) => {
                    cause = text;
                    after.unwrap_or(pause)
                }
                Err(_) => {
                    "no answer in time".clone_into(&mut cause);
                    pause
                }
            };
            debug!(%cause, "batch repeated");
            tokio::time::sleep(waited.min(PAUSE_MAX)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(ImportError::Unreachable {
            address: self.address,
            cause,
        })
    }

    async fn try_batch(&self, batch: Bytes) -> Result<Receipt, Failure> {
        let token = (self.token)().map_err(Failure::Final)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/admin/v1/imports", self.address))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(Full::new(batch))
            .map_err(|error| Failure::passing(&error))?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| Failure::passing(&error))?;
        let status = response.status();
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| Failure::passing(&error))?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                Failure::Final(ImportError::Refused {
                    status: status.as_u16(),
                    detail: error.to_string(),
                })
            });
        }
        let detail = String::from_utf8_lossy(&body).into_owned();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let after = after.map(Duration::from_secs);
            return Err(Failure::Passing {
                cause: format!("{status} {detail}"),
                after,
            });
        }
        Err(Failure::Final(ImportError::Refused {
            status: status.as_u16(),
            detail,
        }))
    }
}

/// Why one try did not succeed.
enum Failure {
    /// Another try will not either.
    Final(ImportError),
    /// Another try may.
    Passing { cause: String, after: Option<Duration> },
}

impl Failure {
    fn passing(error: &dyn std::fmt::Display) -> Self {
        Failure::Passing {
            cause: error.to_string(),
            after: None,
        }
    }
}

/// Cuts records into batches of lines.
struct Batches<I> {
    records: I,
    /// A line that did not fit into the batch before.
    held: Option<Vec<u8>>,
}

impl<I: Iterator<Item = Record>> Iterator for Batches<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut batch = self.held.take().unwrap_or_default();
        let mut count = usize::from(!batch.is_empty());
        for record in self.records.by_ref() {
            let mut line = serde_json::to_vec(&record).expect("records have text keys only");
            line.push(b'\n');
            if count > 0 && batch.len() + line.len() > BATCH_BYTES_MAX {
                self.held = Some(line);
                break;
            }
            batch.extend_from_slice(&line);
            count += 1;
            if count == BATCH_RECORDS_MAX {
                break;
            }
        }
        (count > 0).then(|| batch.into())
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::ids::UserId;

    use super::*;
    use crate::import::record::History;

    #[test]
    fn every_record_is_in_exactly_one_batch() {
        let record = |id| {
            Record::History(History {
                user: UserId::from_u128(id),
                events: Vec::new(),
            })
        };
        let batches: Vec<Bytes> = Batches {
            records: (0..1_001).map(record),
            held: None,
        }
        .collect();

        let lines: usize = batches
            .iter()
            .map(|batch| batch.split(|byte| *byte == b'\n').count() - 1)
            .sum();
        assert_eq!((batches.len(), lines), (3, 1_001));
        assert!(batches.iter().all(|batch| batch.len() <= BATCH_BYTES_MAX));
    }
}
