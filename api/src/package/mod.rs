//! Packages for a court or a notary's office: one canonical zip, signed, that anyone can check without a server.
//!
//! What lives here: building ([`build`]), checking ([`verify`]) and the keys ([`PrivateKey`], [`PublicKey`]). What does
//! not: choosing the files (the caller), whether a hand-over is allowed (the engine), and keeping the bytes (the store).
//! There is no clock and no randomness here; the day and the key's 32 bytes are arguments.
//!
//! # The format, version 1
//!
//! * **Container**: a zip without compression, so that its bytes depend on nothing but its contents (a compressor's
//!   output changes from release to release, and a package must still verify in ten years). Entries in the order of
//!   their names' bytes; version needed 1.0, made by 2.0; flags, extra fields, comments and attributes empty;
//!   each entry dated 1980-01-01 00:00:00; nothing before, between or after the records.
//! * **Names**: ASCII letters, digits, `.`, `_`, `-`, with `/` between folders; see [`check_name`].
//! * **`manifest.json`**: [`Manifest`] as JSON on one line: keys sorted, no spaces, no floats, a line feed at the
//!   end. It lists each other file with its SHA-256, size and media type, and the signer's fingerprint.
//! * **`manifest.json.sig`**: one line of JSON in the same form, `{"algorithm":"Ed25519","public_key":PEM,"signature":base64,
//!   "signed":"manifest.json"}`. The signature (RFC 8032, no context) is over the bytes of `manifest.json`.
//! * **Fingerprint** of a key: lowercase hex SHA-256 of its SubjectPublicKeyInfo in DER.
//!
//! Without Heyi, a package is checked with common tools:
//!
//! ```sh
//! unzip package.zip && jq -r .signature manifest.json.sig | base64 -d > sig.bin
//! openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json -sigfile sig.bin
//! jq -r '.files[] | .sha256 + "  " + .name' manifest.json | sha256sum -c
//! ```

mod build;
mod container;
mod keys;
mod manifest;
#[cfg(test)]
mod tests;
mod verify;

pub use build::{PackageError, PackageFile, PackageInput, build};
pub use keys::{KeyError, PrivateKey, PublicKey};
pub use manifest::{FORMAT, MANIFEST_NAME, MAX_NAME_BYTES, Manifest, ManifestFile, NameError, Recipient, SCHEMA_VERSION, SIGNATURE_NAME, check_name};
pub use verify::{Finding, Report, verify};

/// The most bytes that all files of a package may have together, uncompressed.
pub const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;
/// The most entries of a package, the manifest and its signature included.
pub const MAX_ENTRIES: usize = 1_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
