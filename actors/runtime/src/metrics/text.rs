//! The formats of a scrape: the Prometheus text format 0.0.4 and `OpenMetrics` 1.0, which has units and exemplars.

use std::fmt::{self, Write};

use super::Area;
use super::family::{Family, Label, Reading, Type};
use super::instrument::{Exemplar, HistogramReading};

/// A format of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4, which everything reads.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes out every series of these metrics.
pub fn render<'a>(areas: impl IntoIterator<Item = &'a Area>, format: Format) -> String {
    let mut text = String::with_capacity(256 * 1024);
    for family in areas.into_iter().flat_map(|area| area.families) {
        // Writing to a String does not fail.
        let _ = write_family(&mut text, *family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &dyn Family, format: Format) -> fmt::Result {
    let about = family.about();
    // OpenMetrics names a counter without the ending that its samples have.
    let name = match format {
        Format::Prometheus => about.name,
        Format::OpenMetrics => about.name.strip_suffix("_total").unwrap_or(about.name),
    };
    let kind = match family.kind() {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Histogram => "histogram",
    };
    writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", about.help)?;
    if format == Format::OpenMetrics && !about.unit().is_empty() {
        writeln!(text, "# UNIT {name} {}", about.unit())?;
    }
    let mut labels = String::new();
    let mut outcome = Ok(());
    family.read(&mut |values, reading| {
        labels.clear();
        let written = write_labels(&mut labels, about.labels, values).and_then(|()| match reading {
            Reading::Number(number) if labels.is_empty() => writeln!(text, "{} {number}", about.name),
            Reading::Number(number) => writeln!(text, "{}{{{labels}}} {number}", about.name),
            Reading::Histogram(histogram) => write_histogram(text, about.name, &labels, &histogram, format),
        });
        outcome = outcome.and(written);
    });
    outcome
}

fn write_labels(text: &mut String, labels: &[Label], values: &[&str]) -> fmt::Result {
    for (index, (label, value)) in labels.iter().zip(values).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}{}=\"", label.name)?;
        for letter in value.chars() {
            match letter {
                '"' | '\\' => write!(text, "\\{letter}")?,
                '\n' => text.push_str("\\n"),
                _ => text.push(letter),
            }
        }
        text.push('"');
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    name: &str,
    labels: &str,
    histogram: &HistogramReading,
    format: Format,
) -> fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0;
    for (bound, counted, exemplar) in &histogram.ranges {
        count += counted;
        write!(text, "{name}_bucket{{{labels}{comma}le=\"")?;
        if bound.is_finite() {
            // `{:?}` writes 1.0 where `{}` writes 1, as OpenMetrics has it.
            write!(text, "{bound:?}\"}} {count}")?;
        } else {
            write!(text, "+Inf\"}} {count}")?;
        }
        if let (Format::OpenMetrics, Some(exemplar)) = (format, exemplar) {
            write_exemplar(text, exemplar)?;
        }
        text.push('\n');
    }
    let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
    writeln!(text, "{name}_sum{open}{labels}{close} {}", histogram.sum)?;
    writeln!(text, "{name}_count{open}{labels}{close} {count}")
}

fn write_exemplar(text: &mut String, exemplar: &Exemplar) -> fmt::Result {
    let Exemplar { value, trace, at } = exemplar;
    let (trace_id, span_id) = (trace.trace_id, trace.parent_id);
    write!(
        text,
        " # {{trace_id=\"{trace_id:032x}\",span_id=\"{span_id:016x}\"}} {value} {at:.3}"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Counter, Histogram, Metric};
    use crate::trace::Trace;

    static SHED: Metric<Counter> =
        Metric::new("shed_total", "Refused.").labels(&[Label::of("why", &["a \"b\" \\"])]);
    static WAIT: Metric<Histogram> = Metric::new("wait_seconds", "Waited.");
    static AREA: Area = Area {
        title: "Test",
        families: &[&SHED, &WAIT],
    };

    #[test]
    fn both_formats_say_the_same_each_by_its_rules() {
        SHED.with(["a \"b\" \\"]).increment();
        WAIT.get().record_in(
            Duration::from_millis(700),
            Trace {
                trace_id: 0xabc,
                parent_id: 0xdef,
                sampled: true,
            },
        );

        let prometheus = render([&AREA], Format::Prometheus);
        let open = render([&AREA], Format::OpenMetrics);

        assert!(prometheus.starts_with(
            "# HELP shed_total Refused.\n# TYPE shed_total counter\nshed_total{why=\"a \\\"b\\\" \\\\\"} 1\n\
             # HELP wait_seconds Waited.\n# TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"0.0001\"} 0\n"
        ));
        assert!(
            prometheus.contains("wait_seconds_bucket{le=\"0.5\"} 0\nwait_seconds_bucket{le=\"1.0\"} 1\n")
        );
        assert!(
            prometheus.ends_with(
                "wait_seconds_bucket{le=\"+Inf\"} 1\nwait_seconds_sum 0.7\nwait_seconds_count 1\n"
            )
        );
        assert!(open.starts_with("# HELP shed Refused.\n# TYPE shed counter\nshed_total{why="));
        assert!(open.contains("# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n"));
        let exemplar = "wait_seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"00000000000000000000000000000abc\",\
                        span_id=\"0000000000000def\"} 0.7 ";
        assert!(open.contains(exemplar), "{open}");
        assert!(open.ends_with("wait_seconds_count 1\n# EOF\n"));
    }

    #[test]
    fn a_scraper_that_knows_openmetrics_is_given_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";

        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }
}
