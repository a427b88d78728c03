//! The font of PDFs: glyphs, widths, and where a line may be broken.

use std::sync::LazyLock;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider as _};

const BYTES: &[u8] = include_bytes!("../../fonts/NotoSansSC-Regular.otf");
/// Stands for a character that the font does not have.
const MISSING: char = '〓';
/// What must not begin a line.
const NOT_FIRST: &str = "，。、；：！？）》】」』％%,.;:!?)]}…”’";
/// What must not end a line.
const NOT_LAST: &str = "（《【「『([{“‘";

static FACE: LazyLock<Option<Face>> = LazyLock::new(Face::read);

/// The font, read once.
pub(super) struct Face {
    font: Font,
    characters: Charmap<'static>,
    widths: GlyphMetrics<'static>,
}

impl Face {
    /// The font in the binary; `None` if it is not one, which a test rules out.
    pub(super) fn get() -> Option<&'static Self> {
        FACE.as_ref()
    }

    fn read() -> Option<Self> {
        let reader = FontRef::new(BYTES).ok()?;
        // In units of one em.
        let widths = reader.glyph_metrics(Size::new(1.0), LocationRef::default());
        Some(Self {
            font: Font::new(BYTES.into(), 0)?,
            characters: reader.charmap(),
            widths,
        })
    }

    pub(super) fn font(&self) -> Font {
        self.font.clone()
    }

    /// The text with what the font does not have replaced.
    pub(super) fn writable(&self, text: &str) -> String {
        let has = |character: &char| self.characters.map(*character).is_some();
        text.chars()
            .map(|character| if has(&character) { character } else { MISSING })
            .collect()
    }

    /// Width in points.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|character| self.advance(character)).sum::<f32>() * size
    }

    pub(super) fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        let glyph = |(start, character): (usize, char)| KrillaGlyph {
            glyph_id: GlyphId::new(self.characters.map(character).map_or(0, skrifa::GlyphId::to_u32)),
            text_range: start..start + character.len_utf8(),
            x_advance: self.advance(character),
            x_offset: 0.0,
            y_offset: 0.0,
            y_advance: 0.0,
            location: None,
        };
        text.char_indices().map(glyph).collect()
    }

    /// The text in lines that are no wider than `width`; a word wider than that is cut.
    pub(super) fn lines(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for piece in pieces(text) {
            let fits = |line: &str, piece: &str| {
                self.width(line, size) + self.width(piece.trim_end(), size) <= width
            };
            if !line.is_empty() && !fits(&line, piece) {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            if fits("", piece) {
                line.push_str(piece);
            } else {
                self.cut(piece, size, width, &mut line, &mut lines);
            }
        }
        lines.push(line.trim_end().to_owned());
        lines
    }

    fn cut(&self, piece: &str, size: f32, width: f32, line: &mut String, lines: &mut Vec<String>) {
        for character in piece.chars() {
            if !line.is_empty() && self.width(line, size) + self.advance(character) * size > width {
                lines.push(std::mem::take(line));
            }
            line.push(character);
        }
    }

    fn advance(&self, character: char) -> f32 {
        let glyph = self.characters.map(character).unwrap_or_default();
        self.widths.advance_width(glyph).unwrap_or(1.0)
    }
}

/// The text in pieces after each of which a line may end: words with the space after them, and single Chinese characters.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((_, character)) = characters.next() {
        let Some((next_at, next)) = characters.peek().copied() else {
            break;
        };
        let is_wide = |character: char| character >= '\u{2E80}';
        let may = character == ' ' && next != ' ' || is_wide(character) || is_wide(next) && character != ' ';
        if may && !NOT_FIRST.contains(next) && !NOT_LAST.contains(character) {
            pieces.push(text.get(start..next_at).unwrap_or_default());
            start = next_at;
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_what_bills_are_written_with() {
        let face = Face::get().unwrap();
        for text in [
            "安可商城有限公司 0123456789,.−×→%¥€",
            "镕喆堃犇，䶮、㛃",
            "龍門國際貿易（香港）有限公司，臺灣瀧澤",
            "ООО «Ромашка», ΕΛΛΑΔΑ, カタカナ・ひらがな",
            "Straße, naïve, façade",
            "（）《》、。「」",
        ] {
            assert_eq!(face.writable(text), text);
        }
        assert_eq!(face.writable("a\u{1F600}b"), "a〓b");
    }

    #[test]
    fn no_line_is_too_wide_and_nothing_is_lost_but_spaces() {
        let face = Face::get().unwrap();
        for text in [
            "61,500 answered interactions; 1,000 of them are included, 60,500 are priced.",
            "机器人应答 61,500 次，其中 1,000 次已包含，计费 60,500 次。按档计费：第 2 档（10,000 以上，至 100,000），每次 0.08 元。",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "",
        ] {
            let lines = face.lines(text, 10.0, 120.0);
            for line in &lines {
                assert!(face.width(line, 10.0) <= 120.01, "{line}");
                assert!(!line.starts_with(['，', '。', '、', '）', '%']), "{line}");
            }
            let joined: String = lines.concat();
            assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
        }
    }
}
