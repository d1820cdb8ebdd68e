//! The calendar part of a mail (RFC 5545, RFC 5546): one appointment, asked for or taken back.
//! Times are written in UTC, which every calendar turns into its own; nothing about the case stands in it but the
//! neutral title and the place.

use chrono::{TimeDelta, Utc};
use icalendar::{Calendar, Class, Component, Event, EventLike, EventStatus, Property};

use super::message::{check_id, in_range};
use super::{Invitation, Mail, MailError, Sender};

/// REQUEST or CANCEL.
pub(super) fn method(invitation: &Invitation) -> &'static str {
    if invitation.cancelled { "CANCEL" } else { "REQUEST" }
}

/// The calendar with this one appointment.
pub(super) fn calendar(invitation: &Invitation, mail: &Mail, sender: &Sender) -> Result<String, MailError> {
    check_id(&invitation.uid, "id of the invitation")?;
    let begins = in_range(invitation.at.with_timezone(&Utc), "invitation")?;
    let ends = begins.checked_add_signed(TimeDelta::minutes(invitation.minutes.into())).ok_or(MailError::Date("invitation"))?;
    let (status, sequence) = (
        if invitation.cancelled { EventStatus::Cancelled } else { EventStatus::Confirmed },
        // Calendars follow the highest number; a later notice about the same appointment is higher by its date.
        u32::try_from(mail.date.timestamp() / 60).map_err(|_| MailError::Date("mail"))?,
    );
    let mut event = Event::new();
    event
        .uid(&format!("{}@{}", invitation.uid, sender.domain))
        .timestamp(mail.date)
        .sequence(sequence)
        .starts(begins)
        .ends(in_range(ends, "invitation")?)
        .summary(&one_line(&invitation.title))
        .location(&one_line(&invitation.place))
        .status(status)
        .class(Class::Private)
        .append_property(person("ORGANIZER", &sender.name, &sender.address).done())
        .append_property(
            person("ATTENDEE", &mail.to_name, &mail.to_address)
                .add_parameter("ROLE", "REQ-PARTICIPANT")
                .add_parameter("PARTSTAT", "NEEDS-ACTION")
                // Nobody reads answers of calendars; people call, or write.
                .add_parameter("RSVP", "FALSE")
                .done(),
        );
    let mut calendar = Calendar::empty();
    calendar
        .append_property(("VERSION", "2.0"))
        .append_property(("PRODID", "-//Heyi//Mediation//EN"))
        .append_property(("CALSCALE", "GREGORIAN"))
        .append_property(("METHOD", method(invitation)))
        .push(event.done());
    Ok(calendar.done().to_string())
}

fn person(property: &str, name: &str, address: &str) -> Property {
    let mut property = Property::new(property, format!("mailto:{address}"));
    // A parameter has no way to write a quotation mark.
    let name = one_line(name).replace('"', "'");
    if !name.trim().is_empty() {
        property.add_parameter("CN", name.trim());
    }
    property
}

/// Places are typed by people: line breaks become blanks.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
