//! Reading a parsed template as the renderer will, with types in the place of values.
//!
//! Every name is compared with the notice's shape (inside conditions, parameters and hashes too, where strict mode is
//! silent), every helper with the type that it is given, and every field that may be absent with the `{{#if}}` around
//! it. Partials are read at each place that includes them, with what that place passes on. Only what shipped
//! templates need is understood; anything else is a mistake, so that nothing unchecked is ever rendered.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, Template, TemplateElement};
use serde_json::Value;

use super::formats::FORMATS;
use super::load::Partials;
use super::sources::{Part, shown};
use super::terms::{Term, present_when_true};
use super::{FieldType, MAX_NESTING, Shape, TemplateMistake, sample};

/// How many elements one template may come to, partials counted at each place that includes them.
const MAX_STEPS: usize = 20_000;
const PARTIAL_BLOCK: &str = "@partial-block";

/// Text or HTML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Html,
}

impl Format {
    /// How a partial's file name ends.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Format::Text => ".txt.hbs",
            Format::Html => ".html.hbs",
        }
    }
}

/// What to write instead of `name`.
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near =
        known.clone().map(|k| (strsim::damerau_levenshtein(name, k), k)).filter(|(distance, k)| *distance <= 2.max(k.chars().count() / 3)).min();
    match near {
        Some((_, k)) => format!("did you mean {k}?"),
        None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[derive(Clone)]
pub(super) struct Slot {
    pub ty: FieldType,
    pub optional: bool,
}

/// The names at one place, and those that a condition around it has found present.
#[derive(Clone)]
pub(super) struct Scope {
    pub names: BTreeMap<String, Slot>,
    pub present: BTreeSet<String>,
}

impl Scope {
    fn with(&self, present: BTreeSet<String>) -> Scope {
        let mut scope = self.clone();
        scope.present.extend(present);
        scope
    }
}

/// Where the reading stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    path: &'a str,
    line: usize,
    depth: usize,
    pub in_each: bool,
    block_given: bool,
}

impl Place<'_> {
    fn deeper(self) -> Self {
        Place { depth: self.depth + 1, ..self }
    }
}

/// The check of one template.
pub(super) struct Check<'a> {
    partials: &'a Partials,
    pub shape: &'a Shape,
    mistakes: &'a mut BTreeSet<TemplateMistake>,
    steps: usize,
    sound: bool,
    pub subject: bool,
}

impl<'a> Check<'a> {
    pub(super) fn new(partials: &'a Partials, shape: &'a Shape, mistakes: &'a mut BTreeSet<TemplateMistake>) -> Self {
        Check { partials, shape, mistakes, steps: 0, sound: true, subject: false }
    }

    /// Reads the template; true when it may be rendered.
    pub(super) fn run(mut self, path: &str, part: Part, template: &Template) -> bool {
        self.subject = part == Part::Subject;
        let common = sample::COMMON.into_iter().map(|(name, ty, optional)| (name.to_owned(), Slot { ty, optional }));
        let data = self.shape.fields.iter().map(|f| (format!("data.{}", f.name), Slot { ty: f.ty.clone(), optional: f.optional }));
        let mut names: BTreeMap<String, Slot> = common.chain(data).collect();
        if self.subject {
            names.retain(|name, _| name == "reference" || name == "correction_of");
        }
        let scope = Scope { names, present: BTreeSet::new() };
        self.template(template, &scope, Place { path, line: 0, depth: 0, in_each: false, block_given: false });
        self.sound
    }

    pub fn say(&mut self, place: Place<'_>, problem: impl Into<String>, advice: impl Into<String>) {
        self.sound = false;
        self.mistakes.insert(TemplateMistake {
            file: shown(place.path),
            line: (place.line > 0).then_some(place.line),
            problem: problem.into(),
            advice: advice.into(),
        });
    }

    fn template(&mut self, template: &Template, scope: &Scope, place: Place<'_>) {
        if place.depth > MAX_NESTING {
            return self.say(place, format!("blocks and partials nest deeper than {MAX_NESTING}"), "include fewer partials inside each other");
        }
        for (index, element) in template.elements.iter().enumerate() {
            let line = template.mapping.get(index).map_or(place.line, |m| m.0);
            let place = Place { line, ..place };
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return self.say(place, format!("the template comes to more than {MAX_STEPS} pieces"), "include fewer partials");
            }
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::HtmlExpression(_) => {
                    self.say(place, "{{{…}}} or {{&…}} prints a value unescaped", "write {{…}}");
                }
                TemplateElement::Expression(expression) => self.expression(expression, scope, place),
                TemplateElement::HelperBlock(block) => self.block(block, scope, place),
                TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                    self.partial(partial, scope, place);
                }
                // Decorators, and whatever a later parser adds.
                _ => self.say(place, "{{*…}} is not used here", "put it into a partial under _shared"),
            }
        }
    }

    fn expression(&mut self, expression: &HelperTemplate, scope: &Scope, place: Place<'_>) {
        let Some(name) = expression.name.as_name() else {
            return self.say(place, "a name made from a condition", "write the name itself");
        };
        let bare = expression.params.is_empty() && expression.hash.is_empty();
        if FORMATS.contains(&name) {
            self.format(name, expression, scope, place);
        } else if bare {
            self.printed(name, scope, place);
        } else {
            let known = FORMATS.into_iter().chain(["if", "unless", "each"]);
            self.say(place, format!("there is no helper {name}"), suggest(name, known));
        }
    }

    fn block(&mut self, block: &HelperTemplate, scope: &Scope, place: Place<'_>) {
        let name = block.name.as_name().unwrap_or_default();
        if block.block_param.is_some() {
            self.say(place, "as |…| is not used here", "inside {{#each}} write {{this}}");
        }
        let [param] = &block.params[..] else {
            return self.say(place, format!("{{{{#{name}}}}} takes one condition"), "join several with (and …) or (or …)");
        };
        if name != "if" && name != "unless" && name != "each" {
            self.say(place, format!("there is no block {name}"), suggest(name, ["if", "unless", "each"].into_iter()));
            return;
        }
        if block.hash.keys().any(|key| key != "includeZero" || name != "if") {
            self.say(place, format!("{{{{#{name}}}}} takes no such setting"), "only {{#if}} takes includeZero=true");
        }
        let (mut inner, mut other) = (scope.clone(), scope.clone());
        let mut inside = place.deeper();
        if name == "each" {
            if place.in_each {
                return self.say(place, "a list inside a list", "print one list after the other");
            }
            match self.term(param, scope, place) {
                Term::Field(_, Slot { ty: FieldType::TextList, .. }) | Term::Wrong => {}
                _ => self.say(place, "{{#each}} takes a list of texts", "use {{#if}} for a condition"),
            }
            let item = |ty| Slot { ty, optional: false };
            inner.names = BTreeMap::from([
                ("this".to_owned(), item(FieldType::Text)),
                ("@index".to_owned(), item(FieldType::Int)),
                ("@first".to_owned(), item(FieldType::Bool)),
                ("@last".to_owned(), item(FieldType::Bool)),
            ]);
            inside.in_each = true;
        } else {
            self.condition(param, scope, place);
            let present = present_when_true(param);
            let branch = if name == "if" { &mut inner } else { &mut other };
            *branch = scope.with(present);
        }
        if let Some(template) = &block.template {
            self.template(template, &inner, inside);
        }
        if let Some(template) = &block.inverse {
            self.template(template, &other, place.deeper());
        }
    }

    fn partial(&mut self, partial: &DecoratorTemplate, scope: &Scope, place: Place<'_>) {
        let (Parameter::Name(_) | Parameter::Path(_)) = &partial.name else {
            return self.say(place, "a partial whose name is computed", "write its name");
        };
        let name = partial.name.as_name().unwrap_or_default();
        if name == PARTIAL_BLOCK {
            if !place.block_given {
                self.say(place, "there is no block to put here", "include this partial as {{#> NAME}}…{{/NAME}}");
            }
            return;
        }
        if let Some(content) = &partial.template {
            self.template(content, scope, place.deeper());
        }
        if place.in_each {
            return self.say(place, "a partial inside {{#each}}", "write its words here");
        }
        if !partial.params.is_empty() {
            self.say(place, format!("partial {name} is given a value without a name"), "write NAME=VALUE");
        }
        let mut inner = scope.clone();
        for (key, value) in &partial.hash {
            let slot = match self.term(value, scope, place) {
                Term::Field(field, slot) => {
                    let optional = slot.optional && !scope.present.contains(&field);
                    Slot { ty: slot.ty, optional }
                }
                Term::Literal(Value::String(_)) => Slot { ty: FieldType::Text, optional: false },
                Term::Literal(Value::Bool(_)) | Term::Condition => Slot { ty: FieldType::Bool, optional: false },
                Term::Literal(_) => {
                    self.say(place, format!("{key} is neither text nor a field"), "pass a text or a field");
                    continue;
                }
                Term::Wrong => continue,
            };
            inner.present.remove(key);
            inner.names.insert(key.clone(), slot);
        }
        let partials = self.partials;
        if partials.broken.contains(name) || partials.cyclic.contains(name) {
            self.sound = false;
        } else if let Some(template) = partials.parsed.get(name) {
            let path = partials.path(name);
            let place = Place { path: &path, line: 0, block_given: partial.template.is_some(), ..place.deeper() };
            self.template(template, &inner, place);
        } else {
            let known = partials.parsed.keys().map(String::as_str);
            self.say(place, format!("there is no partial {name}"), suggest(name, known));
        }
    }
}
