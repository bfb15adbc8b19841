//! The ids that more than one domain speaks of.

use lyceum_kernel::{Id, IdKind, Prefix};

macro_rules! ids {
    ($($(#[$doc:meta])* $kind:ident $name:ident $prefix:literal;)*) => {$(
        #[doc = concat!("The kind of [`", stringify!($name), "`].")]
        pub enum $kind {}

        impl IdKind for $kind {
            const PREFIX: Prefix = $prefix;
        }

        $(#[$doc])*
        pub type $name = Id<$kind>;
    )*};
}

ids! {
    /// A person who has registered: learner, creator or operator.
    UserKind UserId "usr";
    /// One login on one device.
    SessionKind SessionId "ses";
    /// A course, column or other content that is sold as one.
    CourseKind CourseId "crs";
    /// A chapter of a course's outline.
    ChapterKind ChapterId "chp";
    /// A lesson of a course.
    LessonKind LessonId "les";
    /// A purchase of one or more courses by one buyer.
    OrderKind OrderId "ord";
    /// A payment through a provider: of an order or of a wallet top-up.
    PaymentKind PaymentId "pay";
    /// A refund of an order.
    RefundKind RefundId "ref";
    /// A manual adjustment of the ledger.
    AdjustmentKind AdjustmentId "adj";
    /// A coupon.
    CouponKind CouponId "cpn";
    /// A bundle of courses.
    BundleKind BundleId "bnd";
    /// A membership plan.
    PlanKind PlanId "pln";
    /// Somebody's membership of a plan.
    MembershipKind MembershipId "mbr";
    /// A group price of a course.
    GroupKind GroupId "grp";
    /// A team that buys at a group price.
    TeamKind TeamId "tem";
    /// A batch of redeem codes.
    BatchKind BatchId "bat";
    /// A redeem code, by the hash of what people type.
    CodeKind CodeId "rdc";
    /// A payout to a creator.
    PayoutKind PayoutId "pyo";
    /// What a creator has forfeited.
    ForfeitureKind ForfeitureId "ftr";
    /// A flash sale of one course.
    SaleKind SaleId "sal";
    /// Where somebody wants to hear of events.
    WebhookEndpointKind WebhookEndpointId "whe";
    /// Something that somebody may want to hear of; the same for whoever hears of it, however often.
    WebhookEventKind WebhookEventId "evt";
    /// The delivery of one event to one endpoint.
    WebhookDeliveryKind WebhookDeliveryId "whd";
}
