//! Why a request failed, as a small closed set, so that counts by kind stay bounded.

use std::fmt;
use std::str::FromStr;

/// The kind of a failure as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// No connection was made.
    Connect,
    /// The connection broke before the answer was complete.
    Reset,
    /// The answer was not complete before the deadline.
    Timeout,
    /// The answer was no HTTP.
    Protocol,
    /// The answer had a status that the journey did not expect.
    Status(u16),
    /// The answer had the right status and the wrong contents.
    Check,
    /// The run ended before the answer came.
    Unfinished,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            ErrorKind::Connect => "connect",
            ErrorKind::Reset => "reset",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Status(status) => return write!(formatter, "status_{status}"),
            ErrorKind::Check => "check",
            ErrorKind::Unfinished => "unfinished",
        };
        formatter.pad(name)
    }
}

/// A name that is no error kind.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no kind of error")]
pub struct UnknownKind(String);

impl FromStr for ErrorKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "connect" => ErrorKind::Connect,
            "reset" => ErrorKind::Reset,
            "timeout" => ErrorKind::Timeout,
            "protocol" => ErrorKind::Protocol,
            "check" => ErrorKind::Check,
            "unfinished" => ErrorKind::Unfinished,
            _ => {
                let status = name
                    .strip_prefix("status_")
                    .and_then(|status| status.parse().ok());
                ErrorKind::Status(status.ok_or_else(|| UnknownKind(name.to_owned()))?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_back_from_its_name() {
        for kind in [
            ErrorKind::Connect,
            ErrorKind::Reset,
            ErrorKind::Timeout,
            ErrorKind::Protocol,
            ErrorKind::Status(503),
            ErrorKind::Check,
            ErrorKind::Unfinished,
        ] {
            assert_eq!(kind.to_string().parse::<ErrorKind>().unwrap(), kind);
        }
        assert!("status_x".parse::<ErrorKind>().is_err());
    }
}
