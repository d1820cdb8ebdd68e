//! `heyi verify`: is this package what the committee signed? With `--database`, see `verify_database`.

use super::{Failure, Language, Outcome, Place};
use crate::package::{PublicKey, verify};
use clap::Args;
use std::path::PathBuf;

/// The largest package that is read, in bytes.
const MAX_PACKAGE_BYTES: u64 = 128 << 20;

/// Check a package, or a whole database.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi verify agreement-court.zip\n  heyi verify agreement-court.zip --key public-key.pem\n  heyi verify --database --replay --data /srv/heyi\n  heyi verify --database --data /srv/heyi --checkpoints kept-elsewhere.jsonl --key public-key.pem\n\nWithout --key a package proves only that it is whole; with --key also who signed it.\nA database proves by its chains that no case was edited; that none was cut short or written anew is proved by\ncheckpoints and a key that were kept where nobody who could change the database could change them too."
)]
pub struct Verify {
    /// The package.
    #[arg(required_unless_present = "database", conflicts_with = "database")]
    bundle: Option<PathBuf>,
    /// The signer's public key, as PEM; any other signer is refused. For a database, the data folder's own when left out.
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Check every case of an installation's database.
    #[arg(long)]
    database: bool,
    /// Fold every history and compare what follows from it with what is stored.
    #[arg(long, requires = "database")]
    pub(super) replay: bool,
    /// Checkpoints that were kept, one JSON line each; those in the data folder when left out.
    #[arg(long, value_name = "FILE", requires = "database")]
    pub(super) checkpoints: Option<PathBuf>,
    /// The language of what is told about a database; the terminal's when left out.
    #[arg(long, requires = "database")]
    pub(super) language: Option<Language>,
    /// JSON alone on standard output.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

impl Verify {
    /// Runs it.
    pub(super) fn run(self) -> Outcome {
        let Some(bundle) = self.bundle.clone() else { return super::on_runtime(self.run_database()) };
        if self.place.data.is_some() || self.place.config.is_some() {
            return Err(Failure::usage("a package needs no data folder; to check a database, write heyi verify --database"));
        }
        let named = |path: &PathBuf, error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        let size = std::fs::metadata(&bundle).map_err(|e| named(&bundle, &e))?.len();
        if size > MAX_PACKAGE_BYTES {
            return Err(Failure::negative(format!("{}: larger than {MAX_PACKAGE_BYTES} bytes, so it is no package of Heyi", bundle.display())));
        }
        let bytes = std::fs::read(&bundle).map_err(|e| named(&bundle, &e))?;
        let expected = match &self.key {
            Some(path) => Some(PublicKey::load(path).map_err(|e| named(path, &e))?),
            None => None,
        };
        let report = verify(&bytes, expected.as_ref());
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            let signer = report.signer.as_deref().unwrap_or("nobody");
            println!("{}", if report.ok { "Whole and unaltered." } else { "NOT as it was signed." });
            println!(
                "Signed by key {signer}{}",
                if expected.is_some() && report.signer_is_expected == Some(true) { ", the expected one." } else { "" }
            );
            if expected.is_none() {
                println!("Who that is was not checked: give the committee's key with --key FILE.");
            }
            if let Some(manifest) = &report.manifest {
                println!(
                    "Agreement {} of {}, for the {}",
                    manifest.agreement_number,
                    manifest.committee,
                    serde_json::to_value(manifest.recipient)?.as_str().unwrap_or_default()
                );
                for file in &manifest.files {
                    println!("  {}  {} bytes  sha-256 {}", file.name, file.size, file.sha256);
                }
            }
            for finding in &report.findings {
                println!("  {finding}");
            }
        }
        if report.ok { Ok(()) } else { Err(Failure::negative("")) }
    }
}
