//! From files by name to the calendar that a workflow names, with everything it is laid over below it.

use super::Calendar;

/// Calendars laid over each other, at most so many.
const MAX_LAYERS: usize = 8;

impl Calendar {
    /// The calendar of a file, laid over those that it says it is `over`.
    ///
    /// # Arguments
    /// `source` gives the text of a calendar's file by its name, `known` the names there are.
    ///
    /// # Errors
    /// Every mistake of every file concerned, as sentences that name the file.
    pub fn assemble<'s>(name: &str, source: impl Fn(&str) -> Option<&'s str>, known: &[&str]) -> Result<Calendar, Vec<String>> {
        let mut layers: Vec<Calendar> = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(wanted) = next {
            let above = layers.last().map(|layer| format!("calendars/{}.yaml: over: ", layer.name)).unwrap_or_default();
            let Some(text) = source(&wanted) else {
                let near = crate::definition::nearest(&wanted, known.iter().copied()).map(|n| format!(" (did you mean `{n}`?)"));
                return Err(vec![format!("{above}there is no calendar `{wanted}`{}", near.unwrap_or_default())]);
            };
            if layers.iter().any(|layer| layer.name == wanted) || layers.len() == MAX_LAYERS {
                return Err(vec![format!("{above}`{wanted}` would lie over itself, or more than {MAX_LAYERS} calendars over each other")]);
            }
            let layer = Calendar::parse(text).map_err(|m| m.iter().map(|m| format!("calendars/{wanted}.yaml:{m}")).collect::<Vec<_>>())?;
            if layer.name != wanted {
                return Err(vec![format!("calendars/{wanted}.yaml: the calendar calls itself `{}`; give the file the same name", layer.name)]);
            }
            next = layer.over.clone();
            layers.push(layer);
        }
        let mut layers = layers.into_iter().rev();
        let base = layers.next().ok_or_else(|| vec![format!("there is no calendar `{name}`")])?;
        Ok(layers.fold(base, |below, layer| below.overlay(&layer)))
    }
}
