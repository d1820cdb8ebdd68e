//! How long it takes to put one notice into words, and to print one agreement as PDF/A.
//!
//! `cargo bench -p heyi --bench render`. People and numbers are made up.

use criterion::{Criterion, criterion_group, criterion_main};
use heyi_api::documents::{self, AgreementDocument, render_agreement};
use heyi_api::templates::{Committee, Field, FieldType, Localised, NoticeView, Recipient, Shape, Templates};
use serde_json::json;
use std::hint::black_box;

/// The notice of acceptance, as the shipped workflow declares it.
fn shape() -> Shape {
    let field = |name: &str, ty| Field { name: name.to_owned(), ty, optional: true };
    Shape {
        kind: "acceptance".to_owned(),
        fields: vec![
            field("number", FieldType::Text),
            field("accepted_on", FieldType::Date),
            field("finish_by", FieldType::Date),
            field("materials_by", FieldType::Date),
        ],
    }
}

fn notice(language: &str) -> NoticeView {
    let data = json!({"number": "医调受〔2026〕12号", "accepted_on": "2026-03-02", "finish_by": "2026-04-14", "materials_by": "2026-03-09"});
    NoticeView {
        kind: "acceptance".to_owned(),
        code: "N05".to_owned(),
        language: language.to_owned(),
        recipient: Recipient { name: "某甲".to_owned(), side: Some("patient_side".to_owned()), role: None },
        committee: Committee {
            name: Localised { zh_cn: "某县医疗纠纷人民调解委员会".to_owned(), en: "Mediation Committee".to_owned() },
            phone: "0000-0000000".to_owned(),
            address: "某县某路1号".to_owned(),
        },
        reference: "HY-000000000001".to_owned(),
        issued_on: "2026-03-02".to_owned(),
        data: data.as_object().cloned().unwrap_or_default(),
        correction_of: None,
        paper: false,
    }
}

fn render(c: &mut Criterion) {
    let templates = Templates::load(&[shape()], &["zh-CN", "en"], None)
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    for language in ["zh-CN", "en"] {
        let view = notice(language);
        c.bench_function(&format!("one notice in {language}, as subject, text and HTML"), |b| {
            b.iter(|| black_box(templates.render(&view)).expect("it is put into words"))
        });
    }
    let pages = documents::Templates::embedded();
    let mut group = c.benchmark_group("documents");
    group.sample_size(20);
    for (name, document) in [("full", AgreementDocument::sample_full()), ("bare", AgreementDocument::sample_bare())] {
        group.bench_function(format!("one {name} agreement as PDF/A-2a and PDF/UA-1"), |b| {
            b.iter(|| black_box(render_agreement(&document, &pages)).expect("it is printed"))
        });
    }
    group.finish();
}

criterion_group!(benches, render);
criterion_main!(benches);
