//! `heyi verify`: is this package what the committee signed?

use super::{Failure, Outcome};
use crate::package::{PublicKey, verify};
use clap::Args;
use std::path::PathBuf;

/// The largest package that is read, in bytes.
const MAX_PACKAGE_BYTES: u64 = 128 << 20;

/// Check a package.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi verify agreement-court.zip\n  heyi verify agreement-court.zip --key public-key.pem\n\nWithout --key the package proves only that it is whole; with --key also who signed it."
)]
pub struct Verify {
    /// The package.
    bundle: PathBuf,
    /// The signer's public key, as PEM; any other signer is refused.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Runs it.
    pub(super) fn run(self) -> Outcome {
        let named = |path: &PathBuf, error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        let size = std::fs::metadata(&self.bundle).map_err(|e| named(&self.bundle, &e))?.len();
        if size > MAX_PACKAGE_BYTES {
            return Err(Failure::negative(format!("{}: larger than {MAX_PACKAGE_BYTES} bytes, so it is no package of Heyi", self.bundle.display())));
        }
        let bytes = std::fs::read(&self.bundle).map_err(|e| named(&self.bundle, &e))?;
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
