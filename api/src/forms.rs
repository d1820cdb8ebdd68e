//! From what the engine froze to what is printed, and to the package that a court or a notary receives.
//!
//! Here: which frozen field stands where on the form, and what a package holds. Not here: how a page looks
//! (`documents`), how a package is signed (`package`).

use crate::deliver;
use crate::documents::{
    AgreementDocument, AgreementInstalment, AgreementParty, AgreementShare, AgreementSignature, NoticeDocument, NoticeLanguage, SignatureKind,
    render_agreement, render_notice,
};
use crate::package::{self, PackageFile, PackageInput};
use crate::state::App;
use chrono::NaiveDate;
use heyi_engine::case::consequences::Notice;
use heyi_engine::case::sha256;
use heyi_engine::ids::{CaseId, uuid_v7};
use heyi_engine::store::StoreError;
use heyi_engine::store::cases::Loaded;
use heyi_engine::store::rows::{document, export};
use heyi_engine::store::seal::random;
use heyi_engine::submit::{CaseRules, SubmitError};
use heyi_engine::value::{Money, canonical_json};
use serde_json::{Map, Value as Json, json};

/// Why something cannot be printed or handed over.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The case has produced no such document.
    #[error("the case has no document of this kind")]
    None,
    /// A form that this program cannot print.
    #[error("there is no printer for the form `{0}`")]
    Unknown(String),
    /// The frozen data lack something.
    #[error("the document cannot be printed: {0}")]
    Print(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Forms that can be printed.
pub const PRINTABLE: [&str; 1] = ["agreement"];

/// Opens the frozen data of a document.
///
/// # Errors
/// When the case's key is gone, or the bytes were changed.
pub fn frozen(loaded: &Loaded, row: &document::Model) -> Result<Map<String, Json>, FormError> {
    let key = loaded.key.as_ref().ok_or(StoreError::Sealed)?;
    let bytes = key.open(&row.sealed, &format!("{}/{}/{}", row.case_id, row.form, row.seq))?;
    serde_json::from_slice(&bytes).map_err(|e| FormError::Print(e.to_string()))
}

/// Prints the youngest document of a form.
///
/// # Errors
/// When there is none, or it cannot be printed.
pub async fn print(app: &App, case: CaseId, form: &str) -> Result<Vec<u8>, FormError> {
    if !PRINTABLE.contains(&form) {
        return Err(FormError::Unknown(form.to_owned()));
    }
    let (loaded, rules) = app.engine.read(case).await?;
    let rows = app.engine.store().documents(case).await?;
    let row = rows.iter().rev().find(|r| r.form == form).ok_or(FormError::None)?;
    let data = frozen(&loaded, row)?;
    render(app, &rules, &data)
}

fn render(app: &App, rules: &CaseRules, data: &Map<String, Json>) -> Result<Vec<u8>, FormError> {
    let document = agreement(app, rules, data)?;
    // Setting a page keeps a processor busy, so it does not run among the tasks that wait for the network.
    let rendered = tokio::task::block_in_place(|| render_agreement(&document, &app.documents)).map_err(|e| FormError::Print(e.to_string()))?;
    Ok(rendered.pdf)
}

/// Prints a letter with its receipt of service.
///
/// # Errors
/// When it cannot be put into words or printed.
pub fn print_notice(app: &App, rules: &CaseRules, notice: &Notice) -> Result<Vec<u8>, FormError> {
    let language = NoticeLanguage::of(&notice.recipient.language);
    let committee = app.committee();
    let title = rules.definition.file.notices.get(&notice.kind).and_then(|n| n.title.get(language.tag()));
    let document = NoticeDocument {
        language,
        committee: one_line(committee.name.in_language(language.tag())),
        phone: one_line(&committee.phone),
        address: one_line(&committee.address),
        title: capitalised(&one_line(title.unwrap_or(&notice.kind))),
        code: one_line(&notice.code),
        reference: one_line(&notice.reference),
        number: number(&notice.id),
        addressee: one_line(&notice.recipient.name),
        // What people type may hold tabs; paper has none.
        text: deliver::printed(app, notice).map_err(FormError::Print)?.replace('\t', " "),
        issued_on: notice.at.date_naive(),
    };
    let rendered = tokio::task::block_in_place(|| render_notice(&document, &app.documents)).map_err(|e| FormError::Print(e.to_string()))?;
    Ok(rendered.pdf)
}

/// The number of a letter within its case, out of `{case}.{event}.{number}`.
fn number(id: &str) -> String {
    id.split_once('.').map_or(id, |(_, rest)| rest).to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A title as it stands above a letter: workflows write it as it stands in a sentence.
fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

fn text(data: &Map<String, Json>, field: &str) -> Option<String> {
    data.get(field).and_then(Json::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

fn fen(value: Option<&Json>) -> i64 {
    value.and_then(Json::as_str).and_then(|t| t.parse::<Money>().ok()).map_or(0, Money::fen)
}

fn date(value: Option<&Json>) -> Option<NaiveDate> {
    value.and_then(Json::as_str).and_then(|t| t.parse().ok())
}

fn list<'a>(data: &'a Map<String, Json>, field: &str) -> impl Iterator<Item = &'a Json> + use<'a> {
    data.get(field).and_then(Json::as_array).into_iter().flatten()
}

/// Who pays, in the words of the form.
fn payer(word: &str) -> String {
    match word {
        "hospital" => "医方",
        "insurer" => "保险机构",
        other => other,
    }
    .to_owned()
}

fn agreement(app: &App, rules: &CaseRules, data: &Map<String, Json>) -> Result<AgreementDocument, FormError> {
    let missing = |field: &str| FormError::Print(format!("{field} is missing"));
    let title = |name: &str| {
        let file = &rules.definition.file;
        let title = file
            .sides
            .get(name)
            .map(|s| &s.title)
            .or_else(|| file.seats.get(name).map(|s| &s.title))
            .or_else(|| file.roles.get(name).map(|r| &r.title));
        title.and_then(|t| t.get("zh-CN")).cloned().unwrap_or_else(|| name.to_owned())
    };
    let field = |person: &Json, name: &str| person.get(name).and_then(Json::as_str).map(str::to_owned);
    let is_party = |person: &&Json| person["party"] == json!(true);
    let people: Vec<&Json> = list(data, "people").collect();
    let agent_of = |party: &Json| {
        let acts = |agent: &&&Json| {
            let for_ = agent["acts_for"].as_array().map(Vec::as_slice).unwrap_or_default();
            agent["side"] == party["side"] && (for_.is_empty() || for_.contains(&party["id"]))
        };
        people.iter().filter(|p| !is_party(p)).find(acts).and_then(|agent| field(agent, "name"))
    };
    let parties = people
        .iter()
        .filter(|p| is_party(p))
        .map(|p| AgreementParty {
            side: title(p["side"].as_str().unwrap_or_default()),
            name: field(p, "name").unwrap_or_default(),
            identity_note: field(p, "identity"),
            address: field(p, "address"),
            agent: agent_of(p),
        })
        .collect();
    let instalments: Vec<AgreementInstalment> = (1u32..)
        .zip(list(data, "instalments"))
        .map(|(n, i)| {
            let due_on = date(i.get("due_on")).ok_or_else(|| missing("due_on"))?;
            Ok(AgreementInstalment { n, payer: payer(i["payer"].as_str().unwrap_or_default()), amount_fen: fen(i.get("amount")), due_on })
        })
        .collect::<Result<_, FormError>>()?;
    let shares = [("hospital_part", "hospital"), ("insurer_part", "insurer")]
        .iter()
        .map(|(field, who)| AgreementShare { payer: payer(who), amount_fen: fen(data.get(*field)) })
        .filter(|share| share.amount_fen > 0)
        .collect();
    let signatures = list(data, "signatures")
        .filter_map(|s| {
            let as_ = s["as"].as_str()?;
            let kind = if as_ == "director" { SignatureKind::Seal } else { SignatureKind::Signature };
            Some(AgreementSignature { name: field(s, "name")?, role_title: title(as_), kind, on: date(s.get("on"))? })
        })
        .collect();
    let hospital = text(data, "hospital").unwrap_or_default();
    Ok(AgreementDocument {
        number: text(data, "number").ok_or_else(|| missing("number"))?,
        committee: app.committee().name.zh_cn,
        parties,
        facts: text(data, "facts").ok_or_else(|| missing("facts"))?,
        dispute: format!("患者{}与{hospital}之间的医疗纠纷。", text(data, "patient").map(|p| format!("（{p}）")).unwrap_or_default()),
        responsibility: text(data, "responsibility"),
        terms: list(data, "terms").filter_map(Json::as_str).map(str::to_owned).collect(),
        total_fen: fen(data.get("total")),
        shares,
        instalments,
        manner: text(data, "manner").unwrap_or_default(),
        copies: data.get("copies").and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(3),
        signatures,
        mediators: text(data, "mediator").into_iter().collect(),
        effective_on: date(data.get("effective_on")).ok_or_else(|| missing("effective_on"))?,
        confirm_by: date(data.get("confirm_by")).ok_or_else(|| missing("confirm_by"))?,
        key_fingerprint: app.key.public().fingerprint(),
        verification: "heyi verify --key public-key.pem PACKAGE.zip".to_owned(),
    })
}

/// The package for a court or a notary: made once for a version of the agreement, and the same bytes ever after.
///
/// # Errors
/// When there is no agreement, or it cannot be printed.
pub async fn export(app: &App, case: CaseId, recipient: package::Recipient) -> Result<(export::Model, Vec<u8>), FormError> {
    let (loaded, rules) = app.engine.read(case).await?;
    let rows = app.engine.store().documents(case).await?;
    let row = rows.iter().rev().find(|r| r.form == "agreement").ok_or(FormError::None)?;
    let word = match recipient {
        package::Recipient::Court => "court",
        package::Recipient::Notary => "notary",
    };
    let key = loaded.key.as_ref().ok_or(StoreError::Sealed)?;
    if let Some(known) = app.engine.store().export_of(case, word).await?.filter(|e| e.version == row.seq) {
        let bytes = key.open(&known.sealed, &format!("{case}/export/{}", known.id))?;
        return Ok((known, bytes));
    }
    let data = frozen(&loaded, row)?;
    let pdf = render(app, &rules, &data)?;
    let events = app.engine.store().events(case, 0, u64::MAX >> 1).await?;
    let until: Vec<&(heyi_engine::case::event::Event, String)> =
        events.iter().filter(|(e, _)| i64::try_from(e.seq).is_ok_and(|seq| seq <= row.seq)).collect();
    let extract: Vec<Json> = until.iter().map(|(e, hash)| json!({"event": e, "hash": hash})).collect();
    let canonical = |json: &Json| {
        canonical_json(json)
            .map(|mut t| {
                t.push('\n');
                t.into_bytes()
            })
            .map_err(|e| FormError::Print(e.to_string()))
    };
    let structured = json!({
        "case": case, "reference": case.reference(), "workflow": rules.definition.file.workflow,
        "definition": rules.definition.digest, "agreement": data, "version": row.seq,
        "chain_head": until.last().map(|(_, hash)| hash.clone()),
    });
    let number = text(&data, "number").unwrap_or_default();
    let created_on = date(data.get("effective_on")).ok_or(FormError::None)?;
    let files = vec![
        PackageFile::new("agreement.pdf", pdf),
        PackageFile::new("case.json", canonical(&structured)?),
        PackageFile::new("events.json", canonical(&Json::Array(extract))?),
    ];
    let input = PackageInput {
        recipient,
        case_id: case.uuid(),
        agreement_number: number,
        committee: app.committee().name.zh_cn,
        contact: Some(app.config.committee.phone.clone()),
        created_on,
        files,
        key: &app.key,
    };
    let bytes = package::build(input).map_err(|e| FormError::Print(e.to_string()))?;
    let digest = sha256(&bytes);
    let id = uuid_v7(u64::try_from(app.engine.now().timestamp_millis()).unwrap_or(0), &random()).to_string();
    let model = export::Model {
        case_id: case.to_string(),
        id: id.clone(),
        recipient: word.to_owned(),
        sha256: digest,
        version: row.seq,
        created_at: app.engine.now().timestamp_millis(),
        sealed: key.seal(&bytes, &format!("{case}/export/{id}")),
    };
    app.engine.store().put_export(model.clone()).await?;
    Ok((model, bytes))
}
