//! The figures behind the drawings, as tables.

use maud::{Markup, html};

use crate::outcome::ChaosSpan;
use crate::report::format::{clock, count, latency, percent, rate, three_digits};
use crate::report::summary::{Latencies, Operation, Summary};

/// Renders a row for each operation and one for all of them.
pub(super) fn operations(summary: &Summary) -> Markup {
    let figures = |latencies: &Option<Latencies>| -> [String; 5] {
        match latencies {
            Some(known) => [
                known.p50_ms,
                known.p90_ms,
                known.p99_ms,
                known.p999_ms,
                known.max_ms,
            ]
            .map(latency),
            None => std::array::from_fn(|_| "–".to_owned()),
        }
    };
    let row = |operation: &Operation| {
        html! {
            td { (operation.name) }
            td { (count(operation.offered)) }
            td { (rate(operation.goodput_per_s)) }
            td.bad[operation.failed > 0] title=(kinds(operation)) { (percent(operation.failed, operation.completed)) }
            td.bad[operation.dropped > 0] { (count(operation.dropped)) }
            @for figure in figures(&operation.latency_from_intended) { td { (figure) } }
            td.apart { (figures(&operation.service_time)[0]) }
            td { (figures(&operation.service_time)[2]) }
        }
    };
    html! {
        section {
            h2 { "Operations" }
            div.wide {
                table {
                    thead {
                        tr {
                            th colspan="5" {}
                            th.group colspan="5" { "from intended start" }
                            th.group.apart colspan="2" { "service time" }
                        }
                        tr {
                            th { "operation" } th { "offered" } th { "good/s" } th { "failed" } th { "dropped" }
                            th { "p50" } th { "p90" } th { "p99" } th { "p99.9" } th { "max" }
                            th.apart { "p50" } th { "p99" }
                        }
                    }
                    tbody { @for operation in &summary.operations { tr { (row(operation)) } } }
                    @if summary.operations.len() > 1 { tfoot { tr { (row(&summary.totals)) } } }
                }
            }
        }
    }
}

/// Says how often an operation failed in which way.
fn kinds(operation: &Operation) -> String {
    let kinds: Vec<String> = operation
        .errors
        .iter()
        .map(|(kind, number)| format!("{kind}: {}", count(*number)))
        .collect();
    kinds.join(", ")
}

/// Renders each threshold with the value that it was judged by.
pub(super) fn thresholds(summary: &Summary) -> Markup {
    if summary.thresholds.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Thresholds" }
            div.wide {
                table.words {
                    thead { tr { th {} th { "threshold" } th { "measured" } } }
                    tbody {
                        @for threshold in &summary.thresholds {
                            tr {
                                @if threshold.passed { td.good { "✔ holds" } } @else { td.bad { "✘ missed" } }
                                td { code { (threshold.expression) } }
                                td { (threshold.value.map_or_else(|| "nothing".to_owned(), measured)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders each injected fault with what clients noticed.
pub(super) fn chaos(chaos: &[ChaosSpan]) -> Markup {
    if chaos.is_empty() {
        return html! {};
    }
    let length = |time: std::time::Duration| latency(time.as_secs_f64() * 1000.0);
    html! {
        section {
            h2 { "Injected faults" }
            p.soft { "Pale in the drawings while they last, dark while canaries went unanswered." }
            div.wide {
                table.words {
                    thead { tr { th {} th { "fault" } th { "on" } th { "at" } th { "lasted" } th { "unavailable" } } }
                    tbody {
                        @for (number, span) in (1..).zip(chaos) {
                            tr {
                                td { span.number { (number) } }
                                td { (span.name) }
                                td { (span.target) }
                                td { (clock(span.at)) }
                                td { @if span.ended > span.at { (length(span.ended - span.at)) } @else { "a blow" } }
                                @match span.unavailable {
                                    Some(window) => td.bad { (length(window.length())) " from " (clock(window.from)) },
                                    None => td.good { "never" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders where the run was made and how to repeat it.
pub(super) fn circumstances(summary: &Summary) -> Markup {
    let machine = &summary.machine;
    let generator = &summary.generator;
    let gibibytes = machine.memory_bytes as f64 / f64::from(1u32 << 30);
    html! {
        section {
            h2 { "Circumstances" }
            dl.facts {
                dt { "Machine" }
                dd { (machine.cpus) " × " (machine.model) ", " (three_digits(gibibytes)) " GiB" }
                dt { "Generator" }
                dd {
                    @if generator.count > 1 { (generator.count) " side by side, " }
                    "late by " (latency(generator.lag_p50_ms)) " at p50, " (latency(generator.lag_p99_ms)) " at p99, "
                    (latency(generator.lag_max_ms)) " at most; " (three_digits(generator.cpu_s)) " s of CPU"
                }
                dt { "Target" }
                dd {
                    (summary.target) ", commit " (summary.commit)
                    @if let Some(cpu_s) = summary.target_cpu_s { ", " (three_digits(cpu_s)) " s of CPU" }
                }
                dt { "Seed" }
                dd { (summary.seed) }
                dt { "Repeat with" }
                dd { pre { code { (summary.command) } } }
            }
        }
    }
}

/// A measured value in the unit of its expression, without zeros that say nothing.
fn measured(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
