//! The font of printed documents: how wide its characters are, and the part of it that a document brings along.
//!
//! Characters are set one after another, which is how Chinese and Latin are written; scripts whose letters join are not
//! shaped. A character that the font lacks is shown as a box.

use std::collections::BTreeMap;
use std::path::Path;

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Finish, Name, Pdf, Rect, Ref, Str};
use subsetter::GlyphRemapper;
use ttf_parser::{Face, GlyphId, RawFace, Tag};

/// The first font of a collection: the regular one.
const INDEX: u32 = 0;
/// Stands for a character that the font lacks, if it has this one.
const BOX: char = '□';
/// What a subset's name begins with, by the standard.
const NAME: Name<'static> = Name(b"LYCEUM+Document");
const IDENTITY: SystemInfo<'static> = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};

/// Why a font cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::billing) enum FontError {
    /// There is no such file, or it cannot be read.
    #[error("the file of the font cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// It is no font.
    #[error("the file is no font: {0}")]
    Face(#[from] ttf_parser::FaceParsingError),
    /// It has no Chinese characters.
    #[error("the font has no Chinese characters")]
    Chinese,
    /// No part of it can be embedded.
    #[error("the font cannot be embedded: {0}")]
    Subset(#[from] subsetter::Error),
}

/// A font file, in memory.
pub(in crate::billing) struct Font(Vec<u8>);

impl Font {
    /// Reads a font with Chinese characters.
    ///
    /// # Errors
    /// There is none at `path`.
    pub(in crate::billing) fn load(path: &Path) -> Result<Self, FontError> {
        let data = std::fs::read(path)?;
        let face = Face::parse(&data, INDEX)?;
        if face.glyph_index('票').is_none() {
            return Err(FontError::Chinese);
        }
        Ok(Font(data))
    }

    /// Begins to set one document.
    pub(super) fn setting(&self) -> Result<Setting<'_>, FontError> {
        let face = Face::parse(&self.0, INDEX)?;
        Ok(Setting {
            data: &self.0,
            scale: 1.0 / f32::from(face.units_per_em()),
            face,
            glyphs: GlyphRemapper::new(),
            used: BTreeMap::new(),
        })
    }
}

/// The characters of one document.
pub(super) struct Setting<'font> {
    data: &'font [u8],
    face: Face<'font>,
    /// One unit of the font, in ems.
    scale: f32,
    glyphs: GlyphRemapper,
    /// The character that each glyph of the subset was used for, and its width in ems.
    used: BTreeMap<u16, (char, f32)>,
}

impl Setting<'_> {
    /// How wide a text is, in ems.
    pub(super) fn width(&self, text: &str) -> f32 {
        text.chars()
            .filter_map(|character| self.glyph(character))
            .map(|glyph| self.advance(glyph))
            .sum()
    }

    /// A text as the document's content names it: two bytes for each glyph of the subset.
    pub(super) fn encoded(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            let Some(glyph) = self.glyph(character) else {
                continue;
            };
            let width = self.advance(glyph);
            let placed = self.glyphs.remap(glyph.0);
            self.used.entry(placed).or_insert((character, width));
            bytes.extend(placed.to_be_bytes());
        }
        bytes
    }

    /// The glyph of a character; `None` for what only says how the one before it looks.
    fn glyph(&self, character: char) -> Option<GlyphId> {
        if matches!(character, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}') {
            return None;
        }
        let glyph = self.face.glyph_index(character);
        Some(glyph.or_else(|| self.face.glyph_index(BOX)).unwrap_or(GlyphId(0)))
    }

    fn advance(&self, glyph: GlyphId) -> f32 {
        f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)) * self.scale
    }

    /// Writes the part of the font that was used as font `id`; four more ids from `next` on are taken.
    pub(super) fn embed(self, pdf: &mut Pdf, id: Ref, next: &mut Ref) -> Result<(), FontError> {
        let (descendant, descriptor, cmap, file) = (next.bump(), next.bump(), next.bump(), next.bump());
        let subset = subsetter::subset(self.data, INDEX, &self.glyphs)?;
        // Of a font with cubic outlines only the table that has them is embedded.
        let cubic = RawFace::parse(&subset, 0)
            .ok()
            .and_then(|face| face.table(Tag::from_bytes(b"CFF ")));

        pdf.type0_font(id)
            .base_font(NAME)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(descendant)
            .to_unicode(cmap);

        let mut cid = pdf.cid_font(descendant);
        cid.subtype(if cubic.is_some() {
            CidFontType::Type0
        } else {
            CidFontType::Type2
        });
        cid.base_font(NAME)
            .system_info(IDENTITY)
            .font_descriptor(descriptor)
            .default_width(0.0);
        if cubic.is_none() {
            cid.cid_to_gid_map_predefined(Name(b"Identity"));
        }
        let mut widths = cid.widths();
        for (glyph, (_, width)) in &self.used {
            widths.consecutive(*glyph, [width * 1_000.0]);
        }
        widths.finish();
        cid.finish();

        let thousandths = |units: i16| f32::from(units) * self.scale * 1_000.0;
        let bounds = self.face.global_bounding_box();
        let mut font = pdf.font_descriptor(descriptor);
        font.name(NAME)
            .flags(FontFlags::SYMBOLIC)
            .bbox(Rect::new(
                thousandths(bounds.x_min),
                thousandths(bounds.y_min),
                thousandths(bounds.x_max),
                thousandths(bounds.y_max),
            ))
            .italic_angle(0.0)
            .ascent(thousandths(self.face.ascender()))
            .descent(thousandths(self.face.descender()))
            .cap_height(thousandths(
                self.face.capital_height().unwrap_or(self.face.ascender()),
            ))
            .stem_v(80.0);
        if cubic.is_some() {
            font.font_file3(file);
        } else {
            font.font_file2(file);
        }
        font.finish();

        // What makes the text of the file searchable, and copied as it was written.
        let mut unicode = UnicodeCmap::new(Name(b"Document"), IDENTITY);
        for (glyph, (character, _)) in &self.used {
            unicode.pair(*glyph, *character);
        }
        pdf.cmap(cmap, unicode.finish().as_slice());
        match cubic {
            Some(table) => {
                _ = pdf
                    .stream(file, table)
                    .pair(Name(b"Subtype"), Name(b"CIDFontType0C"))
            }
            None => {
                let length = i32::try_from(subset.len()).unwrap_or(i32::MAX);
                pdf.stream(file, &subset).pair(Name(b"Length1"), length);
            }
        }
        Ok(())
    }
}
