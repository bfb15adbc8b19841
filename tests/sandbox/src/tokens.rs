//! Test tokens: each stands for a payment method with a known behaviour.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long [`Token::Slow`] makes the first caller wait.
const SLOW_ANSWER: Duration = Duration::from_secs(3);

/// A payment method with a known behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Token {
    /// Charges.
    #[serde(rename = "tok_ok")]
    Ok,
    /// Declines with `card_declined`.
    #[serde(rename = "tok_declined")]
    Declined,
    /// Declines with `insufficient_funds`.
    #[serde(rename = "tok_insufficient_funds")]
    InsufficientFunds,
    /// Charges at once and answers the first request three seconds later.
    #[serde(rename = "tok_slow")]
    Slow,
    /// Charges and drops the first request's connection without an answer.
    #[serde(rename = "tok_lost_reply")]
    LostReply,
    /// Charges and sends the callback twice.
    #[serde(rename = "tok_twice")]
    Twice,
}

/// What happens to the answer of the request that made a charge; a repeated request is always answered at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Given at once.
    Prompt,
    /// Given after a pause.
    After(Duration),
    /// Never given.
    Lost,
}

impl Token {
    /// The reason this token declines with, if it does.
    pub(crate) fn decline_code(self) -> Option<&'static str> {
        match self {
            Token::Declined => Some("card_declined"),
            Token::InsufficientFunds => Some("insufficient_funds"),
            Token::Ok | Token::Slow | Token::LostReply | Token::Twice => None,
        }
    }

    /// How the request that made the charge is answered.
    pub(crate) fn answer(self) -> Answer {
        match self {
            Token::Slow => Answer::After(SLOW_ANSWER),
            Token::LostReply => Answer::Lost,
            Token::Ok | Token::Declined | Token::InsufficientFunds | Token::Twice => Answer::Prompt,
        }
    }

    /// How often the callback is sent.
    pub(crate) fn callback_copies(self) -> u32 {
        if self == Token::Twice { 2 } else { 1 }
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "tok_ok" => Ok(Token::Ok),
            "tok_declined" => Ok(Token::Declined),
            "tok_insufficient_funds" => Ok(Token::InsufficientFunds),
            "tok_slow" => Ok(Token::Slow),
            "tok_lost_reply" => Ok(Token::LostReply),
            "tok_twice" => Ok(Token::Twice),
            _ => Err(()),
        }
    }
}
