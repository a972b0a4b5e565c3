//! What a person or a pipe reads: data on stdout, escaped as its reader needs it, and a closed pipe that ends a command in
//! silence.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

static COLOR: OnceLock<Color> = OnceLock::new();

/// Remembers `--color` for the whole run.
pub fn set_color(color: Color) {
    let _ = COLOR.set(color);
}

/// Whether stdout gets colour: asked for, or a terminal that does not refuse it (no-color.org).
pub fn colored() -> bool {
    match COLOR.get().copied().unwrap_or_default() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            on_terminal() && !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Whether stdout is a terminal: tables for a person, not columns for a pipe.
pub fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How much of a text may reach the screen as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// One line: line ends are escaped too.
    Line,
    /// Several lines, as in the preview of a body.
    Lines,
}

/// Whether a terminal would obey this character, and not print it: control characters (ANSI, OSC), and the marks that
/// reorder text (Unicode Technical Report 36, section 2.5; "Trojan Source", CVE-2021-42574) or are not seen at all.
pub fn obeyed(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    let more = matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || unseen || more
}

/// Text with everything that a terminal would obey made visible.
pub fn shown(text: &str, screen: Screen) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if screen == Screen::Lines => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if c.is_control() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if obeyed(c) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// A field of a piped line: `\t`, `\n` and `\\` are escaped, so that a line is a row and a tab ends a column.
pub fn field(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\\' => escaped.push_str("\\\\"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Stdout, buffered. A pipe that its reader has closed is [`Closed`], any other error a failure.
#[derive(Debug)]
pub struct Out(io::BufWriter<io::StdoutLock<'static>>);

/// The reader of our stdout has gone: a reading command ends with 0, in silence.
#[derive(Debug)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stdout was closed")
    }
}

impl std::error::Error for Closed {}

impl Out {
    pub fn new() -> Out {
        Out(io::BufWriter::with_capacity(8 << 10, io::stdout().lock()))
    }

    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        told(self.0.write_all(text.as_bytes()).and_then(|()| self.0.write_all(b"\n")))
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        told(self.0.write_all(bytes))
    }

    /// Everything so far is with the reader, or this says that it is not.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        told(self.0.flush())
    }
}

impl Default for Out {
    fn default() -> Out {
        Out::new()
    }
}

fn told(result: io::Result<()>) -> anyhow::Result<()> {
    use anyhow::Context;
    if crate::fs::stdout_was_closed() {
        return Err(io::Error::from(rustix::io::Errno::BADF)).context("cannot write to stdout");
    }
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("cannot write to stdout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_comes_through() {
        let hostile = "a\x1b[31m\x1b]52;c;aGk=\x07\u{9b}1m\u{202e}b\nc\td\r\u{200b}\0\x7f";
        for screen in [Screen::Line, Screen::Lines] {
            let safe = shown(hostile, screen);
            let allowed = |c: char| !c.is_control() || (screen == Screen::Lines && (c == '\n' || c == '\t'));
            assert!(safe.chars().all(allowed), "{safe:?}");
            assert!(!safe.contains('\u{202e}') && !safe.contains('\u{200b}'), "{safe:?}");
        }
        assert_eq!(shown("ü \\ 😀", Screen::Line), "ü \\ 😀");
    }

    #[test]
    fn a_field_never_breaks_its_row() {
        assert_eq!(field("a\tb\nc\\d"), "a\\tb\\nc\\\\d");
    }
}
