//! A case that the asker may see. A handler that takes one of these cannot answer about any other.

use super::Api;
use crate::auth::{Actor, Eyes};
use crate::error::{Problem, ProblemCode};
use crate::words::labels::Labels;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use heyi_engine::ids::CaseId;
use heyi_engine::store::cases::{Loaded, updated_at};
use heyi_engine::store::views::sees_all;
use heyi_engine::submit::CaseRules;
use std::sync::Arc;

/// A case, who looks at it, and with which eyes.
pub struct Seen {
    /// The case's id.
    pub id: CaseId,
    /// The case.
    pub loaded: Arc<Loaded>,
    /// Its workflow, policy and calendar.
    pub rules: CaseRules,
    /// Who asks.
    pub actor: Actor,
    /// What they may see of it.
    pub eyes: Eyes,
}

impl FromRequestParts<Api> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (actor, id) = asked(parts, api).await?;
        Self::look(api, actor, id).await
    }
}

/// A case that the asker may see and means to change. The command will find out whether the case has moved on elsewhere, so what
/// is in memory will do, unless several versions are asked for.
pub struct Acting(pub Seen);

impl FromRequestParts<Api> for Acting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (actor, id) = asked(parts, api).await?;
        let versions = parts.headers.get_all(IF_MATCH).iter().map(|tags| tags.as_bytes().split(|b| *b == b',').count()).sum::<usize>();
        let engine = &api.app.engine;
        let found = if versions > 1 { engine.read(id).await } else { engine.glance(id).await };
        Seen::through(api, actor, id, found?).await.map(Self)
    }
}

async fn asked(parts: &mut Parts, api: &Api) -> Result<(Actor, CaseId), Problem> {
    let actor = Actor::from_request_parts(parts, api).await?;
    let params = RawPathParams::from_request_parts(parts, api).await.map_err(|_| Problem::not_found())?;
    let id = params.iter().find(|(name, _)| *name == "id").and_then(|(_, text)| text.parse::<CaseId>().ok());
    Ok((actor, id.ok_or_else(Problem::not_found)?))
}

impl Seen {
    /// Looks at a case.
    ///
    /// # Errors
    /// The same answer whether there is none or the asker may not know of it.
    pub async fn look(api: &Api, actor: Actor, id: CaseId) -> Result<Self, Problem> {
        let found = api.app.engine.read(id).await?;
        Self::through(api, actor, id, found).await
    }

    async fn through(api: &Api, actor: Actor, id: CaseId, (loaded, rules): (Arc<Loaded>, CaseRules)) -> Result<Self, Problem> {
        let eyes = Eyes::of(&rules.definition, &actor.account);
        let outside = eyes.as_ref().is_none_or(|e| !e.is_staff());
        let known = eyes.is_some() && sees_all(&actor.account, outside);
        if !known && !api.app.engine.store().may_see(id, &actor.account).await? {
            return Err(Problem::not_found());
        }
        // A role that the workflow does not know, and yet a person of the case: least is shown.
        Ok(Self { id, loaded, rules, actor, eyes: eyes.unwrap_or(Eyes::Outside) })
    }

    /// The workflow's names in the asker's language.
    #[must_use]
    pub fn labels<'a>(&'a self, api: &'a Api) -> Labels<'a> {
        Labels { definition: &self.rules.definition, words: &api.words, language: &self.actor.language }
    }

    /// Only the committee's staff goes on from here.
    ///
    /// # Errors
    /// Who may.
    pub fn staff_only(&self, api: &Api) -> Result<(), Problem> {
        if self.eyes.is_staff() {
            return Ok(());
        }
        let labels = self.labels(api);
        let roles = self.rules.definition.file.roles.iter().filter(|(_, r)| !r.outside).map(|(name, _)| labels.who(name));
        let wanted = roles.collect::<Vec<_>>().join(api.words.term(&self.actor.language, "and"));
        Err(Problem::new(ProblemCode::Forbidden).detail("wanted", wanted))
    }

    /// In a training room whose clock was moved back, a case that has entries from later waits for its time to come,
    /// so that no log runs backwards.
    ///
    /// # Errors
    /// When it does.
    pub fn in_time(&self, api: &Api) -> Result<(), Problem> {
        let last = updated_at(&self.loaded.row);
        if api.app.sandbox && api.app.engine.now() < last {
            let local = last.with_timezone(&self.rules.definition.zone);
            return Err(Problem::new(ProblemCode::ClockBehind).detail("latest", local.to_rfc3339()));
        }
        Ok(())
    }
}
