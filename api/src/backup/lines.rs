//! How a row looks in a file: one JSON array a line, bytes as base64; and the sum over such lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use heyi_engine::store::copy::{Cell, Kind, Row, Table};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// How many rows, and the SHA-256 over their lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Rows.
    pub rows: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// A sum that grows.
#[derive(Default)]
pub struct Tally {
    rows: u64,
    hash: Sha256,
}

impl Tally {
    /// Takes one line.
    pub fn add(&mut self, line: &[u8]) {
        self.rows += 1;
        self.hash.update(line);
    }

    /// The sum.
    pub fn sum(self) -> Sum {
        Sum { rows: self.rows, sha256: hex(&self.hash.finalize()) }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A cell as JSON.
struct AsJson<'c>(&'c Cell);

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Null => serializer.serialize_unit(),
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Whole(number) => serializer.serialize_i64(*number),
            Cell::Truth(truth) => serializer.serialize_bool(*truth),
            Cell::Bytes(bytes) => serializer.serialize_str(&BASE64.encode(bytes)),
        }
    }
}

/// A row as a line, with its line feed.
pub fn encode(row: &[Cell]) -> Vec<u8> {
    let mut line = serde_json::to_vec(&row.iter().map(AsJson).collect::<Vec<_>>()).expect("texts and numbers are always JSON");
    line.push(b'\n');
    line
}

/// A line as a row of a table; what is wrong with it when it is none.
pub fn decode(line: &[u8], table: &Table) -> Result<Row, String> {
    let cells: Vec<Json> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if cells.len() != table.columns.len() {
        return Err(format!("{} values for {} columns", cells.len(), table.columns.len()));
    }
    let cell = |(column, cell): (&heyi_engine::store::copy::Column, Json)| {
        let other = || format!("column {} holds another kind of value", column.name);
        Ok(match (column.kind, cell) {
            (_, Json::Null) => Cell::Null,
            (Kind::Text, Json::String(text)) => Cell::Text(text),
            (Kind::Whole, Json::Number(number)) => Cell::Whole(number.as_i64().ok_or_else(other)?),
            (Kind::Truth, Json::Bool(truth)) => Cell::Truth(truth),
            (Kind::Bytes, Json::String(text)) => Cell::Bytes(BASE64.decode(text).map_err(|e| e.to_string())?),
            _ => return Err(other()),
        })
    };
    table.columns.iter().zip(cells).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyi_engine::store::copy::Column;

    fn table() -> Table {
        let kinds = [("t", Kind::Text), ("n", Kind::Whole), ("b", Kind::Truth), ("x", Kind::Bytes)];
        let columns = kinds.map(|(name, kind)| Column { name: name.to_owned(), kind }).to_vec();
        Table { name: "sample".to_owned(), columns, key: vec!["t".to_owned()] }
    }

    #[test]
    fn a_row_comes_back_from_its_line() {
        let full = vec![Cell::Text("a\n\"合意\u{1}".to_owned()), Cell::Whole(i64::MAX), Cell::Truth(true), Cell::Bytes(vec![0, 255, 10])];
        let bare = vec![Cell::Text(String::new()), Cell::Whole(i64::MIN), Cell::Null, Cell::Bytes(Vec::new())];
        for row in [full, bare] {
            let line = encode(&row);
            assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1, "one line");
            assert_eq!(decode(&line, &table()).unwrap(), row);
        }
    }

    #[test]
    fn a_line_that_does_not_fit_is_refused() {
        for line in
            ["", "[]", "{}", "[1,1,true,\"\"]", "[\"a\",1.5,true,\"\"]", "[\"a\",1,true,\"~\"]", "[\"a\",1,true,\"\",null]", "[\"a\",1,1,\"\"]"]
        {
            assert!(decode(line.as_bytes(), &table()).is_err(), "{line}");
        }
    }
}
