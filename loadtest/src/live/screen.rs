//! The view that fills a terminal: progress, figures, and the last seconds as small charts.
//!
//! While it is open the terminal sends Ctrl-C as a key, so the view closes itself first and then raises the signal that
//! the key stands for.

use std::collections::VecDeque;
use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Sparkline};
use ratatui::{Frame, Terminal};
use rustix::process::{Signal, getpid, kill_process};

use super::model::{Model, Rates};
use crate::report::format::{clock, count, latency, rate};

/// The open view.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    open: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Self> {
        let open = Arc::new(AtomicBool::new(true));
        let (still, before) = (open.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            // What it has to say belongs on the screen that stays.
            close(&still);
            before(info);
        }));
        let screen = Screen {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
            open,
        };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// Draws how things stand, and obeys Ctrl-C.
    pub(super) fn show(&mut self, model: &Model) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        // A terminal that cannot be drawn on any more does not stop a run.
        let _ = self.terminal.draw(|frame| draw(frame, model));
        if interrupted() {
            close(&self.open);
            let _ = writeln!(io::stderr(), "ending; a moment for the answers under way …");
            let _ = kill_process(getpid(), Signal::INT);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        close(&self.open);
    }
}

/// Gives the terminal back, once.
fn close(open: &AtomicBool) {
    if open.swap(false, Ordering::AcqRel) {
        // There is nobody to tell if the terminal is gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// Reads what was typed since the last time.
fn interrupted() -> bool {
    while event::poll(Duration::ZERO).unwrap_or(false) {
        if let Ok(Event::Key(key)) = event::read()
            && key.code == KeyCode::Char('c')
            && key.modifiers.contains(KeyModifiers::CONTROL)
        {
            return true;
        }
    }
    false
}

fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [head, gauge, _, figures, _, completed, slowest, failed, chaos] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .horizontal_margin(1)
    .areas(frame.area());
    let faint = Style::new().add_modifier(Modifier::DIM);
    let plan = &model.plan;
    let title = Line::from(vec![
        Span::styled(plan.scenario.as_str(), Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(format!("  seed {}  {}", plan.seed, plan.target), faint),
    ]);
    frame.render_widget(title, head);
    let progress = Gauge::default()
        .ratio(model.progress())
        .label(format!("{} / {}", clock(model.now.at), clock(plan.length)))
        .gauge_style(Style::new().fg(Color::Blue).bg(Color::DarkGray))
        .use_unicode(true);
    frame.render_widget(progress, gauge);
    frame.render_widget(Paragraph::new(figure_lines(model)), figures);

    let rates = &model.rates;
    let chart = |frame: &mut Frame<'_>, area, title: String, colour, figure: fn(&Rates) -> f64| {
        spark(frame, area, title, colour, &model.history, figure);
    };
    let says = format!(
        "completed {}/s of {}/s offered",
        rate(rates.completed),
        rate(rates.offered)
    );
    chart(frame, completed, says, Color::Blue, |rates| rates.completed);
    let says = format!("p99 {} from intended start", latency(rates.p99_ms));
    chart(frame, slowest, says, Color::Yellow, |rates| rates.p99_ms * 1000.0);
    let says = format!("failed {}/s", rate(rates.failed));
    chart(frame, failed, says, Color::Red, |rates| rates.failed);

    let last = match model.chaos.as_slice() {
        [] => Line::styled("Ctrl-C ends the run early", faint),
        faults => Line::styled(
            format!(" injecting {} ", faults.join(", ")),
            Style::new().fg(Color::White).bg(Color::Red),
        ),
    };
    frame.render_widget(last, chaos);
}

/// The totals under their names.
fn figure_lines(model: &Model) -> Vec<Line<'static>> {
    let now = &model.now;
    let figures = [
        ("offered", count(now.offered), false),
        ("completed", count(now.completed), false),
        ("failed", count(now.errors), now.errors > 0),
        ("dropped", count(now.dropped), now.dropped > 0),
        ("in flight", count(now.in_flight()), false),
        ("p50", latency(model.rates.p50_ms), false),
        ("p99", latency(model.rates.p99_ms), false),
    ];
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (name, value, alarming) in figures {
        let style = Style::new().add_modifier(Modifier::BOLD);
        let style = if alarming { style.fg(Color::Red) } else { style };
        names.push(Span::styled(
            format!("{name:<11}"),
            Style::new().add_modifier(Modifier::DIM),
        ));
        values.push(Span::styled(format!("{value:<11}"), style));
    }
    vec![Line::from(names), Line::from(values)]
}

/// A title and the last seconds below it, as many as fit.
fn spark(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    colour: Color,
    history: &VecDeque<Rates>,
    figure: fn(&Rates) -> f64,
) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let seconds = usize::from(body.width);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates and latencies are not negative, and a float saturates"
    )]
    let bars: Vec<u64> = history
        .iter()
        .skip(history.len().saturating_sub(seconds))
        .map(|rates| figure(rates).ceil() as u64)
        .collect();
    frame.render_widget(Line::styled(title, Style::new().fg(colour)), head);
    let chart = Sparkline::default().data(bars).style(Style::new().fg(colour));
    frame.render_widget(chart, body);
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::model::tests::halfway;
    use super::*;

    fn drawn(width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &halfway())).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_view_shows_progress_rates_and_faults() {
        let screen = drawn(100, 24);

        for text in [
            "stormy  seed 42",
            "1:00 / 2:00",
            "in flight",
            "from intended start",
            "injecting sigstop",
        ] {
            assert!(screen.contains(text), "{text} is missing in\n{screen}");
        }
    }

    #[test]
    fn a_tiny_terminal_is_no_reason_to_fail() {
        for (width, height) in [(1, 1), (10, 3), (30, 8)] {
            drawn(width, height);
        }
    }
}
