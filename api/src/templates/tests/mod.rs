//! Shapes and folders that the tests of templates share.

mod mistakes;
mod shipped;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const LANGUAGES: [&str; 2] = ["zh-CN", "en"];

fn field(text: &str) -> Field {
    let (name, ty) = text.split_once(": ").expect("name: type");
    let choice = |keys: &str| FieldType::Choice(keys.split(' ').map(str::to_owned).collect());
    let ty = match ty {
        "text" => FieldType::Text,
        "int" => FieldType::Int,
        "money" => FieldType::Money,
        "date" => FieldType::Date,
        "instant" => FieldType::Instant,
        "bool" => FieldType::Bool,
        "list" => FieldType::TextList,
        keys => choice(keys),
    };
    Field { name: name.to_owned(), ty, optional: false }
}

fn shape(kind: &str, fields: &str) -> Shape {
    Shape { kind: kind.to_owned(), fields: fields.split("; ").filter(|f| !f.is_empty()).map(field).collect() }
}

/// The `notices:` of workflows/medical-dispute/workflow.yaml, with the types that its expressions have.
fn shipped() -> Vec<Shape> {
    [
        ("application_received", "received_on: date; hospital: text"),
        ("correction_list", "missing: text; due_on: date"),
        ("consent_request", "hospital: text; due_on: date; silence_is_refusal: bool"),
        ("acceptance", "number: text; accepted_on: date; finish_by: date"),
        ("non_acceptance", "reason: text"),
        ("withdrawal_recorded", "withdrawn_on: date"),
        ("mediator_named", "mediator: text"),
        ("mediator_replaced", ""),
        ("session_invitation", "at: instant; place: text"),
        ("session_result", "result: agreed continue adjourned failed; next_step: text"),
        ("proposal_ready", "proposed_on: date"),
        ("draft_ready", "drafted_on: date"),
        ("ended_without", "ended_on: date; requested_on: date"),
        ("lapsed", "limit: date; requested_on: date"),
        ("taken_over", "ended_on: date"),
        ("hearing_consent", "invited: text"),
        ("hearing_invitation", "at: instant; place: text"),
        ("hearing_off", ""),
        ("signing_invitation", "at: instant; place: text"),
        ("incident_alert", "hospital: text; place: text; level: attention major critical; people: int; at: instant"),
        ("agreement_effective", "number: text; effective_on: date; confirm_by: date"),
        ("obligation_due", "amount: money; due_on: date"),
        ("payment_recorded", "amount: money; paid_on: date"),
        ("breach", "amount: money; due_on: date"),
        ("closed", "closed_on: date"),
        ("clock_warning", "limit: date"),
        ("submitted", "submitted_on: date; office: text"),
        ("accepted_elsewhere", "accepted_on: date; office: text"),
        ("outcome_elsewhere", "decided_on: date; office: text; result: issued refused terminated confirmed dismissed not_accepted"),
        ("window_lapsed", "window: date"),
        ("stand_down", "ended_on: date"),
        ("appraisal_request", "questions: text"),
        ("engagement", "body: text"),
        ("expert_engagement", "at: instant; place: text"),
        ("opinion_received", "received_on: date; limit: date"),
    ]
    .map(|(kind, fields)| shape(kind, fields))
    .into()
}

/// The same with every field optional: shipped templates must bear whatever a workflow leaves out.
fn all_optional() -> Vec<Shape> {
    let mut shapes = shipped();
    let fields = shapes.iter_mut().flat_map(|s| &mut s.fields);
    fields.for_each(|f| f.optional = true);
    shapes
}

fn load(shapes: &[Shape], folder: Option<&Path>) -> Result<Templates, String> {
    Templates::load(shapes, &LANGUAGES, folder).map_err(told)
}

fn told(mistakes: Vec<TemplateMistake>) -> String {
    mistakes.iter().map(|m| format!("{m}\n")).collect()
}

/// A folder of own templates, gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("heyi-templates-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("mail")).expect("a folder");
        Folder(path)
    }

    fn put(&self, path: &str, text: &str) -> &Folder {
        let path = self.0.join("mail").join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    /// A whole notice in one language.
    fn notice(&self, place: &str, subject: &str, text: &str, html: &str) -> &Folder {
        self.put(&format!("{place}/subject.txt.hbs"), subject)
            .put(&format!("{place}/body.txt.hbs"), text)
            .put(&format!("{place}/body.html.hbs"), html)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
