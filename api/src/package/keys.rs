//! The installation's Ed25519 key: 32 random bytes in, PKCS#8 and SPKI files out.
//!
//! Not here: the random source (the caller), and where the files lie (the configuration).

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::hex;

/// No key file is larger.
const MAX_KEY_FILE_BYTES: u64 = 16 * 1024;

/// Why a key could not be read or kept. The text names no path and repeats no part of a key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Not the PEM of an Ed25519 key of the wanted kind.
    #[error("not an Ed25519 {0} key in PEM form")]
    Malformed(&'static str),
    /// A key under which anybody can sign.
    #[error("the public key is weak")]
    Weak,
    /// The file could not be read or written. A key is never written over another file.
    #[error("the key file could not be read or written: {0}")]
    File(#[from] io::Error),
}

/// The key that signs packages and checkpoints. It is wiped from memory when dropped, and `{:?}` shows its fingerprint only.
pub struct PrivateKey(SigningKey);

/// The key that checks them.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    /// SubjectPublicKeyInfo; kept, so that nothing below can fail.
    der: Vec<u8>,
    pem: String,
}

impl PrivateKey {
    /// The key that belongs to 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS#8).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem.trim()).map(Self).map_err(|_| KeyError::Malformed("private"))
    }

    /// Reads a PEM file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&read(path)?)
    }

    /// Writes a new PEM file that only its owner may read (mode 0600). An existing file is left alone and is an error.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        // Without the public half (PKCS#8 version 1): older OpenSSL reads no other.
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Malformed("private"))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a key is worse than none: the next start would refuse it.
            drop(fs::remove_file(path));
            return Err(error.into());
        }
        Ok(())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key())
    }

    /// Signs bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public().fingerprint())
    }
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----` (SubjectPublicKeyInfo).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem.trim()).map_err(|_| KeyError::Malformed("public"))?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self::new(key))
    }

    /// Reads a PEM file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&read(path)?)
    }

    /// Writes the PEM file, over an older one if there is one: it can always be made again from the private key.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        Ok(fs::write(path, self.to_pem())?)
    }

    /// The key as PEM, with a line feed at the end.
    pub fn to_pem(&self) -> String {
        self.pem.clone()
    }

    /// Lowercase hex SHA-256 of the SubjectPublicKeyInfo in DER; `openssl pkey -pubin -outform DER | sha256sum`.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    fn new(key: VerifyingKey) -> Self {
        let info = key.to_public_key_der().expect("32 bytes under a fixed header always encode");
        let pem = info.to_pem("PUBLIC KEY", LineEnding::LF).expect("44 bytes under a fixed label always encode");
        Self { key, der: info.into_vec(), pem }
    }

    /// Strict: one message has one valid signature under one key.
    pub fn accepts(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

fn read(path: &Path) -> Result<String, KeyError> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_key_comes_back_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (private, public) = (folder.path().join("key.pem"), folder.path().join("public-key.pem"));
        let key = PrivateKey::from_seed([42; 32]);
        key.save(&private).expect("saved");
        key.public().save(&public).expect("saved");
        assert_eq!(PrivateKey::load(&private).expect("read").public(), key.public());
        assert_eq!(PublicKey::load(&public).expect("read"), key.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&private).expect("there").permissions().mode() & 0o777, 0o600);
        }
        let other = PrivateKey::from_seed([43; 32]);
        assert!(matches!(other.save(&private), Err(KeyError::File(e)) if e.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(PrivateKey::load(&private).expect("read").public(), key.public());
    }

    /// The key pair of RFC 8032, 7.1 test 1; fingerprint and PEM agree with OpenSSL 3.
    #[test]
    fn keys_and_fingerprints_are_the_standard_ones() {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69,
            0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let key = PrivateKey::from_seed(seed);
        let want = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        assert_eq!(key.public().to_pem(), want);
        assert_eq!(key.public().fingerprint(), "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
        assert!(key.public().accepts(b"", &key.sign(b"")));
        assert_eq!(hex(&key.sign(b""))[..16], *"e5564300c360ac72");
    }

    #[test]
    fn both_pkcs8_versions_are_read() {
        let key = PrivateKey::from_seed([5; 32]);
        let second = key.0.to_pkcs8_pem(LineEnding::LF).expect("encoded");
        assert_eq!(PrivateKey::from_pem(&second).expect("read").public(), key.public());
    }

    #[test]
    fn what_is_no_key_is_refused_and_nothing_is_shown() {
        let key = PrivateKey::from_seed([42; 32]);
        for text in ["", "garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(PublicKey::from_pem(text).is_err() && PrivateKey::from_pem(text).is_err());
        }
        assert!(PrivateKey::from_pem(&key.public().to_pem()).is_err());
        assert_eq!(format!("{key:?}"), format!("PrivateKey({})", key.public().fingerprint()));
        // The identity point: every message has a "signature" under it.
        let weak = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
        assert!(matches!(PublicKey::from_pem(weak), Err(KeyError::Weak)));
    }
}
