//! Mails as `.eml` files: the default on a fresh installation, the demo, and tests.
//! A file is written beside its name, synced and renamed, so that a reader never sees half a mail and a second
//! delivery replaces the first.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{Delivered, Failure, Mail, Sender, message};

/// Two workers may write the same mail at once; each has its own unfinished file.
static ATTEMPT: AtomicU64 = AtomicU64::new(0);

/// Writes each mail to `DIR/mail/ID.eml`.
#[derive(Debug, Clone)]
pub struct FolderPost {
    folder: PathBuf,
    sender: Sender,
}

impl FolderPost {
    /// A post that writes below `dir/mail`, which is made when the first mail comes.
    pub fn new(dir: &Path, sender: Sender) -> FolderPost {
        FolderPost { folder: dir.join("mail"), sender }
    }

    /// Writes `mail` to its file.
    ///
    /// # Errors
    /// Permanent when the mail cannot be built, temporary when the folder cannot be written.
    pub async fn deliver(&self, mail: &Mail) -> Result<Delivered, Failure> {
        let message = message(mail, &self.sender).map_err(|e| Failure::Permanent(e.to_string()))?;
        let (folder, id) = (self.folder.clone(), mail.id.clone());
        let written = tokio::task::spawn_blocking(move || write(&folder, &id, &message.formatted())).await;
        let failed = |kind: io::ErrorKind| Failure::Temporary(format!("the mail folder cannot be written: {kind}"));
        match written {
            Ok(Ok(proof)) => Ok(Delivered { proof }),
            Ok(Err(error)) => Err(failed(error.kind())),
            Err(_) => Err(failed(io::ErrorKind::Other)),
        }
    }
}

impl FolderPost {
    /// Looks whether a file can be written where mails go, and leaves nothing behind.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        let folder = self.folder.clone();
        let tried = tokio::task::spawn_blocking(move || {
            // A folder that the first mail will make is looked at where it will be made.
            let place = if folder.is_dir() { folder.as_path() } else { folder.parent().unwrap_or(&folder) };
            let file = place.join(format!(".probe.{}.{}", std::process::id(), ATTEMPT.fetch_add(1, Ordering::Relaxed)));
            File::create_new(&file).and_then(|_| fs::remove_file(&file)).map_err(|error| error.kind())
        });
        match tried.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(kind)) => Err(Failure::Temporary(format!("the mail folder cannot be written: {kind}"))),
            Err(_) => Err(Failure::Temporary("the mail folder cannot be written".to_owned())),
        }
    }
}

impl fmt::Display for FolderPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder:{}", self.folder.display())
    }
}

fn write(folder: &Path, id: &str, bytes: &[u8]) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    let attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
    // The leading dot keeps it out of `*.eml`, whatever the id.
    let unfinished = folder.join(format!(".{id}.{}.{attempt}.part", std::process::id()));
    let file_name = format!("{id}.eml");
    let done = (|| {
        let mut file = File::create_new(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(&file_name))?;
        // The name must be as lasting as the bytes: the notice is marked as sent right after this.
        File::open(folder)?.sync_all()
    })();
    if let Err(error) = done {
        // It may not be there at all; what matters is the error that led here.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{file_name} sha256:{digest}"))
}
