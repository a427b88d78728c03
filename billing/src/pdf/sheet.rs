//! Pages of A4: text and rules at places, from the top down. Points; the origin is the upper left corner.

use jiff::Timestamp;
use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;

use super::PdfError;
use super::font::Face;

/// Width of a page.
pub(super) const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
/// White at each side.
pub(super) const MARGIN: f32 = 52.0;
/// Room for the page's number.
const FOOT: f32 = 58.0;
/// Of a line, in sizes of its letters.
const LEADING: f32 = 1.45;

/// A colour, as red, green and blue.
#[derive(Clone, Copy)]
pub(super) struct Ink(pub(super) u8, pub(super) u8, pub(super) u8);

/// For what is read first.
pub(super) const DARK: Ink = Ink(16, 36, 46);
/// For what is read when it is needed.
pub(super) const MUTED: Ink = Ink(86, 106, 115);
/// For what stands out.
pub(super) const TIDE: Ink = Ink(11, 79, 96);
const HAIR: Ink = Ink(205, 217, 221);

/// How a text is written.
#[derive(Clone, Copy)]
pub(super) struct Hand {
    pub(super) size: f32,
    pub(super) ink: Ink,
}

enum Mark {
    Text {
        x: f32,
        baseline: f32,
        hand: Hand,
        text: String,
    },
    Rule {
        x: f32,
        y: f32,
        width: f32,
    },
}

/// Pages in the making.
pub(super) struct Sheet {
    face: &'static Face,
    pages: Vec<Vec<Mark>>,
    y: f32,
}

impl Sheet {
    pub(super) fn new(face: &'static Face) -> Self {
        Self {
            face,
            pages: vec![Vec::new()],
            y: MARGIN,
        }
    }

    /// A new page follows unless `height` is left on this one.
    pub(super) fn keep(&mut self, height: f32) {
        if self.y + height > HEIGHT - FOOT {
            self.pages.push(Vec::new());
            self.y = MARGIN;
        }
    }

    /// Leaves white.
    pub(super) fn skip(&mut self, height: f32) {
        self.y += height;
    }

    /// Where the next line begins.
    pub(super) fn y(&self) -> f32 {
        self.y
    }

    /// Goes back up on the same page, as for a second column.
    pub(super) fn set_y(&mut self, y: f32) {
        self.y = y;
    }

    /// A paragraph from `x` on, `width` wide.
    pub(super) fn paragraph(&mut self, text: &str, hand: Hand, x: f32, width: f32) {
        let text = self.face.writable(text);
        for line in self.face.lines(&text, hand.size, width) {
            self.keep(hand.size * LEADING);
            self.text(line, hand, x);
            self.y += hand.size * LEADING;
        }
    }

    /// How high a paragraph will be.
    pub(super) fn height(&self, text: &str, hand: Hand, width: f32) -> f32 {
        let lines = self.face.lines(&self.face.writable(text), hand.size, width).len();
        // A page has a few dozen lines.
        f32::from(u16::try_from(lines).unwrap_or(u16::MAX)) * hand.size * LEADING
    }

    /// A text that ends at `right`, in the line that comes next; the line stays where it is.
    pub(super) fn aligned_right(&mut self, text: &str, hand: Hand, right: f32) {
        let text = self.face.writable(text);
        let x = right - self.face.width(&text, hand.size);
        self.text(text, hand, x);
    }

    /// A thin line over the whole width.
    pub(super) fn rule(&mut self) {
        let (y, width) = (self.y, WIDTH - 2.0 * MARGIN);
        self.mark(Mark::Rule { x: MARGIN, y, width });
    }

    fn text(&mut self, text: String, hand: Hand, x: f32) {
        let baseline = self.y + hand.size * 1.05;
        self.mark(Mark::Text {
            x,
            baseline,
            hand,
            text,
        });
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    /// The file. `foot` is written on each page beside its number.
    pub(super) fn finish(
        self,
        about: &About<'_>,
        foot: &dyn Fn(usize, usize) -> String,
    ) -> Result<Vec<u8>, PdfError> {
        let Self { face, pages, .. } = self;
        let mut document = Document::new();
        document.set_metadata(about.metadata());
        let count = pages.len();
        for (position, marks) in pages.into_iter().enumerate() {
            let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(PdfError::Page)?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for mark in marks {
                draw(&mut surface, face, mark);
            }
            let hand = Hand {
                size: 8.0,
                ink: MUTED,
            };
            let text = face.writable(&foot(position + 1, count));
            draw(
                &mut surface,
                face,
                Mark::Text {
                    x: MARGIN,
                    baseline: HEIGHT - 30.0,
                    hand,
                    text,
                },
            );
            surface.finish();
            page.finish();
        }
        document
            .finish()
            .map_err(|error| PdfError::Write(format!("{error:?}")))
    }
}

/// What the file says of itself.
pub(super) struct About<'a> {
    pub(super) title: String,
    pub(super) language: &'a str,
    pub(super) made_at: Option<Timestamp>,
    pub(super) identity: String,
}

impl About<'_> {
    fn metadata(&self) -> Metadata {
        let metadata = Metadata::new()
            .title(self.title.clone())
            .language(self.language.to_owned())
            .creator("Springtide".to_owned())
            .document_id(self.identity.clone());
        match self.made_at {
            Some(at) => metadata.creation_date(date_time(at)),
            None => metadata,
        }
    }
}

fn date_time(at: Timestamp) -> DateTime {
    let utc = jiff::tz::TimeZone::UTC.to_datetime(at);
    let part = |value: i8| u8::try_from(value).unwrap_or_default();
    DateTime::new(u16::try_from(utc.year()).unwrap_or_default())
        .month(part(utc.month()))
        .day(part(utc.day()))
        .hour(part(utc.hour()))
        .minute(part(utc.minute()))
        .second(part(utc.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}

fn draw(surface: &mut Surface<'_>, face: &Face, mark: Mark) {
    match mark {
        Mark::Text {
            x,
            baseline,
            hand,
            text,
        } => {
            surface.set_fill(Some(fill(hand.ink)));
            let glyphs = face.glyphs(&text);
            surface.draw_glyphs(
                Point::from_xy(x, baseline),
                &glyphs,
                face.font(),
                &text,
                hand.size,
                false,
            );
        }
        Mark::Rule { x, y, width } => {
            surface.set_fill(Some(fill(HAIR)));
            let mut path = PathBuilder::new();
            path.move_to(x, y);
            path.line_to(x + width, y);
            path.line_to(x + width, y + 0.7);
            path.line_to(x, y + 0.7);
            path.close();
            if let Some(path) = path.finish() {
                surface.draw_path(&path);
            }
        }
    }
}

fn fill(Ink(red, green, blue): Ink) -> Fill {
    Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        opacity: NormalizedF32::ONE,
        rule: FillRule::NonZero,
    }
}
