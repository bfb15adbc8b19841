//! A document on A4 pages, with all of its text as text.

use lyceum_domain::billing::Kind;
use pdf_writer::types::TextRenderingMode;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::font::{Font, FontError, Setting};
use super::sheet::{COLUMNS, FOOT, Party, Row, Sheet};

/// A4 in points, from the bottom left.
const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
const LEFT: f32 = 52.0;
const RIGHT: f32 = WIDTH - 52.0;
/// No line of the table ends below it.
const BOTTOM: f32 = 92.0;
/// Where each column of figures ends, after that of the titles.
const ENDS: [f32; 4] = [352.0, 417.0, 473.0, RIGHT - 10.0];
/// How wide a title may be before it is broken.
const TITLE_WIDTH: f32 = 222.0;
const FONT: Name<'static> = Name(b"F");

/// Red, green and blue, from 0 to 1.
type Colour = (f32, f32, f32);
const INK: Colour = (0.12, 0.16, 0.20);
const MUTED: Colour = (0.42, 0.45, 0.50);
const LINE: Colour = (0.90, 0.91, 0.92);

/// How a text is set.
#[derive(Clone, Copy)]
struct Style {
    size: f32,
    colour: Colour,
    /// The one font has one weight: a heavier one is drawn with an outline.
    heavy: bool,
}

impl Style {
    const fn of(size: f32, colour: Colour) -> Self {
        Style {
            size,
            colour,
            heavy: false,
        }
    }

    const fn heavy(self) -> Self {
        Style { heavy: true, ..self }
    }
}

/// The file of a document.
pub(super) fn file(sheet: &Sheet, font: &Font) -> Result<Vec<u8>, FontError> {
    let (accent, tint) = match sheet.kind {
        Kind::Invoice => ((0.12, 0.23, 0.37), (0.95, 0.96, 0.98)),
        Kind::CreditNote => ((0.71, 0.14, 0.09), (0.99, 0.95, 0.95)),
    };
    let mut press = Press {
        setting: font.setting()?,
        done: Vec::new(),
        page: Content::new(),
        y: HEIGHT,
        accent,
        tint,
    };
    press.head(sheet);
    press.columns();
    for row in &sheet.lines {
        press.row(row);
    }
    press.sum(sheet);
    press.finish(sheet)
}

/// Pages that are being set, from top to bottom.
struct Press<'font> {
    setting: Setting<'font>,
    done: Vec<Content>,
    page: Content,
    /// What is above it is set.
    y: f32,
    accent: Colour,
    tint: Colour,
}

impl Press<'_> {
    fn head(&mut self, sheet: &Sheet) {
        self.band(HEIGHT - 7.0, 7.0, 0.0, WIDTH, self.accent);
        let (chinese, english) = sheet.title;
        self.text(LEFT, HEIGHT - 76.0, chinese, Style::of(26.0, self.accent).heavy());
        self.text(LEFT + 1.0, HEIGHT - 94.0, english, Style::of(9.5, MUTED));

        let mut y = HEIGHT - 60.0;
        let number = Style::of(13.0, INK).heavy();
        self.text_to(RIGHT, y, &sheet.number, number);
        for (label, value) in &sheet.facts {
            y -= 16.0;
            let used = self.text_to(RIGHT, y, value, Style::of(8.5, INK));
            self.text_to(RIGHT - used - 10.0, y, label, Style::of(8.0, MUTED));
        }

        let top = HEIGHT - 152.0;
        let left = self.party(LEFT, top, &sheet.recipient);
        let right = self.party(LEFT + 258.0, top, &sheet.seller);
        self.y = left.min(right) - 26.0;
    }

    /// One side of the sale; says where it ends.
    fn party(&mut self, x: f32, top: f32, party: &Party) -> f32 {
        const COLUMN: f32 = 232.0;
        let (chinese, english) = party.label;
        let used = self.text(x, top, chinese, Style::of(8.5, self.accent).heavy());
        self.text(x + used + 6.0, top, english, Style::of(8.0, MUTED));
        let mut y = top - 19.0;
        for line in self.broken(&party.name, 11.5, COLUMN) {
            self.text(x, y, &line, Style::of(11.5, INK));
            y -= 15.5;
        }
        for long in &party.lines {
            for line in self.broken(long, 8.5, COLUMN) {
                self.text(x, y, &line, Style::of(8.5, MUTED));
                y -= 13.0;
            }
        }
        y
    }

    /// The heads of the columns.
    fn columns(&mut self) {
        const HIGH: f32 = 26.0;
        self.band(self.y - HIGH, HIGH, LEFT, RIGHT - LEFT, self.tint);
        let y = self.y - 16.5;
        let (first, rest) = (COLUMNS[0], &COLUMNS[1..]);
        let used = self.text(LEFT + 10.0, y, first.0, Style::of(8.5, INK).heavy());
        self.text(LEFT + 15.0 + used, y, first.1, Style::of(7.5, MUTED));
        for ((chinese, english), end) in rest.iter().zip(ENDS) {
            let used = self.text_to(end, y, english, Style::of(7.5, MUTED));
            self.text_to(end - used - 4.0, y, chinese, Style::of(8.5, INK).heavy());
        }
        self.y -= HIGH;
    }

    fn row(&mut self, row: &Row) {
        const STEP: f32 = 14.0;
        let title = self.broken(&row.title, 10.0, TITLE_WIDTH);
        let mut high = 18.0;
        for _ in &title {
            high += STEP;
        }
        if self.y - high < BOTTOM {
            self.turn();
            self.columns();
        }
        let mut y = self.y - 20.0;
        for (figure, end) in [&row.price, &row.discount, &row.tax, &row.net]
            .into_iter()
            .zip(ENDS)
        {
            self.text_to(end, y, figure, Style::of(9.5, INK));
        }
        for line in title {
            self.text(LEFT + 10.0, y, &line, Style::of(10.0, INK));
            y -= STEP;
        }
        self.y -= high;
        self.rule(self.y, LEFT, RIGHT, LINE, 0.6);
    }

    /// What the lines add up to.
    fn sum(&mut self, sheet: &Sheet) {
        const HIGH: f32 = 96.0;
        if self.y - HIGH < BOTTOM {
            self.turn();
        }
        let from = 330.0;
        let mut y = self.y - 26.0;
        for (label, value) in &sheet.parts {
            self.text(from, y, label, Style::of(8.5, MUTED));
            self.text_to(RIGHT - 10.0, y, value, Style::of(9.5, INK));
            y -= 17.0;
        }
        self.rule(y + 5.0, from, RIGHT, self.accent, 1.4);
        y -= 17.0;
        self.text(from, y, "价税合计 Total", Style::of(10.0, self.accent).heavy());
        self.text_to(
            RIGHT - 10.0,
            y,
            &sheet.total,
            Style::of(16.0, self.accent).heavy(),
        );
        if !sheet.spelled.is_empty() {
            self.text(LEFT + 10.0, y + 17.0, "价税合计（大写）", Style::of(8.0, MUTED));
            for (index, line) in self.broken(&sheet.spelled, 10.5, 255.0).iter().enumerate() {
                let below = if index == 0 { 0.0 } else { 14.0 };
                self.text(LEFT + 10.0, y - below, line, Style::of(10.5, INK));
            }
        }
        self.y = y;
    }

    /// Ends the page and begins another.
    fn turn(&mut self) {
        self.done.push(std::mem::replace(&mut self.page, Content::new()));
        self.band(HEIGHT - 7.0, 7.0, 0.0, WIDTH, self.accent);
        self.y = HEIGHT - 60.0;
    }

    fn finish(mut self, sheet: &Sheet) -> Result<Vec<u8>, FontError> {
        self.done.push(std::mem::replace(&mut self.page, Content::new()));
        let pages = std::mem::take(&mut self.done);
        let count = pages.len();
        let mut pdf = Pdf::new();
        let mut next = Ref::new(1);
        let (catalog, tree, info, font) = (next.bump(), next.bump(), next.bump(), next.bump());
        pdf.catalog(catalog).pages(tree).lang(TextStr("zh-CN"));
        let mut kids = Vec::with_capacity(count);
        for (index, page) in pages.into_iter().enumerate() {
            self.page = page;
            self.rule(64.0, LEFT, RIGHT, LINE, 0.6);
            self.text(LEFT, 48.0, FOOT, Style::of(7.5, MUTED));
            if count > 1 {
                let place = format!("{} · {}/{count}", sheet.number, index + 1);
                self.text_to(RIGHT, 48.0, &place, Style::of(7.5, MUTED));
            }
            let (id, content) = (next.bump(), next.bump());
            let mut page = pdf.page(id);
            page.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT))
                .parent(tree)
                .contents(content);
            page.resources().fonts().pair(FONT, font);
            page.finish();
            let set = std::mem::replace(&mut self.page, Content::new()).finish();
            pdf.stream(content, set.as_slice());
            kids.push(id);
        }
        let pages = i32::try_from(count).unwrap_or(i32::MAX);
        pdf.pages(tree).kids(kids).count(pages);
        let title = format!("{} {}", sheet.title.1, sheet.number);
        pdf.document_info(info)
            .title(TextStr(&title))
            .author(TextStr(&sheet.seller.name))
            .creator(TextStr("Lyceum"));
        self.setting.embed(&mut pdf, font, &mut next)?;
        Ok(pdf.finish())
    }

    /// Sets a text from `x` on; says how wide it is.
    fn text(&mut self, x: f32, y: f32, text: &str, style: Style) -> f32 {
        let Style { size, colour, heavy } = style;
        let encoded = self.setting.encoded(text);
        let (red, green, blue) = colour;
        self.page
            .begin_text()
            .set_font(FONT, size)
            .set_fill_rgb(red, green, blue)
            .set_text_rendering_mode(if heavy {
                TextRenderingMode::FillStroke
            } else {
                TextRenderingMode::Fill
            });
        if heavy {
            self.page
                .set_stroke_rgb(red, green, blue)
                .set_line_width(size * 0.028);
        }
        self.page.next_line(x, y).show(Str(&encoded)).end_text();
        self.setting.width(text) * size
    }

    /// Sets a text that ends at `x`; says how wide it is.
    fn text_to(&mut self, x: f32, y: f32, text: &str, style: Style) -> f32 {
        let width = self.setting.width(text) * style.size;
        self.text(x - width, y, text, style)
    }

    fn band(&mut self, y: f32, height: f32, x: f32, width: f32, (red, green, blue): Colour) {
        self.page
            .set_fill_rgb(red, green, blue)
            .rect(x, y, width, height)
            .fill_nonzero();
    }

    fn rule(&mut self, y: f32, from: f32, to: f32, (red, green, blue): Colour, width: f32) {
        self.page
            .set_stroke_rgb(red, green, blue)
            .set_line_width(width)
            .move_to(from, y)
            .line_to(to, y)
            .stroke();
    }

    /// The lines of a text that may be so wide: broken at a blank where there is one, else between two characters, as
    /// Chinese is.
    fn broken(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for character in text.chars() {
            line.push(character);
            if self.setting.width(&line) * size <= width {
                continue;
            }
            // A word that begins this line cannot be carried over.
            let at = match line.trim_end().rfind(' ') {
                Some(blank) if character.is_ascii() && blank > 0 => blank,
                _ => line.len() - character.len_utf8(),
            };
            let rest = line.split_off(at).trim_start().to_owned();
            lines.push(std::mem::replace(&mut line, rest));
        }
        if !line.is_empty() || lines.is_empty() {
            lines.push(line);
        }
        lines
    }
}
