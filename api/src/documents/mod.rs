//! Printed documents: frozen data in, PDF bytes out.
//!
//! What lives here: the data of a document ([`AgreementDocument`], [`NoticeDocument`]), its checks, the fonts and templates, and the
//! rendering with typst to PDF/A-2a + PDF/UA-1. The same data, template and fonts give the same bytes each time, on
//! each machine: there is no clock, no network and no file access while rendering.
//!
//! What does not: which case may have a document and when (the engine), where the bytes are kept (the store), and how
//! they are packed for a court or notary (`package`). Two have a template so far: the agreement, 人民调解协议书 (form F11),
//! and the notice on paper with its receipt of service, 送达回证 (form F21).

mod agreement;
mod fonts;
mod notice;
pub mod numerals;
mod render;
mod sample;
mod templates;
mod view;

pub use agreement::{
    AgreementDocument, AgreementInstalment, AgreementParty, AgreementShare, AgreementSignature, MAX_CHARACTERS, MAX_ITEMS, SignatureKind,
};
pub use notice::{NoticeDocument, NoticeLanguage, render_notice};
pub use render::{DocumentError, Rendered, check_agreement, render_agreement};
pub use templates::{TemplateFolderError, Templates};
