//! Whether the chain of every case holds, walked over a whole database in one moment.
//!
//! Both tables come in the order of the case's id, so a walk holds one case at a time, however many there are. No key
//! is needed: a chain is over events as they are stored. Not here: signatures, and playing a log again.

use super::cases::chain;
use super::copy::{Cell, CopyError, Pages, Row, Snapshot, Table};
use crate::case::sha256;
use serde_json::Value as Json;

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chains {
    /// Cases walked.
    pub cases: u64,
    /// Events walked.
    pub events: u64,
    /// The first place where a chain does not hold.
    pub broken: Option<Broken>,
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The case.
    pub case: String,
    /// The event.
    pub event: i64,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "case {}, event {}: {}", self.case, self.event, self.problem)
    }
}

/// The rows of a table, one by one.
struct Rows<'s> {
    pages: Pages<'s>,
    page: std::vec::IntoIter<Row>,
    columns: Vec<usize>,
}

impl<'s> Rows<'s> {
    async fn of(snapshot: &'s Snapshot, table: &str, columns: &[&str]) -> Result<Self, CopyError> {
        let missing = || CopyError::Table { table: table.to_owned(), problem: "it is missing".to_owned() };
        let table: Table = snapshot.tables().await?.into_iter().find(|t| t.name == table).ok_or_else(missing)?;
        let columns = columns.iter().map(|c| table.position(c)).collect::<Result<_, _>>()?;
        Ok(Self { pages: snapshot.pages(&table).await?, page: Vec::new().into_iter(), columns })
    }

    /// The wanted cells of the next row.
    async fn next(&mut self) -> Result<Option<Vec<Cell>>, CopyError> {
        loop {
            if let Some(mut row) = self.page.next() {
                return Ok(Some(self.columns.iter().map(|i| std::mem::replace(&mut row[*i], Cell::Null)).collect()));
            }
            let page = self.pages.next().await?;
            if page.is_empty() {
                return Ok(None);
            }
            self.page = page.into_iter();
        }
    }
}

fn text(cell: &Cell) -> &str {
    if let Cell::Text(text) = cell { text } else { "" }
}

fn number(cell: &Cell) -> i64 {
    if let Cell::Whole(number) = cell { *number } else { -1 }
}

/// Walks the chain of every case: each event follows the one before, and the last is the head that the case's row names.
///
/// # Arguments
/// `walked` is told how many more events were walked.
///
/// # Errors
/// When the database fails. A chain that does not hold is an answer, not an error.
pub async fn chains_whole(snapshot: &Snapshot, walked: &dyn Fn(u64)) -> Result<Chains, CopyError> {
    let mut cases = Rows::of(snapshot, "case_row", &["id", "version", "head"]).await?;
    let mut events = Rows::of(snapshot, "event", &["case_id", "seq", "body", "hash"]).await?;
    let mut found = Chains { cases: 0, events: 0, broken: None };
    let broken = |case: &str, event: i64, problem| Some(Broken { case: case.to_owned(), event, problem });
    let mut event = events.next().await?;
    while let Some(case) = cases.next().await? {
        let id = text(&case[0]);
        let (mut last, mut head) = (0, sha256(id.as_bytes()));
        while let Some(e) = event.as_ref().filter(|e| text(&e[0]) <= id) {
            let seq = number(&e[1]);
            if text(&e[0]) < id {
                found.broken = broken(text(&e[0]), seq, "an event of no case");
            } else if seq != last + 1 {
                found.broken = broken(id, last + 1, "the event is missing");
            } else {
                let body: Option<Json> = serde_json::from_str(text(&e[2])).ok();
                head = body.and_then(|body| chain(&head, &body)).unwrap_or_default();
                if head != text(&e[3]) {
                    found.broken = broken(id, seq, "it is not what its hash says");
                }
            }
            if found.broken.is_some() {
                return Ok(found);
            }
            last = seq;
            found.events += 1;
            walked(1);
            event = events.next().await?;
        }
        if number(&case[1]) != last || text(&case[2]) != head {
            found.broken = broken(id, last, "the case's row names another last event");
            return Ok(found);
        }
        found.cases += 1;
    }
    if let Some(e) = event {
        found.broken = broken(text(&e[0]), number(&e[1]), "an event of no case");
    }
    Ok(found)
}
