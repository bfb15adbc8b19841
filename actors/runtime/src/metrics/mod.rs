//! Metrics: declared once in a list, recorded without locks, written out for a scraper.
//!
//! ```text
//! family       one metric: name, help, labels with their values, and its series by label values
//! instrument   what counts: Counter, Level, Gauge, Histogram
//! facade       the `metrics` crate's macros, for code that holds no handle
//! text         the formats of a scrape: Prometheus and OpenMetrics
//! catalogue    the same list as a table for people
//! ```
//!
//! Each package declares its metrics as statics in one file and lists them there by [`Area`]. A handle is taken
//! once, where the work is set up; recording through it is one or two relaxed additions to a cache line that no
//! other core uses at the time. A label's values are words of the program, never data, so the number of series is
//! known when the program is built.

mod catalogue;
mod facade;
mod family;
mod instrument;
mod text;

pub use self::catalogue::markdown;
pub use self::facade::{Facade, Handle};
pub use self::family::{About, Computed, Family, Label, Metric, Reading, Type, Values};
pub use self::instrument::{
    Counter, Exemplar, Gauge, Histogram, HistogramReading, Instrument, Level, Risen, stand_still,
};
pub use self::text::{Format, render};

/// Metrics that are looked at together.
#[derive(Clone, Copy)]
pub struct Area {
    /// What they are about.
    pub title: &'static str,
    /// The metrics.
    pub families: &'static [&'static dyn Family],
}
