//! Documents on paper: what each says is put into words once, and laid out as HTML or PDF.

mod font;
mod html;
mod pdf;
mod sheet;
#[cfg(test)]
mod tests;

pub(super) use font::Font;
use font::FontError;
use sheet::Sheet;

use super::Issued;

/// A page that needs nothing from elsewhere.
pub(super) fn html(issued: &Issued) -> String {
    html::page(&Sheet::of(issued))
}

/// A file that brings the characters it needs.
pub(super) fn pdf(issued: &Issued, font: &Font) -> Result<Vec<u8>, FontError> {
    pdf::file(&Sheet::of(issued), font)
}
