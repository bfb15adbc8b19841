//! Billing: invoices, credit notes, and to whom they are made out.
//!
//! [`Document`] is what is on paper, made of what commerce has decided; [`Recipient`] is what a buyer says of themselves. Nothing
//! here decides about money.

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

pub mod document;
mod recipient;

#[cfg(test)]
mod document_test;

pub use document::{Calendar, Document, DocumentLine, Kind, Number, NumberError, Series};
pub use recipient::{Recipient, TaxId};

/// Why billing refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// There is no such document, or not yet.
    #[error("there is no such invoice; that of a fulfilled order is issued within seconds")]
    InvoiceNotFound,
    /// The title is empty, too long, or has characters that cannot be seen.
    #[error("a title has from 1 to 100 characters, none of them hidden")]
    TitleInvalid,
    /// The text is no unified social credit code.
    #[error("a tax id is a unified social credit code of 18 characters, the last of which fits the others")]
    TaxIdInvalid,
    /// The font of printed documents is missing or cannot be used.
    #[error("documents cannot be printed: their font is missing")]
    FontUnavailable,
    /// Another recipient was named before.
    #[error("the order's documents are made out to somebody else already, once and for all")]
    RecipientNamed,
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Error::InvoiceNotFound => "billing.invoice_not_found",
            Error::TitleInvalid => "billing.title_invalid",
            Error::TaxIdInvalid => "billing.tax_id_invalid",
            Error::FontUnavailable => "billing.font_unavailable",
            Error::RecipientNamed => "billing.recipient_named",
        }
    }

    fn class(&self) -> Class {
        match self {
            Error::InvoiceNotFound => Class::NotFound,
            Error::TitleInvalid | Error::TaxIdInvalid => Class::Unprocessable,
            Error::RecipientNamed => Class::Conflict,
            Error::FontUnavailable => Class::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_belong_to_billing() {
        let errors = [
            Error::InvoiceNotFound,
            Error::TitleInvalid,
            Error::TaxIdInvalid,
            Error::FontUnavailable,
            Error::RecipientNamed,
        ];

        let codes: BTreeSet<_> = errors.iter().map(Coded::code).collect();

        assert_eq!(codes.len(), errors.len());
        assert!(codes.iter().all(|code| code.starts_with("billing.")));
    }
}
