//! Tables for a terminal: aligned, cut to its width, coloured. What stands in a cell comes from anybody, so it is escaped
//! here and nowhere else.

use super::output::{Out, Screen, colored, shown};
use anyhow::Result;

/// Where a column stands, and which one gives way when the terminal is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    /// Numbers.
    Right,
    /// Text of any length: cut first.
    Text,
}

/// What a cell means to a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tint {
    #[default]
    Plain,
    Good,
    Waiting,
    Busy,
    Bad,
    Faint,
    Title,
}

impl Tint {
    fn code(self) -> &'static str {
        match self {
            Tint::Plain => "",
            Tint::Good => "32",
            Tint::Waiting => "36",
            Tint::Busy => "33",
            Tint::Bad => "31",
            Tint::Faint => "2",
            Tint::Title => "1",
        }
    }

    /// The text in this colour, where stdout gets any.
    pub fn paint(self, text: &str) -> String {
        if colored() { self.painted(text) } else { text.to_string() }
    }

    fn painted(self, text: &str) -> String {
        match self.code() {
            "" => text.to_string(),
            code => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    pub fn new(text: impl AsRef<str>, tint: Tint) -> Cell {
        Cell { text: shown(text.as_ref(), Screen::Line), tint }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Tint::Plain)
    }
}

/// Rows under titles, if there are any. A column that is empty in every row is left out.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// Between two columns.
const GAP: usize = 2;
/// No column is cut below this, and none to nothing.
const NARROWEST: usize = 8;

impl Table {
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub fn print(&self, out: &mut Out) -> Result<()> {
        for line in self.lines(screen_width(), colored()) {
            out.line(&line)?;
        }
        Ok(())
    }

    fn lines(&self, width: usize, colored: bool) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let titles: Vec<Cell> = self.columns.iter().map(|(title, _)| Cell::new(title, Tint::Title)).collect();
        let kept: Vec<usize> = (0..self.columns.len())
            .filter(|&at| self.rows.iter().any(|row| row.get(at).is_some_and(|cell| !cell.text.is_empty())))
            .collect();
        let titled = titles.iter().any(|title| !title.text.is_empty());
        let rows = std::iter::once(&titles).filter(|_| titled).chain(&self.rows);
        let widest = |at: usize| rows.clone().filter_map(|row| row.get(at)).map(|cell| text_width(&cell.text)).max();
        let natural: Vec<usize> = kept.iter().map(|&at| widest(at).unwrap_or(0)).collect();
        let aligns: Vec<Align> = kept.iter().map(|&at| self.columns[at].1).collect();
        let widths = fit(natural, &aligns, width);
        rows.map(|row| {
            let mut line = String::new();
            for (nth, (&at, &width)) in kept.iter().zip(&widths).enumerate() {
                let Some(cell) = row.get(at) else { continue };
                let text = cut(&cell.text, width);
                let pad = " ".repeat(width.saturating_sub(text_width(&text)));
                let text = if colored { cell.tint.painted(&text) } else { text };
                let last = nth + 1 == kept.len();
                match aligns[nth] {
                    Align::Right => line.extend([pad.as_str(), text.as_str()]),
                    _ if last => line.push_str(&text),
                    _ => line.extend([text.as_str(), pad.as_str()]),
                }
                if !last {
                    line.push_str(&" ".repeat(GAP));
                }
            }
            line.truncate(line.trim_end_matches(' ').len());
            line
        })
        .collect()
    }
}

/// Takes from the widest text column, a character at a time, until the row fits.
fn fit(mut widths: Vec<usize>, aligns: &[Align], screen: usize) -> Vec<usize> {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > screen {
        let texts = widths.iter_mut().zip(aligns).filter(|(_, align)| **align == Align::Text);
        match texts.map(|(width, _)| width).max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
    }
    widths
}

/// The columns of the terminal; 80 where it does not say.
pub fn screen_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| usize::from(size.ws_col));
    size.ok().filter(|&columns| columns > 0).unwrap_or(80)
}

/// The start of a text that fits into so many columns, with `…` where something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text_width(text) <= width {
        return text.to_string();
    }
    let mut used = 1;
    let mut short: String = text
        .chars()
        .take_while(|&c| {
            used += char_width(c);
            used <= width
        })
        .collect();
    short.push('…');
    short
}

fn text_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// How many columns a character takes, near enough for a table: marks that combine take none, East Asian wide characters
/// and emoji two (Unicode Standard Annex 11). Nothing that moves the cursor is left in a cell.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a | 0x64b..=0x65f | 0x1ab0..=0x1aff => 0,
        0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xe0100..=0xe01ef => 0,
        0x1100..=0x115f | 0x231a..=0x231b | 0x23e9..=0x23ec | 0x2614..=0x2615 | 0x26a1 | 0x2705 | 0x274c => 2,
        0x2e80..=0x303e | 0x3041..=0xa4cf | 0xa960..=0xa97c | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f004 | 0x1f0cf | 0x1f18e | 0x1f191..=0x1f19a | 0x1f200..=0x1f265 | 0x1f300..=0x1f64f => 2,
        0x1f680..=0x1f6ff | 0x1f7e0..=0x1f7eb | 0x1f900..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table = Table::new(&[("ID", Align::Left), ("SIZE", Align::Right), ("BODY", Align::Text)]);
        for row in rows {
            table.row(row.iter().map(Cell::from).collect());
        }
        table
    }

    #[test]
    fn columns_are_aligned_by_what_a_person_sees() {
        let lines = table(&[["1", "9", "a\tb"], ["22", "1000", "e\u{301}漢字😀"], ["3", "", ""]]).lines(80, false);
        assert_eq!(lines, ["ID  SIZE  BODY", "1      9  a\\tb", "22  1000  e\u{301}漢字😀", "3"]);
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let long = "漢字".repeat(200);
        for width in [24, 25, 80, 81, 200] {
            for line in table(&[["1764000000000000", "9", &long], ["2", "1", "short"]]).lines(width.max(32), false) {
                assert!(text_width(&line) <= width.max(32), "{line}");
            }
        }
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("漢字漢字", 4), "漢…");
    }

    #[test]
    fn what_is_empty_everywhere_takes_no_room() {
        assert_eq!(table(&[["1", "", "x"]]).lines(80, false), ["ID  BODY", "1   x"]);
    }

    #[test]
    fn nothing_hostile_is_left_in_a_row() {
        let lines = table(&[["\x1b[31m", "\u{202e}", "a\nb\r\x07"]]).lines(80, false);
        assert!(lines.iter().all(|line| line.chars().all(|c| !c.is_control() && c != '\u{202e}')), "{lines:?}");
    }
}
