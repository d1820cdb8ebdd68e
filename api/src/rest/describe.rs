//! The frame of the description: who we are, how one shows a token, and what every route may answer. What a route itself
//! takes and gives stands beside its handler.

use super::PREFIX;
use crate::error::PROBLEM_JSON;
use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, License, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, SecurityRequirement,
};

/// The frame without routes.
pub(super) fn base() -> OpenApi {
    let about = "Mediation of medical disputes, from reception to notary and court. What can be done in a case is asked at `…/actions`; \
                 a refusal says what would unlock it and names the rule of law.";
    let license = License::builder().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT")).build();
    let info = Info::builder().title("Heyi").version(env!("CARGO_PKG_VERSION")).description(Some(about)).license(Some(license)).build();
    let token = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("A token that this installation has handed out")).build();
    let components = Components::builder().security_scheme("token", SecurityScheme::Http(token)).build();
    let security = [SecurityRequirement::new("token", Vec::<String>::new())];
    OpenApiBuilder::new().info(info).components(Some(components)).security(Some(security)).build()
}

/// Adds what all routes have in common, and a word to every answer that has none.
pub(super) fn complete(mut openapi: OpenApi) -> OpenApi {
    for (path, item) in &mut openapi.paths.paths {
        let guarded = path.starts_with(PREFIX);
        for operation in operations(item) {
            let responses = &mut operation.responses.responses;
            if guarded {
                for (status, description) in
                    [("400", "A parameter, header or body that cannot be read"), ("401", "No token, or one that nobody was given")]
                {
                    responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(description)));
                }
            }
            for (status, response) in responses.iter_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    let reason = status.parse::<StatusCode>().ok().and_then(|s| s.canonical_reason());
                    response.description = reason.unwrap_or("Answer").to_owned();
                }
            }
        }
    }
    openapi
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDocument"))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}
