//! Reading the source of a hand-written manual page: its literal blocks and its tables.

use super::examples::{Example, Kind};
use crate::man::repository;

/// A page's source.
pub struct Page {
    name: String,
    text: String,
}

/// What a literal block has room for on a page of 80 columns.
const WIDTH: usize = 69;

/// The escapes of a literal block, and what they stand for. Without them what is copied from the page is not what was
/// written: troff makes dashes and quotation marks of some ASCII characters.
const ESCAPES: [(&str, char); 6] =
    [("\\-", '-'), ("\\(aq", '\''), ("\\(ga", '`'), ("\\(ti", '~'), ("\\(ha", '^'), ("\\e", '\\')];

impl Page {
    pub fn read(name: &str) -> Page {
        let path = repository("man").join(name);
        Page { name: name.to_string(), text: std::fs::read_to_string(path).unwrap() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every literal block, in order. The comment before one says what it is.
    pub fn examples(&self) -> Vec<Example> {
        let mut examples = Vec::new();
        let mut section = String::new();
        let mut kind = None;
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(title) = line.strip_prefix(".Sh ") {
                section = title.to_string();
            } else if let Some(script) = line.strip_prefix(".\\\" setup ") {
                let place = format!("man/{}:{}", self.name, number + 1);
                examples.push(Example { place, section: section.clone(), kind: Kind::Setup, text: script.to_string() });
            } else if let Some(said) = line.strip_prefix(".\\\" ") {
                kind = Kind::parse(said);
            } else if line.starts_with(".Bd -literal") {
                let mut text = String::new();
                for (number, line) in lines.by_ref().take_while(|(_, line)| *line != ".Ed") {
                    let line = self.plain(number + 1, if line == ".Pp" { "" } else { line });
                    assert!(
                        line.chars().count() <= WIDTH,
                        "man/{}:{}: wider than a page: {line}",
                        self.name,
                        number + 1
                    );
                    text.push_str(&line);
                    text.push('\n');
                }
                let kind = kind.take().unwrap_or(Kind::Unsaid);
                examples.push(Example {
                    place: format!("man/{}:{}", self.name, number + 1),
                    section: section.clone(),
                    kind,
                    text,
                });
            }
        }
        examples
    }

    fn plain(&self, number: usize, line: &str) -> String {
        let line = line.strip_prefix("\\&").unwrap_or(line);
        assert!(
            !line.starts_with(['.', '\'']) || line != line.trim_start(),
            "man/{}:{number}: a macro in a literal block",
            self.name
        );
        let mut plain = String::new();
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let escape = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape));
            match (c, escape) {
                (_, Some((escape, meant))) => {
                    plain.push(*meant);
                    rest = &rest[escape.len()..];
                }
                ('-' | '\'' | '`' | '~' | '^' | '\\', None) => {
                    panic!("man/{}:{number}: {c:?} in a literal block has to be escaped: {line}", self.name)
                }
                _ => {
                    plain.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        plain
    }

    /// The rows of the table whose first heading is this, without the headings.
    pub fn table(&self, first: &str) -> Vec<Vec<String>> {
        let mut tables = self.text.split("\n.TS\n").skip(1).map(|text| rows(text.split("\n.TE").next().unwrap()));
        let found = tables.find(|rows| rows[0][0] == first);
        let found = found.unwrap_or_else(|| panic!("man/{}: no table begins with {first:?}", self.name));
        found.into_iter().skip(1).collect()
    }
}

/// Cells are parted by tabs; `T{` and `T}` stand around one that is written on lines of its own.
fn rows(table: &str) -> Vec<Vec<String>> {
    let (_, data) = table.split_once(".\n").expect("a table has a format");
    let joined = data.replace("T{\n", "T{").replace("\nT}", "T}");
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut open = String::new();
    for line in joined.lines().filter(|line| *line != "_") {
        // A cell of several lines.
        open.push_str(line);
        if open.matches("T{").count() > open.matches("T}").count() {
            open.push(' ');
            continue;
        }
        let row = std::mem::take(&mut open);
        let cell = |text: &str| text.trim_start_matches("T{").trim_end_matches("T}").replace("\\-", "-");
        rows.push(row.split('\t').map(cell).collect());
    }
    rows
}

#[test]
fn tables_are_read_as_troff_reads_them() {
    let table = "lb lb\nl lx.\na\tb\n_\none\tT{\ntwo words\nT}\nT{\nthree\nand four\nT}\tfive\n";
    assert_eq!(rows(table), [["a", "b"], ["one", "two words"], ["three and four", "five"]]);
}
