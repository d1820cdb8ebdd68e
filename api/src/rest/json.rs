//! Bodies: read within a limit of bytes and of time, and without guessing. A key that stands there twice, a field that is
//! not known, and JSON nested too deeply are refused by name; serde alone would let them pass (dependencies M10).

use super::Api;
use crate::error::{Problem, ProblemCode};
use crate::server::Limits;
use axum::body::{Body as Stream, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use heyi_engine::definition::nearest;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;

/// How deep a body may nest.
const MAX_DEPTH: usize = 32;
/// The longest key that an answer repeats.
const SHOWN_KEY_MAX: usize = 64;
/// A body beyond the limit is still read to this many times the limit, so that the asker hears the answer.
const PATIENCE: usize = 4;

/// What a body is read into.
pub trait Body: Sized {
    /// The fields that it may have.
    const FIELDS: &'static [&'static str];

    /// Takes the fields.
    ///
    /// # Errors
    /// The first field that does not fit.
    fn read(fields: &mut Fields) -> Result<Self, Problem>;
}

/// A JSON body, read strictly. An empty body is an empty object.
pub struct Strict<T>(pub T);

impl<T: Body> FromRequest<Api> for Strict<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = bytes(&parts.headers, body, api.limits.json_bytes, &api.limits).await?;
        let map = if bytes.is_empty() {
            Map::new()
        } else {
            json_type(&parts.headers)?;
            object(&bytes)?
        };
        let known = || T::FIELDS.iter().copied();
        if let Some(key) = map.keys().find(|key| !T::FIELDS.contains(&key.as_str())) {
            let problem = Problem::new(ProblemCode::UnknownField).detail("name", shown(key)).maybe("did_you_mean", nearest(key, known()));
            return Err(problem.detail("expected", T::FIELDS.join(", ")));
        }
        T::read(&mut Fields(map)).map(Strict)
    }
}

fn json_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" { Ok(()) } else { Err(Problem::new(ProblemCode::MediaType).detail("reason", "json")) }
}

/// The fields of a body.
pub struct Fields(Map<String, Json>);

impl Fields {
    /// A field that may be left out.
    ///
    /// # Errors
    /// When it is there and does not fit. The text never repeats the value.
    pub fn optional<T>(&mut self, name: &'static str, expected: &str, read: impl FnOnce(&Json) -> Option<T>) -> Result<Option<T>, Problem> {
        match self.0.remove(name) {
            None | Some(Json::Null) => Ok(None),
            Some(json) => read(&json).map(Some).ok_or_else(|| Problem::new(ProblemCode::BadField).detail("name", name).detail("expected", expected)),
        }
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// When it is missing or does not fit.
    pub fn required<T>(&mut self, name: &'static str, expected: &str, read: impl FnOnce(&Json) -> Option<T>) -> Result<T, Problem> {
        let missing = || Problem::new(ProblemCode::BadField).detail("name", name).detail("reason", "missing").detail("expected", expected);
        self.optional(name, expected, read)?.ok_or_else(missing)
    }

    /// An object, empty when left out.
    ///
    /// # Errors
    /// When it is something else.
    pub fn object(&mut self, name: &'static str) -> Result<Json, Problem> {
        let object = self.optional(name, "an object", |json| json.is_object().then(|| json.clone()))?;
        Ok(object.unwrap_or_else(|| Json::Object(Map::new())))
    }
}

/// A text that parses.
pub fn parsed<T: std::str::FromStr>(json: &Json) -> Option<T> {
    json.as_str()?.parse().ok()
}

/// A key as an answer may repeat it: what looks like a name.
fn shown(key: &str) -> String {
    let name = key.len() <= SHOWN_KEY_MAX && !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if name { key.to_owned() } else { "…".to_owned() }
}

/// Reads a body to its end.
///
/// # Errors
/// When it is too large, too slow, pauses for too long, or breaks off.
pub async fn bytes(headers: &HeaderMap, body: Stream, limit: usize, limits: &Limits) -> Result<Vec<u8>, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()).and_then(|l| l.parse::<usize>().ok());
    let too_large = || Problem::new(ProblemCode::TooLarge).detail("limit", limit.to_string());
    if announced.is_some_and(|n| n > limit.saturating_mul(PATIENCE)) {
        return Err(too_large());
    }
    let read = async {
        let mut body = body;
        let mut out = Vec::with_capacity(announced.unwrap_or(0).min(limit));
        let mut seen = 0usize;
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let Ok(frame) = tokio::time::timeout(limits.pause, next).await else { return Err(Problem::new(ProblemCode::TooSlow)) };
            let Some(frame) = frame else { break };
            let Ok(frame) = frame else { return Err(Problem::new(ProblemCode::TooSlow)) };
            let Some(data) = frame.data_ref() else { continue };
            seen += data.len();
            if seen <= limit {
                out.extend_from_slice(data);
            } else if seen > limit.saturating_mul(PATIENCE) {
                break;
            }
        }
        if seen > limit { Err(too_large()) } else { Ok(out) }
    };
    // Nothing but the network is waited for here, so the time limit tears no work apart.
    tokio::time::timeout(limits.body, read).await.unwrap_or_else(|_| Err(Problem::new(ProblemCode::TooSlow)))
}

/// Reads a JSON object; each key once, at most [`MAX_DEPTH`] deep.
///
/// # Errors
/// What is wrong, and where.
pub fn object(bytes: &[u8]) -> Result<Map<String, Json>, Problem> {
    let found = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Node { depth: 0, found: &found }.deserialize(&mut reader).and_then(|json| reader.end().map(|()| json));
    match read {
        Ok(Json::Object(map)) => Ok(map),
        Ok(_) => Err(Problem::new(ProblemCode::BadJson).detail("reason", "object")),
        Err(error) => Err(found.into_inner().unwrap_or_else(|| {
            Problem::new(ProblemCode::BadJson).detail("line", error.line().to_string()).detail("column", error.column().to_string())
        })),
    }
}

/// One place of a body; what is wrong is put beside, as serde's errors hold only texts.
#[derive(Clone, Copy)]
struct Node<'f> {
    depth: usize,
    found: &'f RefCell<Option<Problem>>,
}

impl Node<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            self.found.replace(Some(Problem::new(ProblemCode::BadJson).detail("reason", "deep")));
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Json;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::from(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::from(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::from(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let node = self.deeper()?;
        let mut out = Vec::new();
        while let Some(item) = list.next_element_seed(node)? {
            out.push(item);
        }
        Ok(Json::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let node = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if out.contains_key(&key) {
                self.found.replace(Some(Problem::new(ProblemCode::DuplicateKey).detail("name", shown(&key))));
                return Err(A::Error::custom("a key stands there twice"));
            }
            let value = map.next_value_seed(node)?;
            out.insert(key, value);
        }
        Ok(Json::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        match object(text.as_bytes()) {
            Ok(map) => format!("{map:?}"),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn what_serde_would_let_pass_is_refused() {
        assert!(code(r#"{"a": {"b": 1, "b": 2}}"#).contains("DuplicateKey"));
        assert!(code(r#"{"a": 1} x"#).contains("BadJson"));
        assert!(code("[1]").contains("object"));
        let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
        assert!(code(&deep).contains("deep"));
        assert!(object(r#"{"a": [1, 2.5, "x", null, true, {}]}"#.as_bytes()).is_ok());
    }

    #[test]
    fn only_what_looks_like_a_name_is_repeated() {
        assert_eq!(shown("claim_amount"), "claim_amount");
        assert_eq!(shown("王某 的病历"), "…");
    }
}
