//! The application as its clients see it: real HTTP against a real server, over stores of the test's own.
//!
//! Each test starts a `Site` (see `harness`), acts through its clients and ends with `Site::finish`, which has the oracle
//! check tables and provider. `LYCEUM_TEST_DATABASE_URL` and `LYCEUM_TEST_REDIS_URL` name the stores; `make test` sets them.

#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod adjustments;
mod alipay;
mod authorisation;
mod backlogs;
mod billing;
mod browse;
mod bundles;
mod callbacks;
mod catalog;
mod cluster;
mod codes;
mod commerce;
mod coupons;
mod crashes;
#[path = "../shared/databases.rs"]
mod databases;
mod edge;
mod faults;
mod groups;
mod harness;
mod late;
mod ledger;
mod memberships;
mod metrics;
mod nodes;
mod operators;
mod payments;
mod recommend;
mod recommend_models;
mod recommend_privacy;
mod refunds;
mod repetition;
mod sagas;
mod sales;
mod stripe;
mod tracing;
mod webhooks;
mod wechat;
