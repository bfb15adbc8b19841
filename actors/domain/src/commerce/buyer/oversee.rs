//! How a buyer decides what operators want: to intervene in a checkout, and to move the wallet.

use lyceum_kernel::{Coded, Timestamp};

use super::{Buyer, Event};
use crate::commerce::Error;
use crate::commerce::ledger::{self, Entry};
use crate::commerce::order::CloseReason;
use crate::commerce::oversight::{Deed, Intervention};
use crate::commerce::refund::RefundState;
use crate::ids::{AdjustmentId, OrderId};

impl Buyer {
    pub(super) fn intervene(
        &self,
        order_id: OrderId,
        action: Intervention,
        deed: Deed,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let deed = deed.checked()?;
        let order = self.order(order_id)?;
        if order.due_at().is_none() {
            return Err(Error::wrong_state(order.saga()));
        }
        let follows = match action {
            Intervention::Compensate => {
                order.way_back()?;
                vec![Event::OrderClosing {
                    order_id,
                    reason: CloseReason::Cancelled,
                    at,
                }]
            }
            // What is not a failed refund the payment has to do: it is asked to take the step that is due.
            Intervention::Retry => order
                .under_way()
                .filter(|refund| matches!(refund.state, RefundState::Failed { .. }))
                .map(|refund| Event::RefundMoved {
                    order_id,
                    refund_id: refund.refund_id,
                    attempt: refund.attempt.saturating_add(1),
                    state: RefundState::Processing,
                    at,
                })
                .collect(),
            Intervention::Reconcile => vec![],
        };
        let mut events = vec![Event::Intervened {
            order_id,
            action,
            deed,
            at,
        }];
        events.extend(follows);
        Ok(events)
    }

    pub(super) fn post_adjustment(
        &self,
        adjustment_id: AdjustmentId,
        entries: Vec<Entry>,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        if self.adjustments.contains(&adjustment_id) {
            return Ok(vec![]);
        }
        let change = ledger::wallet_change(&entries);
        let borne = self.top_ups.bear(change, self.wallet.balance(), self.reachable());
        // A refusal is on record as well: asked once more, a wallet that has grown since must not post what was given up.
        Ok(vec![match borne {
            Ok(()) => Event::Adjusted {
                adjustment_id,
                entries,
                at,
            },
            Err(refusal) => Event::AdjustmentRefused {
                adjustment_id,
                code: refusal.code().to_owned(),
                at,
            },
        }])
    }
}
