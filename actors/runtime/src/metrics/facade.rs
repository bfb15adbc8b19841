//! The `metrics` facade: whatever a library or a tool records through it lands in the series declared here.
//!
//! The program itself holds typed handles, so that a slip is a compile error; the facade is for code that cannot
//! know them. A name, type or label value that is not declared is not recorded: a scrape shows what the catalogue
//! says and nothing else.

use std::sync::Arc;

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::Area;
use super::instrument::{Counter, Gauge, Histogram};

/// A series as the facade sees it.
pub enum Handle {
    /// Of a counter.
    Counter(metrics::Counter),
    /// Of a gauge.
    Gauge(metrics::Gauge),
    /// Of a histogram.
    Histogram(metrics::Histogram),
}

/// Hands the declared series to the facade.
pub struct Facade {
    areas: Vec<&'static Area>,
}

impl Facade {
    /// A recorder for the metrics of these areas; install it with [`metrics::set_global_recorder`].
    pub fn new(areas: impl IntoIterator<Item = &'static Area>) -> Self {
        Facade {
            areas: areas.into_iter().collect(),
        }
    }

    fn find(&self, key: &Key) -> Option<Handle> {
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        self.areas
            .iter()
            .flat_map(|area| area.families)
            .find(|family| family.about().name == key.name())?
            .handle(&labels)
    }
}

impl Recorder for Facade {
    // Help and units are declared with the series.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        match self.find(key) {
            Some(Handle::Counter(counter)) => counter,
            _ => metrics::Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        match self.find(key) {
            Some(Handle::Gauge(gauge)) => gauge,
            _ => metrics::Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        match self.find(key) {
            Some(Handle::Histogram(histogram)) => histogram,
            _ => metrics::Histogram::noop(),
        }
    }
}

impl From<Counter> for Handle {
    fn from(counter: Counter) -> Self {
        Handle::Counter(metrics::Counter::from_arc(Arc::new(counter)))
    }
}

impl From<Gauge> for Handle {
    fn from(gauge: Gauge) -> Self {
        Handle::Gauge(metrics::Gauge::from_arc(Arc::new(gauge)))
    }
}

impl From<Histogram> for Handle {
    fn from(histogram: Histogram) -> Self {
        Handle::Histogram(metrics::Histogram::from_arc(Arc::new(histogram)))
    }
}

impl CounterFn for Counter {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        self.raise_to(value);
    }
}

impl GaugeFn for Gauge {
    fn increment(&self, value: f64) {
        self.change(value);
    }

    fn decrement(&self, value: f64) {
        self.change(-value);
    }

    fn set(&self, value: f64) {
        Gauge::set(self, value);
    }
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        self.record_in_unit(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Family, Format, Label, Metric, render};

    static DONE: Metric<Counter> =
        Metric::new("done_total", "Done.").labels(&[Label::of("result", &["ok", "failed"])]);
    static DEPTH: Metric<Gauge> = Metric::new("depth", "Depth.");
    static TOOK: Metric<Histogram> = Metric::new("took_seconds", "Took.");
    static BATCH: Metric<Histogram> = Metric::new("batch_size", "Batch.");
    static AREA: Area = Area {
        title: "Test",
        families: &[&DONE as &dyn Family, &DEPTH, &TOOK, &BATCH],
    };

    #[test]
    fn what_is_recorded_through_the_facade_is_scraped_and_what_is_not_declared_is_not() {
        metrics::with_local_recorder(&Facade::new([&AREA]), || {
            metrics::counter!("done_total", "result" => "ok").increment(2);
            metrics::counter!("done_total", "result" => "other").increment(5);
            metrics::counter!("depth").increment(5);
            metrics::counter!("unknown_total").increment(5);
            metrics::gauge!("depth").set(7.0);
            metrics::gauge!("depth").decrement(3.0);
            metrics::histogram!("took_seconds").record(0.003);
            metrics::histogram!("batch_size").record(5.0);
            metrics::histogram!("batch_size").record(f64::NAN);
        });
        DONE.with(["ok"]).increment();

        let scrape = render([&AREA], Format::Prometheus);

        assert!(scrape.contains("done_total{result=\"ok\"} 3\n"), "{scrape}");
        assert!(scrape.contains("depth 4\n"), "{scrape}");
        assert!(scrape.contains("took_seconds_count 1\n"), "{scrape}");
        assert!(
            !scrape.contains("other") && !scrape.contains("unknown"),
            "{scrape}"
        );
    }
}
