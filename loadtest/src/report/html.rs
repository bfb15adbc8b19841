//! `report.html`: a run for people, on one page that needs neither network nor scripts.
//!
//! Drawings are SVG with the colours of the style sheet, which knows light and dark. All drawings over time have the same
//! margins, so a moment is at the same place in each; injected faults are shaded and numbered through all of them.

mod curve;
mod frame;
mod heat;
mod over_time;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::{clock, count, latency, percent, rate, rfc3339};
use super::summary::{Latencies, Summary};
use crate::outcome::{Recording, Verdict};

const STYLE: &str = include_str!("html/style.css");

/// Renders the page.
pub(super) fn render(recording: &Recording) -> String {
    let summary = Summary::of(recording);
    let times = frame::Times::of(recording);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing is loaded from anywhere, whatever a name in this report may contain.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (summary.scenario) ": " (recording.verdict().name()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(recording))
                    (tiles(&summary))
                    (over_time::load(recording, &times))
                    (heat::map(&summary, &times, &recording.chaos))
                    (over_time::errors(recording, &times))
                    (curve::percentiles(&recording.tally.total()))
                    (tables::operations(&summary))
                    (tables::thresholds(&summary))
                    (tables::chaos(&recording.chaos))
                    (tables::circumstances(&summary))
                }
            }
        }
    };
    page.into_string()
}

fn head(recording: &Recording) -> Markup {
    let run = &recording.run;
    let (class, says) = match recording.verdict() {
        Verdict::Pass => ("good", "Pass"),
        Verdict::Thresholds => ("warn", "Thresholds do not hold"),
        Verdict::Invalid => ("bad", "Invalid run"),
    };
    html! {
        header {
            div {
                p.kicker { "Load test" }
                h1 { (run.scenario) }
                p.soft {
                    (rfc3339(run.started)) " · " (clock(run.duration)) " long · seed " (run.seed) " · " (run.target)
                    " at " (run.commit)
                }
            }
            p.verdict.(class) { (says) }
        }
        @if recording.verdict() == Verdict::Invalid {
            section.note.bad {
                p { strong { "The generator fell short, so the figures say nothing about the target." } }
                ul { @for reason in &recording.invalid { li { (reason) } } }
            }
        }
    }
}

/// The figures to take away.
fn tiles(summary: &Summary) -> Markup {
    let total = &summary.totals;
    let at = |latencies: &Option<Latencies>, figure: fn(&Latencies) -> f64| {
        latencies
            .as_ref()
            .map_or_else(|| "–".to_owned(), |latencies| latency(figure(latencies)))
    };
    let tile = |name: &str, value: &str, hint: &str| {
        html! { div.tile { dt { (name) } dd { (value) } dd.soft { (hint) } } }
    };
    let goodput = format!("{}/s", rate(total.goodput_per_s));
    let offered = format!("{} offered", count(total.offered));
    let parts = format!("{} of {}", count(total.failed), count(total.completed));
    html! {
        dl.tiles {
            (tile("Good answers", &goodput, &offered))
            (tile("p50", &at(&total.latency_from_intended, |latencies| latencies.p50_ms), "intended start"))
            (tile("p99", &at(&total.latency_from_intended, |latencies| latencies.p99_ms), "intended start"))
            (tile("p99", &at(&total.service_time, |latencies| latencies.p99_ms), "service time"))
            (tile("Failed", &percent(total.failed, total.completed), &parts))
            (tile("Dropped", &count(total.dropped), "never sent"))
            (tile("Schedule lag", &latency(summary.generator.lag_p99_ms), "generator’s p99"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::ChaosSpan;
    use crate::report::fixture;

    #[test]
    fn the_page_refers_to_nothing_outside_itself() {
        let mut recording = fixture::stormy(5);
        recording.run.target = "the target".to_owned();
        recording.run.command = "the command".to_owned();

        let page = render(&recording);

        for reference in [
            "http://", "https://", "//cdn", "<script", "<link", "<img", "src=", "href=", "url(", "@import",
        ] {
            assert!(!page.contains(reference), "the page contains {reference}");
        }
    }

    #[test]
    fn names_cannot_become_markup() {
        let attack = "<script>alert('x')</script>\"'&";
        let mut recording = fixture::stormy(5);
        recording.run.scenario = attack.to_owned();
        recording.run.target = attack.to_owned();
        recording.run.command = attack.to_owned();
        recording.run.machine.model = attack.to_owned();
        recording.thresholds[0].expression = attack.to_owned();
        recording.invalid.push(attack.to_owned());
        recording.chaos.push(ChaosSpan {
            name: attack.to_owned(),
            target: attack.to_owned(),
            ..recording.chaos[0].clone()
        });

        let page = render(&recording);

        assert!(!page.contains("<script"));
        assert!(!page.contains("\"'&\""));
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn a_run_without_a_single_answer_is_rendered_too() {
        let mut recording = fixture::calm(1);
        recording.tally = crate::outcome::Tally::new(["browse"], recording.run.duration);

        let page = render(&recording);

        assert!(page.contains("No good answer"));
        assert!(!page.contains("NaN"));
    }
}
