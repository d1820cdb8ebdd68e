//! Somebody who knows nothing about the procedure but the name of the step they want in the end.
//!
//! They read what is installed (`GET /workflows/{name}`), look with every token at what can be done, take what is
//! allowed and brings them nearer, and where nothing is, do what the refusals say would unlock it. What is offered must
//! then be accepted: every refusal of an allowed action ends the walk as a failure.

use crate::app::TestApp;
use chrono::{DateTime, Duration, FixedOffset};
use serde_json::{Map, Value as Json, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// More steps than this mean that there is no way.
const MOST_STEPS: usize = 120;

/// The walk through one case.
pub struct Walk<'a> {
    app: &'a TestApp,
    case: String,
    goal: String,
    now: DateTime<FixedOffset>,
    /// Steps still to be taken to the goal, this one included, by `kind.transition`.
    distance: BTreeMap<String, usize>,
    sides: BTreeSet<String>,
    workflow: Json,
    taken: Vec<String>,
    tried: BTreeSet<String>,
}

/// An action on offer, or refused, to one of the tokens.
#[derive(Clone)]
struct Offer {
    who: String,
    action: Json,
    distance: usize,
}

impl Offer {
    fn name(&self) -> &str {
        text(&self.action["action"])
    }
    fn allowed(&self) -> bool {
        self.action["allowed"] == json!(true)
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn texts(json: &Json) -> Vec<&str> {
    list(json).filter_map(Json::as_str).collect()
}

impl<'a> Walk<'a> {
    /// Opens a case, and prepares a walk to a step such as `notarisation.issue`.
    pub async fn new(app: &'a TestApp, workflow: &str, goal: &str, now: &str) -> Walk<'a> {
        let description = app.get("director", &format!("/api/v1/workflows/{workflow}")).await.expect(200);
        let opened = app.post("intake_officer", "/api/v1/cases", &json!({"workflow": workflow, "facts": {}})).await.expect(201);
        Self {
            app,
            case: text(&opened["id"]).to_owned(),
            goal: goal.to_owned(),
            now: DateTime::parse_from_rfc3339(now).unwrap_or_default(),
            distance: distances(&description, goal),
            sides: list(&description["sides"]).map(|s| text(&s["name"]).to_owned()).collect(),
            workflow: description,
            taken: Vec::new(),
            tried: BTreeSet::new(),
        }
    }

    /// Walks until the goal has been taken.
    ///
    /// # Returns
    /// The case, and the steps in order.
    ///
    /// # Panics
    /// When there is no way, or when what was offered is refused.
    pub async fn run(mut self) -> (String, Vec<String>) {
        assert!(self.distance.len() > 1, "nothing in the workflow leads to {}", self.goal);
        while self.taken.len() < MOST_STEPS {
            let offers = self.offers().await;
            let took = match offers.iter().position(Offer::allowed) {
                // What is blocked and nearer comes first, if what blocks it can be removed.
                Some(best) if self.unlock(&offers, offers[best].distance).await => continue,
                Some(best) => {
                    let offer = offers[best].clone();
                    self.take(&offer).await;
                    offer.name() == self.goal
                }
                None if self.unlock(&offers, usize::MAX).await => continue,
                None => panic!(
                    "no way on after {:#?}; what is near: {:#?}",
                    self.taken,
                    offers.iter().take(6).map(|o| (&o.who, &o.action)).collect::<Vec<_>>()
                ),
            };
            if took {
                return (self.case, self.taken);
            }
        }
        panic!("not there after {MOST_STEPS} steps: {:#?}", self.taken);
    }

    /// What every token is offered or refused that leads to the goal, the nearest first.
    async fn offers(&self) -> Vec<Offer> {
        let case = self.app.get("director", &format!("/api/v1/cases/{}", self.case)).await.expect(200);
        let states: BTreeMap<&str, &str> = list(&case["proceedings"]).map(|p| (text(&p["id"]), text(&p["state"]))).collect();
        let mut out = Vec::new();
        for who in self.app.everybody() {
            for action in list(&self.actions(who).await) {
                let skip = ["automatic", "needs_evidence", "answered", "upload"].iter().any(|flag| action[*flag] == json!(true));
                let elsewhere = list(&action["refusals"]).any(|r| ["state", "proceeding", "limit", "closed"].contains(&text(&r["code"])));
                if skip || elsewhere {
                    continue;
                }
                let name = text(&action["action"]);
                let distance = match name.strip_suffix(".assent") {
                    Some(kind) => self.after_round(kind, states.get(text(&action["proceeding"])).copied().unwrap_or_default()),
                    None => self.distance.get(name).copied(),
                };
                if let Some(distance) = distance {
                    out.push(Offer { who: who.to_owned(), action: action.clone(), distance });
                }
            }
        }
        out.sort_by_key(|o| (o.distance, !o.allowed()));
        out
    }

    /// The distance of what a round of assents in this state leads to.
    fn after_round(&self, kind: &str, state: &str) -> Option<usize> {
        let kind = list(&self.workflow["kinds"]).find(|k| text(&k["name"]) == kind)?;
        let leaves = |t: &&Json| !t["auto"].is_null() && texts(&t["from"]).contains(&state);
        list(&kind["transitions"])
            .filter(leaves)
            .filter_map(|t| self.distance.get(&format!("{}.{}", text(&kind["name"]), text(&t["name"]))))
            .min()
            .copied()
    }

    async fn actions(&self, who: &str) -> Json {
        let answer = self.app.get(who, &format!("/api/v1/cases/{}/actions", self.case)).await;
        // The training room has people of other procedures too, whom this case does not concern.
        if answer.status == 404 { json!([]) } else { answer.expect(200)["actions"].clone() }
    }

    /// Who is allowed an action, and the action.
    async fn allowed(&self, name: &str, fits: impl Fn(&Json) -> bool) -> Option<(String, Json)> {
        for who in self.app.everybody() {
            let actions = self.actions(who).await;
            let found =
                list(&actions).find(|a| text(&a["action"]) == name && a["allowed"] == json!(true) && a["needs_evidence"] != json!(true) && fits(a));
            if let Some(found) = found {
                return Some((who.to_owned(), found.clone()));
            }
        }
        None
    }

    async fn take(&mut self, offer: &Offer) {
        let input = self.filled(&offer.action["input"], "", &Map::new());
        let mut body = json!({"input": input});
        if !offer.action["proceeding"].is_null() {
            body["proceeding"] = offer.action["proceeding"].clone();
        }
        self.post(&offer.who, offer.name(), &body).await;
    }

    async fn post(&mut self, who: &str, action: &str, body: &Json) {
        let answer = self.app.act(who, &self.case, action, body).await;
        assert_eq!(answer.status, 200, "{action} was offered to {who} and is refused with {body}: {}", String::from_utf8_lossy(&answer.bytes));
        self.taken.push(format!("{who}: {action}"));
    }

    /// Removes one obstacle of what is nearer than `than`, if a refusal says how.
    async fn unlock(&mut self, offers: &[Offer], than: usize) -> bool {
        for offer in offers.iter().filter(|o| !o.allowed() && o.distance < than) {
            let refusals: Vec<Json> = list(&offer.action["refusals"]).cloned().collect();
            // One that somebody else must take is looked at with that one's token.
            if refusals.iter().any(|r| text(&r["code"]) == "role" && !self.names_me(r, &offer.who)) {
                continue;
            }
            for refusal in &refusals {
                let mark = format!("{} {} {} {}", offer.who, offer.name(), text(&refusal["code"]), text(&refusal["what"]));
                if self.tried.insert(mark) && self.remove(offer, refusal).await {
                    return true;
                }
            }
        }
        false
    }

    fn names_me(&self, refusal: &Json, who: &str) -> bool {
        self.sides.contains(who) && text(&refusal["what"]).split(", ").any(|name| name == who)
    }

    async fn remove(&mut self, offer: &Offer, refusal: &Json) -> bool {
        let what = text(&refusal["what"]);
        match text(&refusal["code"]) {
            "party" | "role" => {
                let side =
                    what.split(", ").find(|s| *s == offer.who).or_else(|| what.split(", ").find(|s| self.sides.contains(*s))).unwrap_or_default();
                let given = Map::from_iter([
                    ("side".to_owned(), json!(side)),
                    ("name".to_owned(), json!(format!("某{side}"))),
                    ("email".to_owned(), json!("someone@example.org")),
                ]);
                self.own_action("case.person", &given, |_| true).await
            }
            "paper" => {
                let Some((who, _)) = self.allowed_upload(&offer.who).await else { return false };
                let proceeding = match text(&offer.action["proceeding"]) {
                    "" => String::new(),
                    id => format!("&proceeding={id}"),
                };
                self.app.upload(&who, &self.case, &format!("paper={what}{proceeding}")).await.expect(201);
                self.taken.push(format!("{who}: file {what}"));
                true
            }
            "consent" => {
                let people: Vec<String> = text(&refusal["details"]["people"]).split(", ").filter(|p| !p.is_empty()).map(str::to_owned).collect();
                let mut any = false;
                for person in people {
                    let given = Map::from_iter([
                        ("person".to_owned(), json!(person)),
                        ("purpose".to_owned(), json!(what)),
                        ("given".to_owned(), json!(true)),
                    ]);
                    any |= self.own_action("case.consent", &given, |a| texts(&a["for"]).contains(&person.as_str())).await;
                }
                any
            }
            "guard" if texts(&refusal["unlocked_by"]).contains(&"case.record") => {
                let Some((_, action)) = self.allowed("case.record", |_| true).await else { return false };
                let known = action["input"]["properties"].as_object().cloned().unwrap_or_default();
                let facts = known.keys().filter(|name| what.contains(&format!("facts.{name}")));
                let given: Map<String, Json> = facts.map(|name| (name.clone(), self.filled(&known[name], name, &Map::new()))).collect();
                !given.is_empty() && self.own_action("case.record", &given, |_| true).await
            }
            // A condition that another step of the procedure makes true.
            "guard" => {
                let steps: Vec<String> = texts(&refusal["unlocked_by"]).into_iter().filter(|a| !a.starts_with("case.")).map(str::to_owned).collect();
                for step in steps {
                    if let Some((who, action)) = self.allowed(&step, |_| true).await {
                        self.take(&Offer { who, action, distance: 0 }).await;
                        return true;
                    }
                }
                false
            }
            "seat" if texts(&refusal["unlocked_by"]).contains(&"case.seat") => {
                let given = Map::from_iter([("seat".to_owned(), json!(what))]);
                self.own_action("case.seat", &given, |_| true).await
            }
            _ => false,
        }
    }

    async fn allowed_upload(&self, first: &str) -> Option<(String, Json)> {
        let own = list(&self.actions(first).await).find(|a| text(&a["action"]) == "case.file" && a["allowed"] == json!(true)).cloned();
        match own {
            Some(action) => Some((first.to_owned(), action)),
            None => self.allowed("case.file", |_| true).await,
        }
    }

    async fn own_action(&mut self, name: &str, given: &Map<String, Json>, fits: impl Fn(&Json) -> bool) -> bool {
        let Some((who, action)) = self.allowed(name, fits).await else { return false };
        let input = self.filled(&action["input"], "", given);
        self.post(&who, name, &json!({"input": input})).await;
        true
    }

    /// A value that a schema accepts. The few names here are those whose values must agree with each other.
    fn filled(&self, schema: &Json, name: &str, given: &Map<String, Json>) -> Json {
        let day = |n: i64| json!((self.now + Duration::days(n)).format("%Y-%m-%d").to_string());
        match name {
            "suit_pending" | "admin_pending" | "court_referral" => return json!(false),
            "total" => return json!("100000.00"),
            "hospital_part" => return json!("40000.00"),
            "insurer_part" => return json!("60000.00"),
            "instalments" => {
                return json!([{"payer": "hospital", "amount": "40000.00", "due_on": day(30)}, {"payer": "insurer", "amount": "60000.00", "due_on": day(60)}]);
            }
            "copies" => return json!(3),
            _ => {}
        }
        if let Some(first) = list(&schema["enum"]).next() {
            return first.clone();
        }
        match (text(&schema["type"]), text(&schema["format"])) {
            ("object", _) => {
                let required = texts(&schema["required"]);
                let fields = schema["properties"].as_object().into_iter().flatten();
                let wanted = fields.filter(|(field, _)| given.contains_key(*field) || required.contains(&field.as_str()));
                wanted
                    .map(|(field, inner)| (field.clone(), given.get(field).cloned().unwrap_or_else(|| self.filled(inner, field, &Map::new()))))
                    .collect()
            }
            ("array", _) => json!([self.filled(&schema["items"], "", &Map::new())]),
            ("boolean", _) => json!(true),
            ("integer", _) => json!(1),
            (_, "date") => day(30),
            (_, "date-time") => json!((self.now + Duration::days(2)).to_rfc3339()),
            (_, "money" | "decimal") => schema["examples"][0].clone(),
            _ => json!("如实填写"),
        }
    }
}

/// How many steps each transition is away from the goal, itself included, going backwards through what the workflow says
/// about itself: states, what a step opens or fires elsewhere, and the parent's state that an opening asks for.
fn distances(workflow: &Json, goal: &str) -> BTreeMap<String, usize> {
    let kinds: Vec<&Json> = list(&workflow["kinds"]).collect();
    let all: Vec<(&str, &Json)> = kinds.iter().flat_map(|k| list(&k["transitions"]).map(|t| (text(&k["name"]), t))).collect();
    let name = |(kind, t): &(&str, &Json)| format!("{kind}.{}", text(&t["name"]));
    let mut distance = BTreeMap::from([(goal.to_owned(), 1)]);
    let mut queue: VecDeque<&(&str, &Json)> = all.iter().filter(|x| name(x) == goal).collect();
    while let Some(x) = queue.pop_front() {
        let (kind, t) = *x;
        let far = distance[&name(x)] + 1;
        let from = texts(&t["from"]);
        let parent = kinds.iter().find(|k| text(&k["name"]) == kind).map(|k| text(&k["of"])).unwrap_or_default();
        let when = text(&t["when"]);
        let comes_before = |(other, u): &(&str, &Json)| {
            let to = text(&u["to"]);
            let leads_here = *other == kind && from.contains(&to);
            let opens_it = from.is_empty() && texts(&u["opens"]).contains(&kind);
            let fires_it = t["auto"].is_null() && list(&t["by"]).next().is_none() && texts(&u["fires"]).contains(&text(&t["name"]));
            let readies_parent = from.is_empty() && *other == parent && !to.is_empty() && when.contains(&format!("'{to}'"));
            leads_here || opens_it || fires_it || readies_parent
        };
        for u in all.iter().filter(|u| comes_before(u)) {
            if let Entry::Vacant(place) = distance.entry(name(u)) {
                place.insert(far);
                queue.push_back(u);
            }
        }
    }
    distance
}
