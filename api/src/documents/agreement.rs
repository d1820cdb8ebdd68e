//! The data of an agreement (人民调解协议书) as frozen when it was concluded, and what must hold between its parts.
//!
//! Not here: how it looks (the template) and where its values come from (the case). No law is decided here either; the
//! checks only keep a document from contradicting itself on paper.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::numerals;
use super::render::DocumentError;

/// The most characters that all values of one document may have together.
pub const MAX_CHARACTERS: usize = 100_000;
/// The longest list (parties, terms, shares, instalments, signatures, mediators) in a document.
pub const MAX_ITEMS: usize = 500;

/// Everything that an agreement prints. Frozen data: stored as JSON beside the PDF, and enough to make it again.
///
/// Its texts are plain text. A line break starts a new paragraph in `facts`, `dispute`, `responsibility`, `terms` and
/// `manner`; elsewhere it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementDocument {
    /// The number (编号) from the committee's series.
    pub number: String,
    /// The committee's full name (人民调解委员会).
    pub committee: String,
    /// The parties (当事人), in the order of printing.
    pub parties: Vec<AgreementParty>,
    /// The main facts (主要事实).
    pub facts: String,
    /// What was in dispute (争议事项).
    pub dispute: String,
    /// Each side's responsibility (各方责任), where the parties wish to have it stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsibility: Option<String>,
    /// The terms (协议内容), one item each; the template numbers them.
    pub terms: Vec<String>,
    /// The sum agreed, in 分; 0 when nothing is to be paid.
    pub total_fen: i64,
    /// Who bears how much of it. Empty, or adding up to the total.
    pub shares: Vec<AgreementShare>,
    /// When it falls due. Empty, or adding up to the total, and to each payer's share.
    pub instalments: Vec<AgreementInstalment>,
    /// Manner of payment (履行方式); may be empty.
    pub manner: String,
    /// Number of copies (份数), one for each party and one for the committee at least (调解法 art. 29).
    pub copies: u32,
    /// Who signed, sealed or put a fingerprint, and when.
    pub signatures: Vec<AgreementSignature>,
    /// The mediators' names (人民调解员).
    pub mediators: Vec<String>,
    /// The day on which the agreement took effect (条例 art. 39).
    pub effective_on: NaiveDate,
    /// The last day on which the parties may jointly apply for 司法确认 (民诉法 art. 205).
    pub confirm_by: NaiveDate,
    /// Fingerprint of the installation's public key, as `package::PublicKey::fingerprint` writes it.
    pub key_fingerprint: String,
    /// How a reader can check the electronic copy: an address, or a command.
    pub verification: String,
}

/// One party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementParty {
    /// The side, as printed: 患方, 医方.
    pub side: String,
    /// Name of the person or the hospital.
    pub name: String,
    /// Identity: kind and number of a paper, relation to the patient, credit code (统一社会信用代码).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_note: Option<String>,
    /// Address (住址, 住所).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Agent or representative (代理人).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// What one payer bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementShare {
    /// Who pays.
    pub payer: String,
    /// How much, in 分.
    pub amount_fen: i64,
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementInstalment {
    /// Its number (期数), from 1.
    pub n: u32,
    /// Who pays.
    pub payer: String,
    /// How much, in 分.
    pub amount_fen: i64,
    /// The last day on which it is in time.
    pub due_on: NaiveDate,
}

/// One signature on the paper original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementSignature {
    /// Who signed.
    pub name: String,
    /// In which role, as printed: 患方, 医方代理人, 人民调解员, 记录人.
    pub role_title: String,
    /// In which form.
    pub kind: SignatureKind,
    /// On which day.
    pub on: NaiveDate,
}

/// The three forms that the law knows (调解法 art. 29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureKind {
    /// 签名
    Signature,
    /// 盖章
    Seal,
    /// 按指印
    Fingerprint,
}

/// Whether a value may hold line breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Many,
}

impl AgreementDocument {
    /// Each text with its field name, for checks that look at every character.
    pub(super) fn texts(&self) -> Vec<(String, &str, Lines)> {
        let mut all: Vec<(String, &str, Lines)> = Vec::new();
        let mut one = |field: String, text| all.push((field, text, Lines::One));
        one("number".into(), self.number.as_str());
        one("committee".into(), &self.committee);
        one("key_fingerprint".into(), &self.key_fingerprint);
        one("verification".into(), &self.verification);
        for (i, party) in self.parties.iter().enumerate() {
            one(format!("parties[{i}].side"), &party.side);
            one(format!("parties[{i}].name"), &party.name);
            let optional = [("identity_note", &party.identity_note), ("address", &party.address), ("agent", &party.agent)];
            for (name, text) in optional {
                if let Some(text) = text {
                    one(format!("parties[{i}].{name}"), text);
                }
            }
        }
        for (i, share) in self.shares.iter().enumerate() {
            one(format!("shares[{i}].payer"), &share.payer);
        }
        for (i, instalment) in self.instalments.iter().enumerate() {
            one(format!("instalments[{i}].payer"), &instalment.payer);
        }
        for (i, signature) in self.signatures.iter().enumerate() {
            one(format!("signatures[{i}].name"), &signature.name);
            one(format!("signatures[{i}].role_title"), &signature.role_title);
        }
        for (i, mediator) in self.mediators.iter().enumerate() {
            one(format!("mediators[{i}]"), mediator);
        }
        let mut many = |field: String, text| all.push((field, text, Lines::Many));
        many("facts".into(), self.facts.as_str());
        many("dispute".into(), &self.dispute);
        many("manner".into(), &self.manner);
        if let Some(text) = &self.responsibility {
            many("responsibility".into(), text);
        }
        for (i, term) in self.terms.iter().enumerate() {
            many(format!("terms[{i}]"), term);
        }
        all
    }

    /// Whether the parts agree with each other and stay within the limits.
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        self.check_limits()?;
        self.check_required()?;
        self.check_sums()
    }

    fn check_limits(&self) -> Result<(), DocumentError> {
        for (field, length) in [
            ("parties", self.parties.len()),
            ("terms", self.terms.len()),
            ("shares", self.shares.len()),
            ("instalments", self.instalments.len()),
            ("signatures", self.signatures.len()),
            ("mediators", self.mediators.len()),
        ] {
            if length > MAX_ITEMS {
                return Err(DocumentError::TooLong { field: field.into(), limit: MAX_ITEMS });
            }
        }
        let mut left = MAX_CHARACTERS;
        for (field, text, _) in self.texts() {
            left = left.checked_sub(text.chars().count()).ok_or(DocumentError::TooLong { field, limit: MAX_CHARACTERS })?;
        }
        Ok(())
    }

    fn check_required(&self) -> Result<(), DocumentError> {
        let missing = |field: &str| Err(DocumentError::Missing { field: field.into() });
        for (field, empty) in [
            ("parties", self.parties.is_empty()),
            ("terms", self.terms.is_empty()),
            ("mediators", self.mediators.is_empty()),
            ("copies", self.copies == 0),
        ] {
            if empty {
                return missing(field);
            }
        }
        for (field, text, _) in self.texts() {
            // 履行方式 may stand in the terms instead.
            if text.trim().is_empty() && field != "manner" {
                return missing(&field);
            }
        }
        if self.confirm_by < self.effective_on {
            return Err(DocumentError::Contradiction("confirm_by lies before effective_on"));
        }
        Ok(())
    }

    fn check_sums(&self) -> Result<(), DocumentError> {
        let amount = |field: String, fen: i64| numerals::figures(fen).map(drop).map_err(|source| DocumentError::Amount { field, source });
        amount("total_fen".into(), self.total_fen)?;
        for (i, share) in self.shares.iter().enumerate() {
            amount(format!("shares[{i}].amount_fen"), share.amount_fen)?;
        }
        for (i, instalment) in self.instalments.iter().enumerate() {
            amount(format!("instalments[{i}].amount_fen"), instalment.amount_fen)?;
        }
        let sum = |amounts: &mut dyn Iterator<Item = i64>| {
            // Below 500 × 10^18, so i128 holds it.
            amounts.map(i128::from).sum::<i128>()
        };
        let total = i128::from(self.total_fen);
        if !self.shares.is_empty() && sum(&mut self.shares.iter().map(|s| s.amount_fen)) != total {
            return Err(DocumentError::Contradiction("the shares do not add up to the total"));
        }
        if self.instalments.is_empty() {
            return Ok(());
        }
        if sum(&mut self.instalments.iter().map(|i| i.amount_fen)) != total {
            return Err(DocumentError::Contradiction("the instalments do not add up to the total"));
        }
        for payer in self.shares.iter().map(|share| &share.payer) {
            let owed = sum(&mut self.shares.iter().filter(|s| &s.payer == payer).map(|s| s.amount_fen));
            let planned = sum(&mut self.instalments.iter().filter(|i| &i.payer == payer).map(|i| i.amount_fen));
            if owed != planned {
                return Err(DocumentError::Contradiction("a payer's instalments do not add up to the share"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::numerals::AmountError;
    use super::*;

    fn broken(change: impl FnOnce(&mut AgreementDocument)) -> DocumentError {
        let mut document = AgreementDocument::sample_full();
        change(&mut document);
        document.check().expect_err("must be refused")
    }

    #[test]
    fn samples_hold_and_survive_json() {
        for document in [AgreementDocument::sample_full(), AgreementDocument::sample_bare()] {
            document.check().expect("a sound sample");
            let json = serde_json::to_string(&document).expect("JSON");
            assert_eq!(serde_json::from_str::<AgreementDocument>(&json).expect("parsed"), document);
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let mut json = serde_json::to_value(AgreementDocument::sample_bare()).expect("JSON");
        json["totl_fen"] = 1.into();
        assert!(serde_json::from_value::<AgreementDocument>(json).is_err());
    }

    #[test]
    fn sums_must_agree() {
        assert!(matches!(broken(|d| d.total_fen += 1), DocumentError::Contradiction(_)));
        assert!(matches!(broken(|d| d.instalments[0].amount_fen += 1), DocumentError::Contradiction(_)));
        assert!(matches!(broken(|d| d.instalments.swap_payers()), DocumentError::Contradiction(_)));
        assert!(matches!(
            broken(|d| d.shares[1].amount_fen = -1),
            DocumentError::Amount { field, source: AmountError::Negative } if field == "shares[1].amount_fen"
        ));
    }

    trait SwapPayers {
        fn swap_payers(&mut self);
    }
    impl SwapPayers for Vec<AgreementInstalment> {
        fn swap_payers(&mut self) {
            let last = self.len() - 1;
            let payer = self[0].payer.clone();
            self[0].payer = std::mem::replace(&mut self[last].payer, payer);
        }
    }

    #[test]
    fn what_the_form_needs_must_be_there() {
        for (field, change) in [
            ("parties", (|d| d.parties.clear()) as fn(&mut AgreementDocument)),
            ("terms", |d| d.terms.clear()),
            ("mediators", |d| d.mediators.clear()),
            ("copies", |d| d.copies = 0),
            ("parties[1].name", |d| d.parties[1].name = " ".into()),
            ("number", |d| d.number.clear()),
        ] {
            assert!(matches!(broken(change), DocumentError::Missing { field: f } if f == field), "{field}");
        }
        assert!(matches!(broken(|d| d.confirm_by = d.effective_on.pred_opt().expect("a day")), DocumentError::Contradiction(_)));
    }

    #[test]
    fn the_limits_are_kept() {
        assert!(matches!(broken(|d| d.facts = "字".repeat(MAX_CHARACTERS)), DocumentError::TooLong { .. }));
        assert!(matches!(broken(|d| d.terms = vec!["一".into(); MAX_ITEMS + 1]), DocumentError::TooLong { field, .. } if field == "terms"));
    }
}
