//! What is seen while a run goes on: a full view on a terminal, a bar where only errors go to one, else a line now and then.
//!
//! One thread of its own reads the [`Board`] at most four times a second and never holds the workers up. When the handle is
//! dropped the view ends and the terminal is as it was; so it is after a panic anywhere, and before Ctrl-C takes effect.

mod line;
mod model;
mod screen;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::Options;
use crate::outcome::Board;
use crate::scenario::Scenario;
use line::{Bar, Lines};
use model::Model;
use screen::Screen;

/// What the view says about the run besides its figures.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the scenario.
    pub scenario: String,
    /// Base address of the target.
    pub target: String,
    /// Seed of the run.
    pub seed: u64,
    /// Length of the run without the drain.
    pub length: Duration,
}

impl Plan {
    /// Says what is about to run.
    #[must_use]
    pub fn of(scenario: &Scenario, options: &Options) -> Self {
        Plan {
            scenario: scenario.name.clone(),
            target: options.target.clone(),
            seed: options.seed,
            length: scenario.profile.length(),
        }
    }
}

/// A view that lasts as long as this handle.
#[derive(Debug)]
pub struct Live {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Shows the board from now on.
    ///
    /// # Errors
    /// No thread could be made.
    pub fn start(plan: Plan, board: Arc<Board>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("live".to_owned()).spawn(move || {
            let mut model = Model::new(plan);
            let mut view = View::open(&model);
            while stopped.recv_timeout(view.pace()) == Err(RecvTimeoutError::Timeout) {
                model.update(&board.total(), board.chaos());
                view.show(&model);
            }
        })?;
        Ok(Live {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, the run is worth no less.
            let _ = thread.join();
        }
    }
}

/// The way in which a run is shown.
enum View {
    Screen(Screen),
    Bar(Bar),
    Lines(Lines),
}

impl View {
    /// Chooses by what the output goes to.
    fn open(model: &Model) -> Self {
        let capable = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        if !io::stderr().is_terminal() || !capable {
            return View::Lines(Lines);
        }
        if io::stdout().is_terminal()
            && io::stdin().is_terminal()
            && let Ok(screen) = Screen::open()
        {
            return View::Screen(screen);
        }
        View::Bar(Bar::new(model))
    }

    /// Returns the time between updates.
    fn pace(&self) -> Duration {
        match self {
            View::Screen(_) | View::Bar(_) => Duration::from_millis(250),
            // Each line stays in a log.
            View::Lines(_) => Duration::from_secs(10),
        }
    }

    fn show(&mut self, model: &Model) {
        match self {
            View::Screen(screen) => screen.show(model),
            View::Bar(bar) => bar.show(model),
            View::Lines(lines) => lines.show(model),
        }
    }
}
