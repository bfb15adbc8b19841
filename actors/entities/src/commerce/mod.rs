//! Commerce, bound to the runtime: buyers and payments as journaled entities, their rows, flows and providers.
//!
//! ```text
//! POST /v1/orders → Buyers ─ wallet or free: everything in one commit
//!                     └ external: CommerceFlow::StartPayment → Payments → Gateway ─┐
//!                     ┌────────── CommerceFlow::SettlePayment ← Payments ←─────────┤
//!                  Buyers                                     callback ─ Receiver ─┘
//! ```
//!
//! Both entities are placed by the user, so a purchase is local to one node. `adjustments` are what two operators post by hand;
//! `oversight` and `timeline` are what operators see of all this, and `closing` sums the ledger up.

mod adjustments;
mod batches;
mod bundles;
mod buyers;
mod callback;
pub(crate) mod closing;
mod codes;
mod coupons;
mod flows;
mod gateway;
mod groups;
mod inbox;
mod ledger_rows;
mod membership_queries;
mod memberships;
#[cfg(test)]
mod memberships_test;
mod offerings;
mod offers;
mod outgoing;
mod oversight;
mod payments;
mod plans;
pub mod providers;
mod queries;
mod receiver;
mod refunds;
pub(crate) mod rereads;
mod reserved;
#[cfg(test)]
mod reserved_test;
mod rows;
mod sagas;
mod sales;
mod sandbox;
mod teams;
#[cfg(test)]
mod testing;
mod timeline;

pub use adjustments::{AdjustmentAnswer, AdjustmentQuestion, Adjustments};
pub use batches::{BatchAnswer, BatchQuestion, Batches};
pub use bundles::{BundleAnswer, Bundles};
pub use buyers::{Answer, Buyers, Question, Trade, Traded};
pub use callback::{Callback, CallbackScheme, CallbackSecret, Delivery, sign};
pub use closing::{AccountBalance, ClosingSettings, TrialBalance};
pub use codes::{CodeGrant, CodeSecret, RedeemCode};
pub use coupons::{CouponAnswer, CouponQuestion, CouponView, Coupons};
pub use flows::{CommerceFlow, CommercePorts, MembershipFlow};
pub use gateway::{Call, ChargeRequest, Gateway, PaymentProvider, RefundRequest};
pub use groups::{GroupAnswer, Groups};
pub use inbox::{Inbox, InboxSettings};
pub use membership_queries::PlanRow;
pub use memberships::{
    MembershipAnswer, MembershipKey, MembershipQuestion, MembershipView, Memberships, OrderTimes,
    PeriodCharge, period_order,
};
pub use offerings::{OfferAnswer, OfferQuestion, Offered, Offerings};
pub use offers::{BundleRow, CouponRow, FoundCode, FoundCoupon, GroupRow};
pub use oversight::{AdjustmentRow, Saga, SagaFilter, StatementLine};
pub use payments::{ChargeJob, PaymentAnswer, PaymentKey, PaymentQuestion, Payments, RefundJob};
pub use plans::{PlanAnswer, Plans};
pub use queries::{CommerceQueries, WalletEntry, WalletPosition};
pub use receiver::{ReceiveError, Receiver};
pub use refunds::RefundRow;
pub use rereads::RereadSettings;
pub use sales::{SaleAnswer, SaleQuestion, SaleView, Sales};
pub use sandbox::{Sandbox, SandboxSettings};
pub use teams::{TeamAnswer, TeamQuestion, TeamView, Teams};
pub use timeline::{Moment, Position};
