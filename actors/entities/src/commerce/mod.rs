//! Commerce, bound to the runtime: buyers and payments as journaled entities, their rows, flows and providers.
//!
//! ```text
//! POST /v1/orders → Buyers ─ wallet or free: everything in one commit
//!                     └ external: CommerceFlow::StartPayment → Payments → Gateway ─┐
//!                     ┌────────── CommerceFlow::SettlePayment ← Payments ←─────────┤
//!                  Buyers                                     callback ─ Receiver ─┘
//! ```
//!
//! Both entities are placed by the user, so a purchase is local to one node.

mod buyers;
mod callback;
mod flows;
mod gateway;
mod ledger_rows;
mod outgoing;
mod payments;
pub mod providers;
mod queries;
mod receiver;
mod rows;
mod sagas;
mod sandbox;
#[cfg(test)]
mod testing;

pub use buyers::{Answer, Buyers, Question, Trade, Traded};
pub use callback::{Callback, CallbackScheme, CallbackSecret, Delivery, sign};
pub use flows::{CommerceFlow, CommercePorts};
pub use gateway::{Call, ChargeRequest, Gateway, PaymentProvider, RefundRequest};
pub use payments::{ChargeJob, PaymentAnswer, PaymentKey, PaymentQuestion, Payments, RefundJob};
pub use queries::{AccountBalance, CommerceQueries, OpenSaga, WalletEntry, WalletPosition};
pub use receiver::{ReceiveError, Receiver};
pub use sandbox::{Sandbox, SandboxSettings};
