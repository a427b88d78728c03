//! Text for a terminal: sections of aligned lines, and sentences that are wrapped.
//!
//! - *width*: columns that a text takes; ideographs and the like take two.

use jiff::SignedDuration;

/// Sentences are wrapped to this width.
const LINE: usize = 100;

/// One line of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// To the left.
    pub(super) label: String,
    /// To the right, below the others.
    pub(super) value: String,
    /// What it means.
    pub(super) note: String,
}

impl Line {
    pub(super) fn new(label: &str, value: &impl ToString, note: impl Into<String>) -> Self {
        Self {
            label: label.to_owned(),
            value: value.to_string(),
            note: note.into(),
        }
    }
}

/// A heading with lines below, their columns aligned.
pub(super) fn section(heading: &str, lines: &[Line]) -> String {
    let cells = |line: &Line| vec![line.label.clone(), line.value.clone(), line.note.clone()];
    let rows: Vec<_> = lines.iter().map(cells).collect();
    let aligned = table(&rows, &[Align::Left, Align::Right, Align::Left]);
    format!("\n{heading}\n{aligned}")
}

/// On which side a column is straight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// On the left.
    Left,
    /// On the right.
    Right,
}

/// Rows whose columns are aligned, each indented and with a line end.
pub(super) fn table(rows: &[Vec<String>], aligns: &[Align]) -> String {
    let widths: Vec<_> = (0..aligns.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, wide), align) in row.iter().zip(&widths).zip(aligns) {
            let room = " ".repeat(wide - width(cell));
            match align {
                Align::Left => line.extend(["  ", cell, &room]),
                Align::Right => line.extend(["  ", &room, cell]),
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A sentence, wrapped and indented by so much, with a line end.
pub(super) fn paragraph(sentence: &str, indent: usize) -> String {
    let indent = " ".repeat(indent);
    let mut text = String::new();
    let mut line = indent.clone();
    for word in sentence.split_whitespace() {
        let is_first = line.len() == indent.len();
        if !is_first && width(&line) + 1 + width(word) > LINE {
            text += &line;
            text.push('\n');
            line.clone_from(&indent);
        } else if !is_first {
            line.push(' ');
        }
        line += word;
    }
    text + &line + "\n"
}

/// So many of something.
pub(super) fn counted(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// A span of time as people say it, to the two largest units.
pub(super) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let parts = parts.iter().skip(first).take(2).filter(|(count, _)| *count > 0);
    let text: Vec<_> = parts.map(|(count, unit)| format!("{count} {unit}")).collect();
    if text.is_empty() {
        "0 s".to_owned()
    } else {
        text.join(" ")
    }
}

/// Columns that a text takes in a terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(letter: char) -> usize {
    match u32::from(letter) {
        // Marks that stand on the letter before, and what joins letters.
        0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        // Hangul, ideographs and their punctuation, kana, full-width forms, pictures.
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_straight_where_letters_are_wide() {
        let lines = [
            Line::new("设置者", &"李雷", "who"),
            Line::new("until", &7, ""),
            Line::new("e\u{301}", &"１２", "full width"),
        ];
        assert_eq!(
            section("Override", &lines),
            "\nOverride\n  设置者  李雷  who\n  until      7\n  e\u{301}       １２  full width\n"
        );
    }

    #[test]
    fn spans_are_said_in_two_units() {
        let said = |seconds| span(SignedDuration::from_secs(seconds));
        assert_eq!([said(0), said(59), said(7_200)], ["0 s", "59 s", "2 h"]);
        assert_eq!([said(5_000), said(180_061)], ["1 h 23 min", "2 d 2 h"]);
    }

    #[test]
    fn sentences_are_wrapped_by_their_width() {
        let sentence = "工人 ".repeat(40);
        let text = paragraph(&sentence, 2);
        assert!(text.lines().all(|line| width(line) <= LINE), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert_eq!(paragraph("", 2), "  \n");
    }
}
