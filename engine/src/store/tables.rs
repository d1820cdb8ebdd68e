//! The parts of a batch, in the order in which they are written: one list, from which each database has its statements.
//!
//! On SQLite a part is one prepared statement, which takes the rows one by one. On PostgreSQL all parts that have rows are one
//! statement of data-modifying parts; its text depends only on which parts have one row and which have several, so that the few
//! texts that commands give stay prepared.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(bool),
    Bytes(Vec<u8>),
}

impl Cell {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Bytes(bytes) => bytes.len(),
            Self::Int(_) | Self::Bool(_) => 8,
        }
    }
}

macro_rules! cell_from {
    ($($from:ty => $to:expr),* $(,)?) => {
        $(impl From<$from> for Cell {
            fn from(value: $from) -> Self {
                let to: fn($from) -> Self = $to;
                to(value)
            }
        })*
    };
}

cell_from! {
    String => |text| Self::Text(Some(text)),
    &String => |text| Self::Text(Some(text.clone())),
    &str => |text| Self::Text(Some(text.to_owned())),
    Option<String> => Self::Text,
    i64 => |n| Self::Int(Some(n)),
    Option<i64> => Self::Int,
    bool => Self::Bool,
    Vec<u8> => Self::Bytes,
}

/// Rows of one part, cell after cell.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    cells: Vec<Cell>,
    size: usize,
}

impl Rows {
    pub fn push<const N: usize>(&mut self, row: [Cell; N]) {
        self.size += row.iter().map(Cell::size).sum::<usize>();
        self.cells.extend(row);
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Bytes that are held, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Row by row, each so many cells wide.
    pub fn rows(&self, width: usize) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks(width)
    }

    pub fn into_cells(self) -> Vec<Cell> {
        self.cells
    }

    fn count(&self, width: usize) -> usize {
        self.cells.len() / width
    }
}

impl<const N: usize> FromIterator<[Cell; N]> for Rows {
    fn from_iter<I: IntoIterator<Item = [Cell; N]>>(rows: I) -> Self {
        let mut out = Self::default();
        rows.into_iter().for_each(|row| out.push(row));
        out
    }
}

/// A column of a part.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Text(&'static str),
    Int(&'static str),
    Bool(&'static str),
    Bytes(&'static str),
}

use Column::{Bool, Bytes, Int, Text};

impl Column {
    pub fn name(self) -> &'static str {
        match self {
            Text(name) | Int(name) | Bool(name) | Bytes(name) => name,
        }
    }

    /// PostgreSQL's type.
    fn of_postgres(self) -> &'static str {
        match self {
            Text(_) => "text",
            Int(_) => "bigint",
            Bool(_) => "boolean",
            Bytes(_) => "bytea",
        }
    }
}

/// What a part does with its rows. The key's columns come first.
#[derive(Clone, Copy)]
enum Does {
    /// Puts them in; one that is there is a fault of the caller, or an answer given before.
    Insert,
    /// Puts them in; one that is there stays.
    Keep(usize),
    /// Puts them in, or writes them anew.
    Replace(usize),
    /// Takes out those with these keys.
    Delete,
    /// Puts letters in; a letter that is needed only if another has left (the last column), not while that one still waits.
    PutLetters,
    /// Calls letters back, as far as they wait.
    CallBack,
}

/// What is done to one table.
pub(super) struct Part {
    table: &'static str,
    does: Does,
    pub columns: &'static [Column],
}

const fn part(table: &'static str, does: Does, columns: &'static [Column]) -> Part {
    Part { table, does, columns }
}

/// How many parts there are.
pub(super) const PARTS_COUNT: usize = 17;
/// The part that writes the row of a case.
pub(super) const CASE: usize = 4;

/// In the order of [`super::batch::Batch::parts`]. Letters come before letters are called back: one that is needed only
/// if another has left looks at that one first.
pub(super) static PARTS: [Part; PARTS_COUNT] = [
    part(
        "letter",
        Does::PutLetters,
        &[
            Text("case_id"),
            Text("id"),
            Text("kind"),
            Text("state"),
            Int("attempts"),
            Int("next_at"),
            Int("created_at"),
            Bytes("sealed"),
            Text("needed_if_left"),
        ],
    ),
    part("letter", Does::CallBack, &[Text("case_id"), Text("id")]),
    part("deadline", Does::Delete, &[Text("case_id"), Int("proceeding"), Text("name"), Int("started_by"), Int("nth")]),
    part("work", Does::Delete, &[Text("case_id"), Text("key")]),
    part(
        "case_row",
        Does::Replace(1),
        &[
            Text("id"),
            Text("workflow"),
            Text("definition"),
            Text("policy"),
            Text("calendar"),
            Int("version"),
            Text("head"),
            Text("state"),
            Text("stage"),
            Bool("is_open"),
            Text("assignee"),
            Int("opened_at"),
            Int("updated_at"),
            Int("due_at"),
            Int("acts_at"),
        ],
    ),
    part("case_key", Does::Insert, &[Text("case_id"), Bytes("wrapped")]),
    part("event", Does::Insert, &[Text("case_id"), Int("seq"), Text("body"), Text("hash")]),
    part("case_value", Does::Insert, &[Text("case_id"), Int("seq"), Int("number"), Bytes("salt"), Bytes("sealed")]),
    part(
        "deadline",
        Does::Replace(5),
        &[
            Text("case_id"),
            Int("proceeding"),
            Text("name"),
            Int("started_by"),
            Int("nth"),
            Text("status"),
            Text("last_day"),
            Int("acts_at"),
            Text("body"),
        ],
    ),
    part("work", Does::Replace(2), &[Text("case_id"), Text("key"), Int("proceeding"), Text("for_role"), Text("account"), Text("due"), Text("title")]),
    part("errand", Does::Insert, &[Text("case_id"), Text("id"), Text("state"), Int("attempts"), Int("next_at"), Bytes("sealed")]),
    part("document", Does::Insert, &[Text("case_id"), Text("form"), Int("seq"), Int("proceeding"), Bytes("sealed")]),
    part("case_access", Does::Keep(2), &[Text("case_id"), Text("account")]),
    part("word", Does::Keep(2), &[Text("case_id"), Text("hash")]),
    part("answer", Does::Insert, &[Text("case_id"), Text("account"), Text("key"), Text("body_hash"), Int("first_seq"), Int("last_seq")]),
    part("opening", Does::Insert, &[Text("account"), Text("key"), Text("case_id")]),
    part(
        "file",
        Does::Insert,
        &[Text("case_id"), Text("id"), Text("sha256"), Text("media_type"), Int("size"), Bytes("sealed_name"), Bytes("sealed")],
    ),
];

impl Part {
    fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|c| c.name()).collect()
    }

    /// What follows an insertion.
    fn on_conflict(&self) -> String {
        let names = self.names();
        match self.does {
            Does::Keep(key) => format!(" ON CONFLICT ({}) DO NOTHING", names[..key].join(", ")),
            Does::Replace(key) => {
                let set: Vec<String> = names[key..].iter().map(|n| format!("{n} = excluded.{n}")).collect();
                format!(" ON CONFLICT ({}) DO UPDATE SET {}", names[..key].join(", "), set.join(", "))
            }
            _ => String::new(),
        }
    }

    /// The statement on SQLite, for one row.
    fn sqlite(&self) -> String {
        let names = self.names();
        let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let same: Vec<String> = names.iter().zip(&places).map(|(name, place)| format!("{name} = {place}")).collect();
        match self.does {
            Does::Insert | Does::Keep(_) | Does::Replace(_) => {
                format!("INSERT INTO {} ({}) VALUES ({}){}", self.table, names.join(", "), places.join(", "), self.on_conflict())
            }
            Does::Delete => format!("DELETE FROM {} WHERE {}", self.table, same.join(" AND ")),
            // `+` keeps SQLite from looking through all that wait.
            Does::PutLetters => {
                let own = names.len() - 1;
                format!(
                    "INSERT INTO letter ({}) SELECT {} WHERE NOT EXISTS \
                     (SELECT 1 FROM letter old WHERE old.case_id = ?1 AND old.id = {} AND +old.state = 'waiting')",
                    names[..own].join(", "),
                    places[..own].join(", "),
                    places[own]
                )
            }
            Does::CallBack => format!("UPDATE letter SET state = 'cancelled' WHERE {} AND +state = 'waiting'", same.join(" AND ")),
        }
    }

    /// A part of the statement on PostgreSQL, with its rows as parameters from `first` on. `$1` is the case, `$2` its version, if it has one.
    fn postgres(&self, first: usize, several: bool, opens: bool) -> String {
        let names = self.names();
        let typed = |i: usize| format!("${}::{}{}", first + i, self.columns[i].of_postgres(), if several { "[]" } else { "" });
        let rows = if several {
            let arrays: Vec<String> = (0..names.len()).map(typed).collect();
            format!("unnest({}) AS x({})", arrays.join(", "), names.join(", "))
        } else {
            let values: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{} AS {name}", typed(i))).collect();
            format!("(SELECT {}) AS x", values.join(", "))
        };
        let own: Vec<String> = names.iter().map(|name| format!("x.{name}")).collect();
        // Every look at a table leads with the one case of the batch.
        let same: Vec<String> = names[1..].iter().map(|name| format!("d.{name} = x.{name}")).collect();
        match self.does {
            Does::Replace(_) if self.table == "case_row" && !opens => {
                let set: Vec<String> = names[1..].iter().map(|name| format!("{name} = x.{name}")).collect();
                format!("UPDATE case_row d SET {} FROM {rows} WHERE d.id = $1 AND d.version = $2 RETURNING 1", set.join(", "))
            }
            Does::Insert | Does::Keep(_) | Does::Replace(_) => {
                format!("INSERT INTO {} ({}) SELECT {} FROM {rows}{}", self.table, names.join(", "), own.join(", "), self.on_conflict())
            }
            Does::Delete => format!("DELETE FROM {} d USING {rows} WHERE d.case_id = $1 AND {}", self.table, same.join(" AND ")),
            Does::PutLetters => {
                let last = names.len() - 1;
                format!(
                    "INSERT INTO letter ({}) SELECT {} FROM {rows} WHERE NOT EXISTS \
                     (SELECT 1 FROM letter old WHERE old.case_id = $1 AND old.id = x.{} AND old.state = 'waiting')",
                    names[..last].join(", "),
                    own[..last].join(", "),
                    names[last]
                )
            }
            Does::CallBack => {
                format!("UPDATE letter d SET state = 'cancelled' FROM {rows} WHERE d.case_id = $1 AND {} AND d.state = 'waiting'", same.join(" AND "))
            }
        }
    }
}

/// The statement of each part on SQLite.
pub(super) static SQLITE: LazyLock<Vec<String>> = LazyLock::new(|| PARTS.iter().map(Part::sqlite).collect());

/// How many rows a part has, as far as the text of the statement depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Count {
    None,
    One,
    Several,
}

/// The shape of a batch: with the number of rows of each part, and whether it opens its case.
pub(super) type Shape = ([Count; PARTS_COUNT], bool);

pub(super) fn shape(parts: &[Rows; PARTS_COUNT], opens: bool) -> Shape {
    let mut counts = [Count::None; PARTS_COUNT];
    for ((count, rows), part) in counts.iter_mut().zip(parts).zip(&PARTS) {
        *count = match rows.count(part.columns.len()) {
            0 => Count::None,
            1 => Count::One,
            _ => Count::Several,
        };
    }
    (counts, opens)
}

/// The statement on PostgreSQL for a batch of this shape: `$1` the case, `$2` its version before, `$3` the state of the
/// accounts, then the parameters of each part that has rows.
///
/// `INSERT INTO guard` fails by the table's own check, so that a batch which rests on something that has changed since
/// writes nothing. The row of the case waits for whoever else writes it, and sees the version that they leave.
pub(super) fn postgres(shape: Shape) -> Arc<str> {
    static TEXTS: LazyLock<Mutex<HashMap<Shape, Arc<str>>>> = LazyLock::new(Mutex::default);
    let Ok(mut texts) = TEXTS.lock() else { return make_postgres(shape).into() };
    texts.entry(shape).or_insert_with(|| make_postgres(shape).into()).clone()
}

fn make_postgres((counts, opens): Shape) -> String {
    let mut sql = String::from(
        "WITH others AS (INSERT INTO guard SELECT 'accounts' WHERE coalesce((SELECT value FROM meta WHERE key = 'accounts'), '0') <> $3::text)",
    );
    let mut first = 4;
    for (place, (part, count)) in PARTS.iter().zip(counts).enumerate() {
        if count != Count::None {
            let _ = write!(sql, ",\np{place} AS ({})", part.postgres(first, count == Count::Several, opens));
            first += part.columns.len();
        }
    }
    if !opens {
        let _ = write!(sql, ",\nstale AS (INSERT INTO guard SELECT 'case' WHERE NOT EXISTS (SELECT 1 FROM p{CASE}))");
    }
    // Each parameter is named, so that every text takes the same ones.
    sql.push_str("\nSELECT $1::text, $2::bigint");
    sql
}
