//! Encryption of what belongs to people: a key per case, wrapped by the installation's key, which lies in a file.
//!
//! Erasing a case's key makes its values, letters and files unreadable for ever; the chain of events stays whole.

use super::StoreError;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::path::Path;

/// A key of 32 bytes.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

/// Random bytes from the operating system.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

const NONCE_BYTES: usize = 24;

impl SealKey {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }

    /// A key that was kept somewhere else.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The installation's key: read from a file that only its owner may read, made on the first start.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds no key.
    pub fn of_installation(path: &Path) -> Result<Self, StoreError> {
        let file = |error| StoreError::File { what: "the installation's key".to_owned(), error };
        match std::fs::read(path) {
            Ok(bytes) => bytes.try_into().map(Self).map_err(|_| file(std::io::Error::other("the file does not hold 32 bytes"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent).map_err(file)?;
                }
                let key = Self::generate();
                // Written beside and linked into place, so that a crash leaves no half key and a race only one.
                let beside = path.with_extension("new");
                write_private(&beside, &key.0).map_err(file)?;
                let linked = std::fs::hard_link(&beside, path);
                std::fs::remove_file(&beside).map_err(file)?;
                match linked {
                    // Its name must be as lasting as what will be sealed with it.
                    Ok(()) => path.ancestors().skip(1).take(2).try_for_each(sync_folder).map(|()| key).map_err(file),
                    Err(_) => Self::of_installation(path),
                }
            }
            Err(error) => Err(file(error)),
        }
    }

    /// A key derived for another purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self(self.mac(purpose.as_bytes()))
    }

    /// A keyed hash.
    #[must_use]
    pub fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0).expect("any length of key is good");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// Seals bytes, bound to what they are.
    #[must_use]
    pub fn seal(&self, bytes: &[u8], bound_to: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random();
        let cipher = XChaCha20Poly1305::new(&Key::from(self.0));
        let payload = Payload { msg: bytes, aad: bound_to.as_bytes() };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).expect("memory holds the ciphertext");
        let mut out = nonce.to_vec();
        out.extend(sealed);
        out
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// When the key is another, the bytes were changed, or they belong elsewhere.
    pub fn open(&self, sealed: &[u8], bound_to: &str) -> Result<Vec<u8>, StoreError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES).ok_or(StoreError::Sealed)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| StoreError::Sealed)?;
        let cipher = XChaCha20Poly1305::new(&Key::from(self.0));
        cipher.decrypt(&XNonce::from(nonce), Payload { msg: body, aad: bound_to.as_bytes() }).map_err(|_| StoreError::Sealed)
    }

    /// Wraps another key under this one.
    #[must_use]
    pub fn wrap(&self, key: &Self, case: &str) -> Vec<u8> {
        self.seal(&key.0, case)
    }

    /// Unwraps a key.
    ///
    /// # Errors
    /// As [`SealKey::open`].
    pub fn unwrap_key(&self, wrapped: &[u8], case: &str) -> Result<Self, StoreError> {
        self.open(wrapped, case)?.try_into().map(Self).map_err(|_| StoreError::Sealed)
    }
}

/// Waits until the names in a folder are on the disk.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::File::open(folder)?.sync_all()
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_where_it_belongs() {
        let key = SealKey::generate();
        let sealed = key.seal(b"value", "case/1.0");
        assert_eq!(key.open(&sealed, "case/1.0").unwrap(), b"value");
        assert!(key.open(&sealed, "other/1.0").is_err());
        assert!(SealKey::generate().open(&sealed, "case/1.0").is_err());
        let mut changed = sealed.clone();
        changed[NONCE_BYTES] ^= 1;
        assert!(key.open(&changed, "case/1.0").is_err());
        assert!(key.open(&sealed[..10], "case/1.0").is_err());
    }

    #[test]
    fn the_installation_has_one_key() {
        let folder = std::env::temp_dir().join(format!("heyi-key-{}", std::process::id()));
        let path = folder.join("keys/master.key");
        let first = SealKey::of_installation(&path).unwrap();
        let second = SealKey::of_installation(&path).unwrap();
        assert_eq!(first.0, second.0);
        std::fs::write(&path, b"short").unwrap();
        assert!(SealKey::of_installation(&path).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
