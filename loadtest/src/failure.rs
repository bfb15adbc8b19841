//! Why a command ends without a result: one sentence for a person, one exit code for a script.

use crate::scenario::ScenarioError;

/// A command that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The scenario is wrong.
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    /// Something else is.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Makes a failure of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Failure::Other(sentence.into())
    }

    /// Returns the process' exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Scenario(_) => 104,
            Failure::Other(_) => 1,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Other(error.to_string())
    }
}
