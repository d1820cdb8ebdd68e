//! What a template gets as `sys.inputs`: texts split into paragraphs, amounts and dates already written out.
//!
//! Everything here is data for typst. A value never becomes template source, so `#read(…)` in a name prints as such.

use chrono::NaiveDate;
use serde::Serialize;

use super::agreement::{AgreementDocument, SignatureKind};
use super::numerals::{self, AmountError};
use super::render::DocumentError;

/// The inputs of `documents/agreement.typ`. Absent options are `none`, absent lists are empty.
#[derive(Serialize)]
pub(super) struct AgreementView<'a> {
    number: &'a str,
    committee: &'a str,
    parties: Vec<PartyView<'a>>,
    facts: Vec<&'a str>,
    dispute: Vec<&'a str>,
    responsibility: Vec<&'a str>,
    terms: Vec<Vec<&'a str>>,
    /// `none` when nothing is to be paid.
    total: Option<Money>,
    shares: Vec<ShareView<'a>>,
    instalments: Vec<InstalmentView<'a>>,
    manner: Vec<&'a str>,
    copies: u32,
    signatures: Vec<SignatureView<'a>>,
    mediators: &'a [String],
    effective_on: Date,
    confirm_by: Date,
    key_fingerprint: &'a str,
    verification: &'a str,
}

#[derive(Serialize)]
struct PartyView<'a> {
    side: &'a str,
    name: &'a str,
    identity_note: Option<&'a str>,
    address: Option<&'a str>,
    agent: Option<&'a str>,
}

/// `figures` is `226,200.00`, `capital` is 贰拾贰万陆仟贰佰元整.
#[derive(Serialize)]
struct Money {
    figures: String,
    capital: String,
}

#[derive(Serialize)]
struct ShareView<'a> {
    payer: &'a str,
    amount: Money,
}

#[derive(Serialize)]
struct InstalmentView<'a> {
    n: u32,
    payer: &'a str,
    amount: Money,
    due_on: Date,
}

#[derive(Serialize)]
struct SignatureView<'a> {
    name: &'a str,
    role_title: &'a str,
    kind: &'static str,
    on: Date,
}

/// `plain` is 2026年11月23日, `formal` is 二〇二六年十一月二十三日.
#[derive(Serialize)]
struct Date {
    plain: String,
    formal: String,
}

impl<'a> AgreementView<'a> {
    pub(super) fn new(document: &'a AgreementDocument) -> Result<Self, DocumentError> {
        let amount = |field: String, fen| money(fen).map_err(|source| DocumentError::Amount { field, source });
        let shares = document.shares.iter().enumerate().map(|(i, share)| {
            let amount = amount(format!("shares[{i}].amount_fen"), share.amount_fen)?;
            Ok(ShareView { payer: &share.payer, amount })
        });
        let instalments = document.instalments.iter().enumerate().map(|(i, instalment)| {
            let amount = amount(format!("instalments[{i}].amount_fen"), instalment.amount_fen)?;
            Ok(InstalmentView { n: instalment.n, payer: &instalment.payer, amount, due_on: date(instalment.due_on) })
        });
        Ok(Self {
            number: &document.number,
            committee: &document.committee,
            parties: document
                .parties
                .iter()
                .map(|party| PartyView {
                    side: &party.side,
                    name: &party.name,
                    identity_note: party.identity_note.as_deref(),
                    address: party.address.as_deref(),
                    agent: party.agent.as_deref(),
                })
                .collect(),
            facts: paragraphs(&document.facts),
            dispute: paragraphs(&document.dispute),
            responsibility: document.responsibility.as_deref().map(paragraphs).unwrap_or_default(),
            terms: document.terms.iter().map(|term| paragraphs(term)).collect(),
            total: match document.total_fen {
                0 => None,
                fen => Some(amount("total_fen".into(), fen)?),
            },
            shares: shares.collect::<Result<_, DocumentError>>()?,
            instalments: instalments.collect::<Result<_, DocumentError>>()?,
            manner: paragraphs(&document.manner),
            copies: document.copies,
            signatures: document
                .signatures
                .iter()
                .map(|signature| SignatureView {
                    name: &signature.name,
                    role_title: &signature.role_title,
                    kind: match signature.kind {
                        SignatureKind::Signature => "签名",
                        SignatureKind::Seal => "盖章",
                        SignatureKind::Fingerprint => "按指印",
                    },
                    on: date(signature.on),
                })
                .collect(),
            mediators: &document.mediators,
            effective_on: date(document.effective_on),
            confirm_by: date(document.confirm_by),
            key_fingerprint: &document.key_fingerprint,
            verification: &document.verification,
        })
    }
}

fn money(fen: i64) -> Result<Money, AmountError> {
    Ok(Money { figures: numerals::figures(fen)?, capital: numerals::capital(fen)? })
}

fn date(day: NaiveDate) -> Date {
    Date { plain: numerals::date(day), formal: numerals::formal_date(day) }
}

fn paragraphs(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}
