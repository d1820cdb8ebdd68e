//! The walk over the whole database, in one snapshot, page by page: memory holds one case at a time.

use super::belongings::{self, Look};
use super::texts::Texts;
use super::{Fault, OfCase, Report, chain, replay, rows, witness};
use crate::case::event::{Event, Moved, What};
use crate::store::rows::{case, log_leaf, number};
use crate::store::seal::SealKey;
use crate::store::{Store, StoreError};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{
    AccessMode, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _, IsolationLevel, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};
use std::collections::BTreeMap;
use std::io::BufRead;

/// Cases that are read at once.
const PAGE: u64 = 200;
/// Cases that are not there and whose rows are named, for each table.
const MAX_UNKNOWN: usize = 100;

/// Judges a signature: by the fingerprint of its key, the message, and its bytes.
pub type Accepts<'a> = dyn Fn(&str, &[u8], &[u8; 64]) -> bool + Sync + 'a;

/// What is to be looked at, and with what.
pub struct Ask<'a> {
    /// The installation's key.
    pub master: &'a SealKey,
    /// Fold each history, and compare what follows from it with what is stored.
    pub replay: bool,
    /// The file of checkpoints, if there is one.
    pub lines: Option<Box<dyn BufRead + Send>>,
    /// Whether a signature of a message by the key of this fingerprint is good, and the key the one that is wanted.
    pub accepts: &'a Accepts<'a>,
    /// Told after each case: how many were looked at, and how many there are.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// The tables whose rows belong to a case.
const OF_CASES: [&str; 14] = [
    "answer",
    "case_access",
    "case_key",
    "case_value",
    "deadline",
    "document",
    "errand",
    "event",
    "export",
    "file",
    "letter",
    "opening",
    "word",
    "work",
];

/// Computes everything anew and names each difference.
///
/// # Errors
/// When the database or the file of checkpoints cannot be read at all.
pub async fn verify(store: &Store, mut ask: Ask<'_>) -> Result<Report, StoreError> {
    let mut report = Report { replayed: ask.replay, ..Report::default() };
    let lines = witness::lines(&mut ask, &mut report)?;
    let tx = snapshot(store).await?;
    let walked = walk(&tx, &ask, &mut report).await;
    let looked = match walked {
        Ok(()) => witness::look(&tx, &ask, lines, &mut report).await,
        Err(error) => Err(error),
    };
    tx.rollback().await?;
    looked?;
    report.whole = report.findings.is_empty();
    Ok(report)
}

/// One moment of the database, however long one looks at it and whoever writes meanwhile.
async fn snapshot(store: &Store) -> Result<DatabaseTransaction, DbErr> {
    let options = if store.is_postgres() {
        TransactionOptions {
            isolation_level: Some(IsolationLevel::RepeatableRead),
            access_mode: Some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        }
    } else {
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred), ..TransactionOptions::default() }
    };
    store.db().begin_with_options(options).await
}

/// How many numbers of a series were seen, their sum, and the largest.
#[derive(Default)]
struct Drawn {
    count: i128,
    sum: i128,
    last: i128,
}

async fn walk<C: ConnectionTrait>(db: &C, ask: &Ask<'_>, report: &mut Report) -> Result<(), StoreError> {
    let mut texts = Texts::of(db, report).await?;
    let total = case::Entity::find().count(db).await?;
    let mut series: BTreeMap<(String, i64), Drawn> = BTreeMap::new();
    let mut all_whole = true;
    let mut after = String::new();
    loop {
        let query = case::Entity::find().filter(case::Column::Id.gt(&after)).order_by_asc(case::Column::Id).limit(PAGE);
        let page = rows::all(db, query).await?;
        let id = |row: &rows::Row<case::Entity>| row.as_ref().map_or_else(|row| rows::text(row, "id"), |row| Some(row.id.clone()));
        let Some(last) = page.iter().rev().find_map(id) else { break };
        for row in page {
            report.cases += 1;
            match row {
                Ok(row) => {
                    let mut found = OfCase { case: &row.id, report };
                    let events = one(db, ask, &row, &mut texts, &mut found).await?;
                    all_whole &= events.is_some();
                    events.iter().flatten().for_each(|event| draw(event, &mut series));
                }
                Err(row) => {
                    all_whole = false;
                    let id = rows::text(&row, "id").unwrap_or_default();
                    OfCase { case: &id, report }.found(Fault::Unreadable, None, "case_row", None);
                }
            }
            (ask.progress)(report.cases, total);
        }
        after = last;
    }
    unknown(db, report).await?;
    // What events drew can only be counted where every event can be believed.
    if all_whole {
        numbers(db, series, report).await?;
    }
    let logged = Query::select()
        .expr(Expr::val(1))
        .from(log_leaf::Entity)
        .and_where(Expr::col((log_leaf::Entity, log_leaf::Column::CaseId)).equals((case::Entity, case::Column::Id)))
        .and_where(Expr::col((log_leaf::Entity, log_leaf::Column::Version)).equals((case::Entity, case::Column::Version)))
        .to_owned();
    report.since = case::Entity::find().filter(Expr::exists(logged).not()).count(db).await?;
    Ok(())
}

/// One case, whole.
///
/// # Returns
/// Its events, if its chain holds.
async fn one<C: ConnectionTrait>(
    db: &C,
    ask: &Ask<'_>,
    row: &case::Model,
    texts: &mut Texts,
    found: &mut OfCase<'_>,
) -> Result<Option<Vec<Event>>, StoreError> {
    let chain = chain::walk(db, row, found).await?;
    chain.events.iter().for_each(|event| texts.needed(&event.under, found.report));
    let Some(key) = belongings::key(db, ask.master, &row.id, found).await? else {
        return Ok(chain.broken_at.is_none().then_some(chain.events));
    };
    let look = Look { db, case: &row.id, key, chain: &chain };
    let vault = look.values(found).await?;
    look.files(found).await?;
    look.letters(found).await?;
    look.documents(found).await?;
    look.errands(found).await?;
    look.packages_and_answers(found).await?;
    if ask.replay && chain.broken_at.is_none() {
        replay::compare(&look, ask.master, row, vault, texts, found).await?;
    }
    Ok(chain.broken_at.is_none().then_some(chain.events))
}

fn draw(event: &Event, series: &mut BTreeMap<(String, i64), Drawn>) {
    if let What::Moved(Moved { number: Some(number), .. }) = &event.what {
        let drawn = series.entry((number.series.clone(), i64::from(number.year))).or_default();
        drawn.count += 1;
        drawn.sum += i128::from(number.seq);
        drawn.last = drawn.last.max(i128::from(number.seq));
    }
}

/// The numbers that cases bear are one to the last that was drawn, without a gap.
async fn numbers<C: ConnectionTrait>(db: &C, mut series: BTreeMap<(String, i64), Drawn>, report: &mut Report) -> Result<(), StoreError> {
    for row in rows::all(db, number::Entity::find()).await? {
        match row {
            Err(row) => report.found(Fault::Unreadable, "number", rows::text(&row, "series")),
            Ok(row) => {
                let Drawn { count, sum, last } = series.remove(&(row.series.clone(), row.year)).unwrap_or_default();
                let kept = i128::from(row.last);
                if count != kept || last != kept || sum != kept * (kept + 1) / 2 {
                    report.found(Fault::Series, "number", format!("{}/{}", row.series, row.year));
                }
            }
        }
    }
    for (name, year) in series.into_keys() {
        report.found(Fault::Series, "number", format!("{name}/{year}"));
    }
    Ok(())
}

/// Rows of cases that are not there.
async fn unknown<C: ConnectionTrait>(db: &C, report: &mut Report) -> Result<(), StoreError> {
    for table in OF_CASES {
        let sql = format!(
            "SELECT DISTINCT t.case_id AS case_id FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM case_row c WHERE c.id = t.case_id) LIMIT {MAX_UNKNOWN}"
        );
        for row in db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await? {
            let case = rows::text(&row, "case_id").unwrap_or_default();
            OfCase { case: &case, report }.found(Fault::NoCase, None, table, None);
        }
    }
    Ok(())
}
