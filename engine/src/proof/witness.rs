//! The log and its checkpoints: each leaf against the event that it names, each root computed anew, each signature.

use super::verify::Ask;
use super::{Fault, Finding, Report, log, rows};
use crate::merkle::{Frontier, hex};
use crate::store::StoreError;
use crate::store::rows::checkpoint;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, Statement};
use std::collections::BTreeMap;
use std::io::BufRead;

/// Rows that are read at once.
const PAGE: u64 = 500;
/// The longest line of a file of checkpoints, in bytes.
const MAX_LINE_BYTES: u64 = 4_096;

/// A root that was signed, at a size.
struct Claim {
    size: u64,
    root: String,
    table: &'static str,
}

/// Lines of the file that hold what the database should hold too, by size.
type Lines = BTreeMap<u64, String>;

/// Reads the file of checkpoints. It is read before the database, so that the database knows every one of them.
pub(super) fn lines(ask: &mut Ask<'_>, report: &mut Report) -> Result<Lines, StoreError> {
    let mut out = Lines::new();
    let Some(mut file) = ask.lines.take() else { return Ok(out) };
    let mut count = 0;
    loop {
        let mut bytes = Vec::new();
        let read = std::io::Read::take(&mut file, MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
        if read.map_err(|error| StoreError::File { what: "the file of checkpoints".to_owned(), error })? == 0 {
            break;
        }
        let whole = bytes.pop_if(|last| *last == b'\n').is_some();
        if bytes.is_empty() {
            continue;
        }
        count += 1;
        let at = format!("line {count}");
        let line = String::from_utf8(bytes).unwrap_or_default();
        match log::Checkpoint::read(&line) {
            // A line that was being written when the power went.
            None if !whole => count -= 1,
            None => report.found(Fault::Checkpoint, "checkpoints.jsonl", at),
            Some(read) if !is_signed(ask, &read) => report.found(Fault::Signature, "checkpoints.jsonl", at),
            Some(read) => {
                report.last_checkpoint = Some(read.at);
                if out.insert(read.size, line.clone()).is_some_and(|other| other != line) {
                    report.found(Fault::Checkpoint, "checkpoints.jsonl", at);
                }
            }
        }
    }
    report.lines = Some(count);
    Ok(out)
}

fn is_signed(ask: &Ask<'_>, checkpoint: &log::Checkpoint) -> bool {
    checkpoint.signed().is_some_and(|signature| (ask.accepts)(&checkpoint.key, &checkpoint.message(), &signature))
}

/// Looks at the log.
pub(super) async fn look<C: ConnectionTrait>(db: &C, ask: &Ask<'_>, lines: Lines, report: &mut Report) -> Result<(), StoreError> {
    let (mut claims, covered) = stored(db, ask, &lines, report).await?;
    claims.extend(
        lines.iter().filter_map(|(size, line)| Some(Claim { size: *size, root: log::Checkpoint::read(line)?.root, table: "checkpoints.jsonl" })),
    );
    claims.sort_by_key(|claim| claim.size);
    let mut claims = claims.into_iter().peekable();
    let mut tree = Frontier::default();
    let mut judged: Vec<&str> = Vec::new();
    let mut good = 0;
    let mut after = -1i64;
    loop {
        let page = leaves(db, after).await?;
        let Some(last) = page.last().and_then(|row| rows::number(row, "number")) else { break };
        for row in &page {
            leaf(row, &mut tree, report);
            while let Some(claim) = claims.next_if(|claim| claim.size <= tree.size()) {
                if claim.root == hex(&tree.root()) {
                    good = claim.size;
                } else if !judged.contains(&claim.table) {
                    // All that come later differ as well.
                    judged.push(claim.table);
                    report.found(Fault::Root, claim.table, format!("{}, leaves {} to {}", claim.size, good, claim.size - 1));
                }
            }
        }
        after = last;
    }
    report.logged = tree.size();
    // Leaves are written with their checkpoint, or not at all.
    if tree.size() > covered {
        report.found(Fault::Log, "log_leaf", covered.to_string());
    }
    for claim in claims {
        if !judged.contains(&claim.table) {
            judged.push(claim.table);
            report.found(Fault::LogShort, claim.table, format!("{}, leaves {}", claim.size, tree.size()));
        }
    }
    Ok(())
}

/// The checkpoints in the database: signed, following from each other, and those of the file among them.
///
/// # Returns
/// What they claim, and how many leaves the last one covers.
async fn stored<C: ConnectionTrait>(db: &C, ask: &Ask<'_>, lines: &Lines, report: &mut Report) -> Result<(Vec<Claim>, u64), StoreError> {
    let mut out = Vec::new();
    let mut unseen: Vec<u64> = Vec::new();
    let mut expected = lines.iter().peekable();
    let mut previous = hex(&Frontier::default().root());
    let mut after = i64::MIN;
    loop {
        let query = checkpoint::Entity::find().filter(checkpoint::Column::Size.gt(after)).order_by_asc(checkpoint::Column::Size).limit(PAGE);
        let page = rows::all(db, query).await?;
        let Some(last) = page.last().and_then(|row| row.as_ref().map_or_else(|row| rows::number(row, "size"), |row| Some(row.size))) else { break };
        for row in page {
            let row = match row {
                Ok(row) => row,
                Err(row) => {
                    report.found(Fault::Unreadable, "checkpoint", rows::number(&row, "size").map(|size| size.to_string()));
                    continue;
                }
            };
            report.checkpoints += 1;
            let at = row.size.to_string();
            let tree = u64::try_from(row.size).ok().and_then(|size| Frontier::of(size, &row.peaks));
            let (Some(read), Some(tree)) = (log::Checkpoint::read(&row.line), tree) else {
                report.found(Fault::Checkpoint, "checkpoint", at);
                continue;
            };
            while let Some((size, _)) = expected.next_if(|(size, _)| **size < read.size) {
                unseen.push(*size);
            }
            if expected.next_if(|(size, _)| **size == read.size).is_some_and(|(_, line)| *line != row.line) {
                report.found(Fault::Checkpoint, "checkpoint", at.clone());
            }
            if read.size != tree.size() || read.root != hex(&tree.root()) || read.previous != previous {
                report.found(Fault::Checkpoint, "checkpoint", at.clone());
            }
            previous.clone_from(&read.root);
            if is_signed(ask, &read) {
                report.last_checkpoint = Some(read.at);
                out.push(Claim { size: read.size, root: read.root, table: "checkpoint" });
            } else {
                report.found(Fault::Signature, "checkpoint", at);
            }
        }
        after = last;
    }
    unseen.extend(expected.map(|(size, _)| *size));
    for size in unseen {
        report.found(Fault::Missing, "checkpoint", size.to_string());
    }
    Ok((out, u64::try_from(after).unwrap_or(0)))
}

/// Leaves with the hash of the event that each names.
async fn leaves<C: ConnectionTrait>(db: &C, after: i64) -> Result<Vec<QueryResult>, StoreError> {
    let sql = format!(
        "SELECT l.number AS number, l.case_id AS case_id, l.version AS version, l.head AS head, e.hash AS hash \
         FROM log_leaf l LEFT JOIN event e ON e.case_id = l.case_id AND e.seq = l.version \
         WHERE l.number > {after} ORDER BY l.number LIMIT {PAGE}"
    );
    Ok(db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?)
}

fn leaf(row: &QueryResult, tree: &mut Frontier, report: &mut Report) {
    let place = i64::try_from(tree.size()).unwrap_or(i64::MAX);
    let number = rows::number(row, "number");
    if number != Some(place) {
        report.found(Fault::Log, "log_leaf", number.map(|n| n.to_string()));
    }
    let (Some(case), Some(version), Some(head)) = (rows::text(row, "case_id"), rows::number(row, "version"), rows::text(row, "head")) else {
        report.found(Fault::Unreadable, "log_leaf", number.map(|n| n.to_string()));
        tree.append([0; 32]);
        return;
    };
    tree.append(log::leaf(&case, version, &head));
    let fault = match row.try_get::<Option<String>>("", "hash") {
        Ok(None) => Fault::Cut,
        Ok(Some(hash)) if hash == head => return,
        _ => Fault::Rewritten,
    };
    report.add(Finding { fault, case: Some(case), event: Some(version), table: "event", at: None });
}
