//! `/cases/{id}/files`: evidence and scans, hashed, and of the type that they say.

use super::Api;
use super::actions::submit;
use super::json::bytes;
use super::query::{Params, Steering};
use super::seen::Seen;
use super::views::versioned;
use crate::auth::Eyes;
use crate::error::{Problem, ProblemCode, ProblemDocument};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use heyi_engine::case::decide::Command;
use heyi_engine::case::{File, sha256};
use heyi_engine::ids::{AccountId, FileId, LegalTime, PersonId, ProceedingId, uuid_v7};
use heyi_engine::scenario::FileToStore;
use heyi_engine::store::StoreError;
use heyi_engine::store::seal::random;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// The types that are taken.
const TYPES: [&str; 4] = ["application/pdf", "image/png", "image/jpeg", "text/plain"];
/// The longest name of a file, in characters.
const NAME_MAX_CHARS: usize = 120;

/// A file that was taken.
#[derive(Serialize, ToSchema)]
pub struct FileView {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: FileId,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
    /// Size in bytes.
    pub size: usize,
    /// Its type.
    pub media_type: &'static str,
    /// The kind of paper; none for other evidence.
    pub paper: Option<String>,
    /// The proceeding it belongs to.
    pub proceeding: Option<String>,
    /// The version of the case now.
    pub version: u64,
}

/// Hand in a file: its bytes are the body.
#[utoipa::path(post, operation_id = "hand_in_file", path = "/cases/{id}/files", tag = "files",
    params(
        ("id" = Uuid, Path),
        ("paper" = Option<String>, Query, description = "The kind of paper, as the workflow names it; other evidence when left out"),
        ("proceeding" = Option<String>, Query, description = "The proceeding; the youngest that fits when left out"),
        ("name" = Option<String>, Query, description = "What it is called, without anybody's name"),
        ("for" = Option<Uuid>, Query, description = "The person handed in for"),
        ("effective_on" = Option<String>, Query, description = "When it counts in law"),
        ("Idempotency-Key" = Option<String>, Header),
        ("If-Match" = Option<String>, Header),
    ),
    request_body(content((String = "application/pdf"), (String = "image/png"), (String = "image/jpeg"), (String = "text/plain"))),
    responses(
        (status = 201, body = FileView, headers(("Location" = String))),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json", description = "Refused"),
        (status = 413, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, body = ProblemDocument, content_type = "application/problem+json", description = "A type that is not taken, or content that is not what its type says"),
    ))]
pub async fn upload(
    State(api): State<Api>,
    seen: Seen,
    steering: Steering,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let params = params.only(&["paper", "proceeding", "name", "for", "effective_on"])?;
    let proceeding = params.read("proceeding", "p3", |t| t.parse::<ProceedingId>().ok())?;
    let for_ = params.read("for", "a person's id", |t| t.parse::<PersonId>().ok())?;
    let effective_on = params.read("effective_on", "2026-03-02", |t| t.parse::<LegalTime>().ok())?;
    let media_type = declared(&headers)?;
    let bytes = bytes(&headers, body, api.limits.file_bytes, &api.limits).await?;
    check(media_type, &bytes)?;
    let sha256 = sha256(&bytes);
    let id = file_id(&seen, &steering, &sha256);
    let name = params.text("name").map_or_else(|| params.text("paper").unwrap_or("file").to_owned(), file_name);
    let mut input = json!({"file": id, "sha256": sha256, "size": bytes.len(), "media_type": media_type});
    if let Some(paper) = params.text("paper") {
        input["paper"] = json!(paper);
    }
    let command = Command { action: "case.file".to_owned(), proceeding, input, for_, evidence: Vec::new(), effective_on };
    let size = bytes.len();
    let file = FileToStore { id, name, media_type: media_type.to_owned(), bytes };
    let committed = submit(&api, &seen, steering, command, Some(file)).await?;
    let case = &committed.loaded.case;
    let kept = case.files.iter().find(|f| f.id == id);
    let view = FileView {
        id,
        sha256,
        size,
        media_type,
        paper: kept.and_then(|f| f.paper.clone()),
        proceeding: kept.map(|f| f.proceeding.to_string()),
        version: case.version,
    };
    let mut response = versioned(case.version, (StatusCode::CREATED, Json(view)));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/cases/{}/files/{id}", seen.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// A repeated request names the same file: with a key, the id follows from it.
fn file_id(seen: &Seen, steering: &Steering, digest: &str) -> FileId {
    let ms = u64::try_from(seen.loaded.row.opened_at).unwrap_or(0);
    let bytes: [u8; 16] = match &steering.key {
        None => random(),
        Some(key) => {
            let all = sha256(format!("{}\n{}\n{key}\n{digest}", seen.id, seen.actor.account.id).as_bytes());
            let mut out = [0; 16];
            out.copy_from_slice(&all.as_bytes()[..16]);
            out
        }
    };
    FileId::new(uuid_v7(ms, &bytes))
}

fn not_taken(reason: &str) -> Problem {
    Problem::new(ProblemCode::MediaType).detail("reason", reason).detail("expected", TYPES.join(", "))
}

fn declared(headers: &HeaderMap) -> Result<&'static str, Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    TYPES.into_iter().find(|t| *t == essence).ok_or_else(|| not_taken("type"))
}

/// Looks at the first bytes, or, for text, at all of it.
fn check(media_type: &str, bytes: &[u8]) -> Result<(), Problem> {
    if bytes.is_empty() {
        return Err(not_taken("empty"));
    }
    let right = match media_type {
        "application/pdf" => bytes.starts_with(b"%PDF-"),
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        _ => std::str::from_utf8(bytes).is_ok_and(|t| !t.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))),
    };
    if right { Ok(()) } else { Err(not_taken("content")) }
}

/// A name without folders and control characters.
fn file_name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS).collect();
    if name.trim().is_empty() { "file".to_owned() } else { name }
}

/// The files that the asker may read: staff all, others those that they or their side handed in.
///
/// # Errors
/// When the database fails.
pub async fn visible<'s>(api: &Api, seen: &'s Seen) -> Result<Vec<&'s File>, Problem> {
    let mut out = Vec::new();
    for file in &seen.loaded.case.files {
        if seen.eyes.is_staff() || is_own(api, seen, file).await? {
            out.push(file);
        }
    }
    Ok(out)
}

async fn is_own(api: &Api, seen: &Seen, file: &File) -> Result<bool, Problem> {
    let events = api.app.engine.store().events(seen.id, file.seq.saturating_sub(1), 1).await?;
    let me = &seen.actor.account;
    let Some((event, _)) = events.first() else { return Ok(false) };
    let entered_by = |id: AccountId| event.acted.entered_by == Some(id) || event.acted.who == heyi_engine::case::event::Who::Account(id);
    Ok(entered_by(me.id) || matches!(&seen.eyes, Eyes::Side(side) if *side == event.acted.as_))
}

/// A file that was handed in.
#[utoipa::path(get, operation_id = "read_file", path = "/cases/{id}/files/{file}", tag = "files", params(("id" = Uuid, Path), ("file" = Uuid, Path)),
    responses(
        (status = 200, description = "The bytes as they were handed in, always as an attachment", content((Vec<u8> = "application/pdf"), (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (String = "text/plain"))),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn download(State(api): State<Api>, seen: Seen, Path(ids): Path<(String, String)>) -> Result<Response, Problem> {
    let (_, file) = ids;
    let wanted: FileId = file.parse().map_err(|_| Problem::not_found())?;
    let known = visible(&api, &seen).await?.into_iter().any(|f| f.id == wanted);
    let row = if known { api.app.engine.store().file(seen.id, &wanted.to_string()).await? } else { None };
    let row = row.ok_or_else(Problem::not_found)?;
    let key = seen.loaded.key.as_ref().ok_or(StoreError::Sealed)?;
    let bound = format!("{}/{}", row.case_id, row.id);
    let bytes = key.open(&row.sealed, &bound)?;
    let name = key.open(&row.sealed_name, &format!("{bound}/name"))?;
    Ok(attachment(&row.media_type, &String::from_utf8_lossy(&name), bytes))
}

/// Bytes that a browser saves and never shows in our name.
#[must_use]
pub fn attachment(media_type: &str, name: &str, bytes: Vec<u8>) -> Response {
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    let media_type = TYPES.into_iter().chain(["application/zip"]).find(|t| *t == media_type).unwrap_or("application/octet-stream");
    let shown = if media_type == "text/plain" { "text/plain; charset=utf-8" } else { media_type };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shown));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{encoded}")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_must_be_what_its_type_says() {
        assert!(check("application/pdf", b"%PDF-1.7").is_ok());
        assert!(check("application/pdf", b"MZ").is_err());
        assert!(check("text/plain", "调解记录\n".as_bytes()).is_ok());
        assert!(check("text/plain", b"\x00").is_err());
        assert!(check("image/png", b"").is_err());
    }

    #[test]
    fn names_lose_their_folders() {
        assert_eq!(file_name("../../etc/passwd"), "passwd");
        assert_eq!(file_name("C:\\x\\扫描.pdf"), "扫描.pdf");
        assert_eq!(file_name("\n"), "file");
    }
}
