//! The texts in force, and every text that was ever used: workflows, policy sets and calendars by digest.
//!
//! The program brings them; the database pins those that a case was decided under, and they are read back from there.

use crate::calendar::Calendar;
use crate::case::Policy;
use crate::definition::Definition;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// What an installation was started with.
#[derive(Debug, Default)]
pub struct Library {
    workflows: BTreeMap<String, Installed>,
    calendars: BTreeMap<String, Arc<Calendar>>,
    by_digest: RwLock<ByDigest>,
}

/// A workflow in force.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The definition.
    pub definition: Arc<Definition>,
    /// The committee's parameters for new cases.
    pub policy: Arc<Policy>,
}

#[derive(Debug, Default)]
struct ByDigest {
    definitions: BTreeMap<String, Arc<Definition>>,
    policies: BTreeMap<String, Arc<Policy>>,
    calendars: BTreeMap<String, Arc<Calendar>>,
}

impl Library {
    /// Installs a calendar under its own name.
    pub fn add_calendar(&mut self, calendar: Calendar) {
        let name = calendar.name().to_owned();
        self.add_calendar_as(&name, calendar);
    }

    /// Installs a calendar under the name by which workflows call it: that of the local days, when it is made of several.
    pub fn add_calendar_as(&mut self, name: &str, calendar: Calendar) {
        let calendar = Arc::new(calendar);
        self.keep_calendar(calendar.clone());
        self.calendars.insert(name.to_owned(), calendar);
    }

    /// Installs a workflow with the committee's parameters.
    ///
    /// # Errors
    /// When its calendar is not installed.
    pub fn add_workflow(&mut self, definition: Definition, policy: Policy) -> Result<(), String> {
        if !self.calendars.contains_key(&definition.file.calendar) {
            return Err(format!("workflow {}: there is no calendar `{}`", definition.file.workflow, definition.file.calendar));
        }
        let installed = Installed { definition: Arc::new(definition), policy: Arc::new(policy) };
        self.keep_definition(installed.definition.clone());
        self.keep_policy(installed.policy.clone());
        self.workflows.insert(installed.definition.file.workflow.clone(), installed);
        Ok(())
    }

    /// The workflows in force, by name.
    pub fn workflows(&self) -> impl Iterator<Item = &Installed> {
        self.workflows.values()
    }

    /// A workflow in force.
    #[must_use]
    pub fn workflow(&self, name: &str) -> Option<&Installed> {
        self.workflows.get(name)
    }

    /// A calendar in force.
    #[must_use]
    pub fn calendar(&self, name: &str) -> Option<Arc<Calendar>> {
        self.calendars.get(name).cloned()
    }

    pub(crate) fn definition(&self, digest: &str) -> Option<Arc<Definition>> {
        self.by_digest.read().ok()?.definitions.get(digest).cloned()
    }
    pub(crate) fn policy(&self, digest: &str) -> Option<Arc<Policy>> {
        self.by_digest.read().ok()?.policies.get(digest).cloned()
    }
    pub(crate) fn calendar_by_digest(&self, digest: &str) -> Option<Arc<Calendar>> {
        self.by_digest.read().ok()?.calendars.get(digest).cloned()
    }
    pub(crate) fn keep_definition(&self, definition: Arc<Definition>) {
        if let Ok(mut kept) = self.by_digest.write() {
            kept.definitions.insert(definition.digest.clone(), definition);
        }
    }
    pub(crate) fn keep_policy(&self, policy: Arc<Policy>) {
        if let Ok(mut kept) = self.by_digest.write() {
            kept.policies.insert(policy.digest().to_owned(), policy);
        }
    }
    pub(crate) fn keep_calendar(&self, calendar: Arc<Calendar>) {
        if let Ok(mut kept) = self.by_digest.write() {
            kept.calendars.insert(calendar.digest().to_owned(), calendar);
        }
    }
}
