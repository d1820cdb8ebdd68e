//! The two statements that write a batch: one text for each database, made once from one list of tables.
//!
//! Each table takes its rows as one JSON array of arrays, so that the text never changes with their number and stays
//! prepared. On SQLite they are a transaction sent at once; on PostgreSQL one statement of data-modifying parts.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// How a column stands in its JSON row.
#[derive(Clone, Copy)]
enum Column {
    Text(&'static str),
    Int(&'static str),
    Bool(&'static str),
    /// Bytes, in hexadecimal.
    Bytes(&'static str),
}

use Column::{Bool, Bytes, Int, Text};

impl Column {
    fn name(self) -> &'static str {
        match self {
            Text(name) | Int(name) | Bool(name) | Bytes(name) => name,
        }
    }

    fn value(self, place: usize, dialect: Dialect) -> String {
        let raw = dialect.field(place);
        match (dialect, self) {
            (_, Text(_)) | (Dialect::Sqlite, Int(_) | Bool(_)) => raw,
            (Dialect::Sqlite, Bytes(_)) => format!("unhex({raw})"),
            (Dialect::Postgres, Int(_)) => format!("({raw})::bigint"),
            (Dialect::Postgres, Bool(_)) => format!("({raw})::boolean"),
            (Dialect::Postgres, Bytes(_)) => format!("decode({raw}, 'hex')"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    fn field(self, place: usize) -> String {
        match self {
            Self::Sqlite => format!("x.value->>{place}"),
            Self::Postgres => format!("x->>{place}"),
        }
    }

    /// The rows of a parameter, as `x`. SQLite's parameters have no numbers: the driver hands them out in the order of the statements.
    fn rows(self, parameter: usize) -> String {
        match self {
            Self::Sqlite => "json_each(?) AS x".to_owned(),
            Self::Postgres => format!("jsonb_array_elements(${parameter}::text::jsonb) AS x"),
        }
    }
}

/// What happens to a row that is there.
#[derive(Clone, Copy)]
enum Known {
    /// A fault of the caller, or an answer given before.
    Fail,
    /// It stays as it is.
    Keep,
    /// It is written anew.
    Replace,
}

struct Table {
    name: &'static str,
    key: &'static [&'static str],
    columns: &'static [Column],
    known: Known,
    /// A condition on the row, after `WHERE`.
    only: Option<fn(Dialect) -> String>,
}

/// Deletes and updates that come before the rows are put in.
type Before = fn(Dialect, usize) -> String;

const fn table(name: &'static str, key: &'static [&'static str], columns: &'static [Column], known: Known) -> Table {
    Table { name, key, columns, known, only: None }
}

/// A letter that is needed only if another has left: not while that one still waits.
fn unless_still_waiting(dialect: Dialect) -> String {
    let old = match dialect {
        Dialect::Sqlite => format!("old.case_id = {} AND +old.state = 'waiting'", dialect.field(0)),
        Dialect::Postgres => format!("old.case_id = ${CASE} AND old.state = 'waiting'"),
    };
    format!("NOT EXISTS (SELECT 1 FROM letter old WHERE {old} AND old.id = {})", dialect.field(8))
}

/// On PostgreSQL the parts of a statement have no order of their own: the case is looked at before its row is written anew.
fn after_the_look(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => "true".to_owned(),
        Dialect::Postgres => "(SELECT count(*) FROM held) >= 0".to_owned(),
    }
}

/// Comes before letters are called back: one that is needed only if another has left looks at that one first.
const LETTER: Table = Table {
    name: "letter",
    key: &["case_id", "id"],
    columns: &[Text("case_id"), Text("id"), Text("kind"), Text("state"), Int("attempts"), Int("next_at"), Int("created_at"), Bytes("sealed")],
    known: Known::Fail,
    only: Some(unless_still_waiting),
};

/// In the order of [`super::batch::Batch`]'s parameters.
const TABLES: [Table; 12] = [
    Table {
        name: "case_row",
        key: &["id"],
        columns: &[
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
        known: Known::Replace,
        only: Some(after_the_look),
    },
    table("case_key", &["case_id"], &[Text("case_id"), Bytes("wrapped")], Known::Fail),
    table("event", &["case_id", "seq"], &[Text("case_id"), Int("seq"), Text("body"), Text("hash")], Known::Fail),
    table("case_value", &["case_id", "seq", "number"], &[Text("case_id"), Int("seq"), Int("number"), Bytes("salt"), Bytes("sealed")], Known::Fail),
    table(
        "deadline",
        &["case_id", "proceeding", "name", "started_by", "nth"],
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
        Known::Replace,
    ),
    table(
        "work",
        &["case_id", "key"],
        &[Text("case_id"), Text("key"), Int("proceeding"), Text("for_role"), Text("account"), Text("due"), Text("title")],
        Known::Replace,
    ),
    table("errand", &["case_id", "id"], &[Text("case_id"), Text("id"), Text("state"), Int("attempts"), Int("next_at"), Bytes("sealed")], Known::Fail),
    table("document", &["case_id", "form", "seq"], &[Text("case_id"), Text("form"), Int("seq"), Int("proceeding"), Bytes("sealed")], Known::Fail),
    table("case_access", &["case_id", "account"], &[Text("case_id"), Text("account")], Known::Keep),
    table("word", &["case_id", "hash"], &[Text("case_id"), Text("hash")], Known::Keep),
    table(
        "answer",
        &["case_id", "account", "key"],
        &[Text("case_id"), Text("account"), Text("key"), Text("body_hash"), Int("first_seq"), Int("last_seq")],
        Known::Fail,
    ),
    table("opening", &["account", "key"], &[Text("account"), Text("key"), Text("case_id")], Known::Fail),
];

const BEFORES: [Before; 3] = [
    called_back,
    |dialect, parameter| gone(dialect, parameter, "deadline", &["case_id", "proceeding", "name", "started_by", "nth"], &[1, 3, 4]),
    |dialect, parameter| gone(dialect, parameter, "work", &["case_id", "key"], &[]),
];

/// Rows that go. Each is looked for by its key: the list of keys leads, never the table.
fn gone(dialect: Dialect, parameter: usize, table: &str, key: &[&str], numbers: &[usize]) -> String {
    let same = |i: usize, name: &str| match dialect {
        Dialect::Postgres if numbers.contains(&i) => format!("d.{name} = ({})::bigint", dialect.field(i)),
        _ => format!("d.{name} = {}", dialect.field(i)),
    };
    let same: Vec<String> = key.iter().enumerate().map(|(i, name)| same(i, name)).collect();
    let (rows, same) = (dialect.rows(parameter), same.join(" AND "));
    match dialect {
        Dialect::Sqlite => format!("DELETE FROM {table} WHERE rowid IN (SELECT d.rowid FROM {rows} CROSS JOIN {table} d WHERE {same})"),
        Dialect::Postgres => format!("DELETE FROM {table} d USING {rows} WHERE d.case_id = ${CASE} AND {same}"),
    }
}

/// Letters that are called back, as far as they wait. `+` keeps SQLite from looking through all that wait.
fn called_back(dialect: Dialect, parameter: usize) -> String {
    let (rows, case, id) = (dialect.rows(parameter), dialect.field(0), dialect.field(1));
    match dialect {
        Dialect::Sqlite => format!(
            "UPDATE letter SET state = 'cancelled' WHERE rowid IN (SELECT l.rowid FROM {rows} CROSS JOIN letter l \
             WHERE l.case_id = {case} AND l.id = {id} AND +l.state = 'waiting')"
        ),
        Dialect::Postgres => {
            format!("UPDATE letter l SET state = 'cancelled' FROM {rows} WHERE l.case_id = ${CASE} AND l.id = {id} AND l.state = 'waiting'")
        }
    }
}

/// The letters' parameter; before it: versions of cases, state of the accounts, numbers as they were, numbers as they will be.
const LETTERS: usize = 5;
const FIRST_BEFORE: usize = LETTERS + 1;
const FIRST_TABLE: usize = FIRST_BEFORE + BEFORES.len();
/// The first parameter of the one file.
const FILE: usize = FIRST_TABLE + TABLES.len();
/// On PostgreSQL a batch is of one case, and every look at a table leads with it.
const CASE: usize = FILE + 7;
const FILE_COLUMNS: &str = "case_id, id, sha256, media_type, size, sealed_name, sealed";

fn insert(table: &Table, dialect: Dialect, parameter: usize) -> String {
    let names: Vec<&str> = table.columns.iter().map(|c| c.name()).collect();
    let values: Vec<String> = table.columns.iter().enumerate().map(|(i, c)| c.value(i, dialect)).collect();
    let only = table.only.map_or_else(|| "true".to_owned(), |only| only(dialect));
    let mut sql =
        format!("INSERT INTO {} ({}) SELECT {} FROM {} WHERE {only}", table.name, names.join(", "), values.join(", "), dialect.rows(parameter));
    match table.known {
        Known::Fail => {}
        Known::Keep => {
            let _ = write!(sql, " ON CONFLICT ({}) DO NOTHING", table.key.join(", "));
        }
        Known::Replace => {
            let set: Vec<String> = names.iter().filter(|n| !table.key.contains(n)).map(|n| format!("{n} = excluded.{n}")).collect();
            let _ = write!(sql, " ON CONFLICT ({}) DO UPDATE SET {}", table.key.join(", "), set.join(", "));
        }
    }
    sql
}

/// The transaction on SQLite, from `BEGIN IMMEDIATE` to `COMMIT`.
///
/// `INSERT INTO guard` fails by the table's own check, so that a batch which rests on something that has changed since writes nothing.
pub(super) fn sqlite() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let d = Dialect::Sqlite;
        let mut parts = vec![
            "BEGIN IMMEDIATE".to_owned(),
            format!(
                "INSERT INTO guard SELECT 'case' FROM {} LEFT JOIN case_row c ON c.id = x.value->>0 WHERE c.version IS NOT x.value->>1",
                d.rows(1)
            ),
            "INSERT INTO guard SELECT 'accounts' WHERE coalesce((SELECT value FROM meta WHERE key = 'accounts'), '0') <> ?".to_owned(),
            format!(
                "INSERT INTO guard SELECT 'number' FROM {} LEFT JOIN number n ON n.series = x.value->>0 AND n.year = x.value->>1 \
                 WHERE coalesce(n.last, 0) <> x.value->>2",
                d.rows(3)
            ),
            format!(
                "INSERT INTO number (series, year, last) SELECT x.value->>0, x.value->>1, x.value->>2 FROM {} WHERE true \
                 ON CONFLICT (series, year) DO UPDATE SET last = excluded.last",
                d.rows(4)
            ),
        ];
        parts.push(insert(&LETTER, d, LETTERS));
        parts.extend(BEFORES.iter().enumerate().map(|(i, before)| before(d, FIRST_BEFORE + i)));
        parts.extend(TABLES.iter().enumerate().map(|(i, t)| insert(t, d, FIRST_TABLE + i)));
        parts.push(format!(
            "INSERT INTO file ({FILE_COLUMNS}) SELECT * FROM (SELECT ? AS case_id, ? AS id, ? AS sha256, ? AS media_type, ? AS size, \
             ? AS sealed_name, ? AS sealed) WHERE case_id IS NOT NULL"
        ));
        parts.push("COMMIT".to_owned());
        parts.join(";\n")
    });
    &SQL
}

/// The one statement on PostgreSQL. Numbers are drawn before it, so their parameters stay empty.
pub(super) fn postgres() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let d = Dialect::Postgres;
        let mut parts = vec![
            // Waits for whoever else writes the case, and sees the version that they leave.
            format!(
                "held AS (SELECT c.version AS found, (x->>1)::bigint AS wanted FROM {} CROSS JOIN case_row c WHERE c.id = ${CASE}::text FOR UPDATE OF c)",
                d.rows(1)
            ),
            "stale AS (INSERT INTO guard SELECT 'case' WHERE (SELECT count(*) FROM held WHERE found = wanted) \
             <> jsonb_array_length($1::text::jsonb))"
                .to_owned(),
            "others AS (INSERT INTO guard SELECT 'accounts' WHERE coalesce((SELECT value FROM meta WHERE key = 'accounts'), '0') <> $2::text)"
                .to_owned(),
            "numbers AS (SELECT $3::text, $4::text)".to_owned(),
        ];
        parts.push(format!("letters AS ({})", insert(&LETTER, d, LETTERS)));
        parts.extend(BEFORES.iter().enumerate().map(|(i, before)| format!("b{i} AS ({})", before(d, FIRST_BEFORE + i))));
        parts.extend(TABLES.iter().enumerate().map(|(i, t)| format!("t{i} AS ({})", insert(t, d, FIRST_TABLE + i))));
        parts.push(format!(
            "f AS (INSERT INTO file ({FILE_COLUMNS}) SELECT ${0}::text, ${1}::text, ${2}::text, ${3}::text, ${4}::bigint, ${5}::bytea, \
             ${6}::bytea WHERE ${0}::text IS NOT NULL)",
            FILE,
            FILE + 1,
            FILE + 2,
            FILE + 3,
            FILE + 4,
            FILE + 5,
            FILE + 6
        ));
        format!("WITH {} SELECT 1", parts.join(",\n"))
    });
    &SQL
}
