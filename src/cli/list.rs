//! Messages one a row, for `mq ls` and `mq dlq ls`, which differ in their columns alone. Nothing is collected: a table is
//! aligned screen by screen.

use super::exit::Exit;
use super::failure::{exit_of, report};
use super::json::{self, Detail};
use super::look::{Look, Preview};
use super::output::{Out, field, on_terminal};
use super::queues::Spot;
use super::select::Act;
use super::table::{Align, Cell, Table, Tint};
use crate::queue::{Place, Queue};
use crate::time::Time;
use anyhow::Result;

/// `--json`, `--full`, `--ids`.
#[derive(Debug, clap::Args)]
pub struct Shape {
    /// One JSON object a line
    #[arg(long, conflicts_with = "ids")]
    json: bool,
    /// JSON with the body and the history
    #[arg(long, conflicts_with = "ids")]
    full: bool,
    /// Ids only
    #[arg(long)]
    ids: bool,
}

/// How messages are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json(Detail),
    Ids,
    Columns,
    Table,
}

impl Shape {
    pub fn form(&self) -> Form {
        match self {
            Shape { full: true, .. } => Form::Json(Detail::Full),
            Shape { json: true, .. } => Form::Json(Detail::Fields),
            Shape { ids: true, .. } => Form::Ids,
            _ if on_terminal() => Form::Table,
            _ => Form::Columns,
        }
    }

    /// `--full` and `--ids` speak of messages.
    pub fn of_messages(&self) -> bool {
        self.full || self.ids
    }

    pub fn json(&self) -> bool {
        self.json || self.full
    }
}

/// What a row is made of.
#[derive(Debug)]
pub struct Layout {
    /// Of the table.
    pub titles: &'static [(&'static str, Align)],
    pub cells: fn(&Look, &Queue, Time) -> Vec<Cell>,
    /// Piped: stable, and only ever added to.
    pub columns: fn(&Look, &Queue, Time) -> Result<Vec<String>>,
}

/// So many rows on a terminal, unless `-n` says otherwise.
const ROWS: u64 = 100;

/// A list being written.
#[derive(Debug)]
pub struct List<'q> {
    queue: &'q Queue,
    spot: &'q Spot,
    form: Form,
    layout: &'static Layout,
    /// How many were asked for.
    most: Option<u64>,
    table: Table,
    out: Out,
    now: Time,
    listed: u64,
    more: u64,
    exit: Exit,
}

impl<'q> List<'q> {
    pub fn new(queue: &'q Queue, spot: &'q Spot, form: Form, layout: &'static Layout, most: Option<u64>) -> List<'q> {
        let (table, out, now) = (Table::new(layout.titles), Out::new(), queue.disk().now());
        List { queue, spot, form, layout, most, table, out, now, listed: 0, more: 0, exit: Exit::Done }
    }

    /// Lists one more, or counts it when the screen is full. What the disk refuses is listed with the reason, and told.
    pub fn add(&mut self, place: &Place, look: Option<Look>) -> Result<Act> {
        if self.form == Form::Ids {
            self.out.line(&place.id().to_string())?;
            return Ok(Act::Taken);
        }
        if self.form == Form::Table && self.most.is_none() && self.listed == ROWS {
            self.more += 1;
            return Ok(Act::Taken);
        }
        let Some(look) = look.or_else(|| Look::at(self.queue, place)) else { return Ok(Act::Gone) };
        self.write(&look)?;
        self.listed += 1;
        if self.form == Form::Table && self.listed.is_multiple_of(ROWS) {
            self.print_table()?;
        }
        if let Some(error) = look.failed {
            let error = error.into();
            self.exit = self.exit.or(exit_of(&error));
            report(&error);
        }
        Ok(Act::Taken)
    }

    fn write(&mut self, look: &Look) -> Result<()> {
        match self.form {
            Form::Json(detail) => self.out.line(&json::text(&look.json(self.queue, self.spot, detail)?)?),
            Form::Columns => {
                let columns = (self.layout.columns)(look, self.queue, self.now)?;
                self.out.line(&columns.join("\t"))
            }
            Form::Table | Form::Ids => {
                self.table.row((self.layout.cells)(look, self.queue, self.now));
                Ok(())
            }
        }
    }

    fn print_table(&mut self) -> Result<()> {
        std::mem::replace(&mut self.table, Table::new(self.layout.titles)).print(&mut self.out)
    }

    /// The rest, and on a terminal how many more there are. What the disk refused decides the exit.
    pub fn end(mut self) -> Result<Exit> {
        self.print_table()?;
        if self.more > 0 {
            let more = format!("… and {} more; -n N or a pipe shows them", self.more);
            self.out.line(&Tint::Faint.paint(&more))?;
        }
        self.out.flush()?;
        Ok(self.exit)
    }
}

/// `-` for what is not there or empty, so that no column is ever nothing between two tabs, which `read` would skip.
pub fn or_none(value: Option<String>) -> String {
    value.filter(|value| !value.is_empty()).map_or_else(|| "-".into(), |value| field(&value))
}

pub fn preview_column(look: &Look) -> String {
    match look.preview() {
        Preview::Text(text) => or_none(Some(text)),
        Preview::Binary | Preview::Nothing => "-".into(),
    }
}

pub fn tries(look: &Look, queue: &Queue) -> Cell {
    let (attempts, most) = (look.place.name.attempts.count(), queue.settings().max_attempts());
    Cell::new(format!("{attempts}/{most}"), if attempts == 0 { Tint::Faint } else { Tint::Plain })
}

pub fn body(look: &Look) -> Cell {
    match look.preview() {
        Preview::Text(text) => text.into(),
        Preview::Binary => Cell::new("(binary)", Tint::Faint),
        Preview::Nothing => Cell::default(),
    }
}
