//! The log over all cases: a Merkle tree whose leaves are versions of cases, and its signed checkpoints.
//!
//! A chain of hashes shows that nothing inside a case was changed. It cannot show that its end was cut off, or that all
//! of it was written anew with new hashes; a signed checkpoint that lies elsewhere can. Here: what a leaf and a checkpoint
//! are, and taking one. Not here: the file and the mails (the edge), and looking for what was changed (`verify`).

use crate::merkle::{self, Frontier, Hash, hex, unhex};
use crate::store::rows::{case, checkpoint, log_leaf};
use crate::store::{Store, StoreError};
use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, SqlErr};
use serde::{Deserialize, Serialize};

/// What `format` says in each checkpoint.
pub const FORMAT: &str = "heyi-checkpoint/1";
/// Most leaves under one checkpoint, so that none holds the database for long; what is left over comes under the next.
const MAX_LEAVES: usize = 20_000;
/// Leaves that are read, or written, in one statement.
const PAGE: u64 = 500;

/// Signs checkpoints.
pub trait Signer: Sync {
    /// Fingerprint of the key.
    fn key(&self) -> String;
    /// The Ed25519 signature.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// A signed statement of how many versions of cases the log holds, and of all of them together.
///
/// Written as one line of JSON. What is signed is [`Checkpoint::message`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// [`FORMAT`].
    pub format: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// The root of the checkpoint before; that of an empty log for the first.
    pub previous: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Fingerprint of the key that signs.
    pub key: String,
    /// The Ed25519 signature, in hexadecimal.
    pub signature: String,
}

impl Checkpoint {
    /// The bytes that are signed: six lines, each with its end.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let Self { format, size, root, previous, at, key, .. } = self;
        format!("{format}\n{size}\n{root}\n{previous}\n{at}\n{key}\n").into_bytes()
    }

    /// The line, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line. None for one that no checkpoint writes.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(line).ok()?;
        (read.format == FORMAT && read.line() == line).then_some(read)
    }

    /// The signature's bytes, if it has the right length.
    #[must_use]
    pub fn signed(&self) -> Option<[u8; 64]> {
        unhex(&self.signature)?.try_into().ok()
    }
}

/// Why no checkpoint was taken.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the database keeps of the log does not fit its last checkpoint.
    #[error("the log's last checkpoint, of {size} leaves, is not as it was written: run `heyi verify --database`")]
    Damaged {
        /// Its size.
        size: i64,
    },
}

impl From<DbErr> for LogError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

/// The hash of a leaf: at this version, the chain of this case had this head.
#[must_use]
pub fn leaf(case: &str, version: i64, head: &str) -> Hash {
    merkle::leaf(format!("{case}\n{version}\n{head}\n").as_bytes())
}

/// The tree up to the last checkpoint.
fn grown(last: Option<&checkpoint::Model>) -> Result<Frontier, LogError> {
    let Some(last) = last else { return Ok(Frontier::default()) };
    let tree = u64::try_from(last.size).ok().and_then(|size| Frontier::of(size, &last.peaks));
    let signed = Checkpoint::read(&last.line);
    match (tree, signed) {
        (Some(tree), Some(signed)) if signed.size == tree.size() && signed.root == hex(&tree.root()) => Ok(tree),
        _ => Err(LogError::Damaged { size: last.size }),
    }
}

/// A case, its version, and the head of its chain there.
type Head = (String, i64, String);

/// Cases whose version is not in the log yet.
///
/// What is asked is what is missing, not what is recent: a commit that became visible late, or a clock that was moved,
/// hides nothing.
async fn unlogged(store: &Store) -> Result<Vec<Head>, DbErr> {
    let mut out: Vec<Head> = Vec::new();
    loop {
        let logged = Query::select()
            .expr(Expr::val(1))
            .from(log_leaf::Entity)
            .and_where(Expr::col((log_leaf::Entity, log_leaf::Column::CaseId)).equals((case::Entity, case::Column::Id)))
            .and_where(Expr::col((log_leaf::Entity, log_leaf::Column::Version)).equals((case::Entity, case::Column::Version)))
            .to_owned();
        let mut query = case::Entity::find().filter(Expr::exists(logged).not());
        if let Some((last, ..)) = out.last() {
            query = query.filter(case::Column::Id.gt(last));
        }
        let head = query.select_only().columns([case::Column::Id, case::Column::Version, case::Column::Head]);
        let page = head.order_by_asc(case::Column::Id).limit(PAGE).into_tuple().all(store.db()).await?;
        let full = page.len() as u64 == PAGE;
        out.extend(page);
        if !full || out.len() >= MAX_LEAVES {
            return Ok(out);
        }
    }
}

/// Takes a checkpoint of everything that was committed since the last, if anything was.
///
/// # Returns
/// The checkpoint; none when nothing had changed, or when another node took one at this moment.
///
/// # Errors
/// When the database fails, or what it keeps of the log is not as it was written.
pub async fn take(store: &Store, signer: &dyn Signer, now: DateTime<Utc>) -> Result<Option<Checkpoint>, LogError> {
    let last = checkpoint::Entity::find().order_by_desc(checkpoint::Column::Size).one(store.db()).await?;
    let mut tree = grown(last.as_ref())?;
    let previous = hex(&tree.root());
    let new = unlogged(store).await?;
    if new.is_empty() {
        return Ok(None);
    }
    let begin = i64::try_from(tree.size()).unwrap_or(i64::MAX);
    new.iter().for_each(|(id, version, head)| tree.append(leaf(id, *version, head)));
    let mut signed = Checkpoint {
        format: FORMAT.to_owned(),
        size: tree.size(),
        root: hex(&tree.root()),
        previous,
        at: now.to_rfc3339_opts(SecondsFormat::Millis, true),
        key: signer.key(),
        signature: String::new(),
    };
    signed.signature = hex(&signer.sign(&signed.message()));
    let size = i64::try_from(tree.size()).unwrap_or(i64::MAX);
    let row = checkpoint::ActiveModel { size: Set(size), peaks: Set(tree.peaks()), line: Set(signed.line()) };
    let tx = store.begin().await?;
    let written = async {
        let leaf =
            |(number, (id, version, head))| log_leaf::ActiveModel { number: Set(number), case_id: Set(id), version: Set(version), head: Set(head) };
        let mut leaves = (begin..).zip(new).map(leaf).peekable();
        while leaves.peek().is_some() {
            let page: Vec<_> = leaves.by_ref().take(usize::try_from(PAGE).unwrap_or(usize::MAX)).collect();
            log_leaf::Entity::insert_many(page).exec_without_returning(&tx).await?;
        }
        checkpoint::Entity::insert(row).exec_without_returning(&tx).await
    };
    match written.await {
        Ok(_) => {
            tx.commit().await?;
            Ok(Some(signed))
        }
        Err(error) => {
            tx.rollback().await?;
            // Another node has written the next leaf: its checkpoint is as good as this one.
            if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) { Ok(None) } else { Err(error.into()) }
        }
    }
}

impl Store {
    /// Lines of the checkpoints of more than so many leaves, in order; at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint_lines(&self, after: i64, limit: u64) -> Result<Vec<(i64, String)>, StoreError> {
        let rows = checkpoint::Entity::find()
            .filter(checkpoint::Column::Size.gt(after))
            .order_by_asc(checkpoint::Column::Size)
            .limit(limit)
            .all(self.db())
            .await?;
        Ok(rows.into_iter().map(|row| (row.size, row.line)).collect())
    }

    /// The line of the checkpoint of so many leaves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint_line(&self, size: u64) -> Result<Option<String>, StoreError> {
        let row = checkpoint::Entity::find_by_id(i64::try_from(size).unwrap_or(i64::MAX)).one(self.db()).await?;
        Ok(row.map(|row| row.line))
    }
}
