//! Chance: a bit of a random byte in a random column, again and again.

use super::copy::{Copy, hex, listed};
use heyi_tests::process::Dice;
use sea_orm::ConnectionTrait as _;

/// How many flips.
const FLIPS: usize = 200;
/// Where they fall.
const TABLES: [&str; 4] = ["event", "case_value", "file", "case_row"];

/// A flip that was made.
struct Flip {
    case: String,
    place: String,
    back: String,
}

impl Flip {
    /// Flips a bit in a row of this case; none where the place holds nothing, or the database would not take it.
    fn make(copy: &Copy, case: &str, dice: &mut Dice) -> Option<Self> {
        let mut pick = |n: usize| usize::try_from(dice.below(n as u64)).expect("small");
        let table = TABLES[pick(TABLES.len())];
        let columns = copy.rows(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let column: String = columns[pick(columns.len())].try_get_by_index(0).expect("a name");
        let of_case = if table == "case_row" { "id" } else { "case_id" };
        let rows = copy.rows(&format!("SELECT rowid FROM {table} WHERE {of_case} = '{case}' ORDER BY rowid"));
        if rows.is_empty() {
            return None;
        }
        let row: i64 = rows[pick(rows.len())].try_get_by_index(0).expect("a number");
        let (old, new) = match copy.text(&format!("SELECT typeof({column}) FROM {table} WHERE rowid = {row}")).as_str() {
            "null" => return None,
            "integer" => {
                let old = copy.number(&format!("SELECT {column} FROM {table} WHERE rowid = {row}"));
                // What is not 0 is true, so of a truth only the last bit says something.
                let bit = if column == "is_open" { 0 } else { pick(63) };
                (old.to_string(), (old ^ (1 << bit)).to_string())
            }
            kind => {
                let old = copy.bytes(&format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE rowid = {row}"));
                let mut new = old.clone();
                *new.get_mut(pick(old.len().max(1)))? ^= 1 << pick(8);
                let literal = |bytes: &[u8]| if kind == "text" { format!("CAST(x'{}' AS TEXT)", hex(bytes)) } else { format!("x'{}'", hex(bytes)) };
                (literal(&old), literal(&new))
            }
        };
        let write = |literal: &str| format!("UPDATE {table} SET {column} = {literal} WHERE rowid = {row}");
        copy.rt.block_on(copy.db.execute_unprepared(&write(&new))).ok()?;
        Some(Self { case: case.to_owned(), place: format!("{table}.{column} of row {row}"), back: write(&old) })
    }
}

/// One flip in each case at a time: every one of these cases must be named. No column is left out.
#[test]
fn random_flips_are_found() {
    let copy = Copy::new("flips");
    let cases = copy.cases();
    let mut dice = Dice::new("random_flips_are_found");
    let mut tried = 0;
    let mut missed = Vec::new();
    while tried < FLIPS {
        let flips: Vec<Flip> = cases.iter().filter_map(|case| Flip::make(&copy, case, &mut dice)).collect();
        tried += flips.len();
        let report = copy.all();
        for flip in &flips {
            if !report.findings.iter().any(|f| f.case.as_ref() == Some(&flip.case)) {
                missed.push(format!("{}: {}", flip.place, listed(&report.findings)));
            }
        }
        flips.iter().for_each(|flip| assert_eq!(copy.run(&flip.back), 1, "the old value is put back"));
    }
    assert!(missed.is_empty(), "{} of {tried}:\n{}", missed.len(), missed.join("\n"));
    assert!(copy.all().whole, "everything was put back");
}
