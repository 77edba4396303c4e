//! Findings about flags in header fields: one for each kind, with the first message that has it.

use std::collections::BTreeMap;

use super::StatusFields;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Finding};

/// Faults in the flags of the messages of a source.
#[derive(Debug, Default)]
pub(crate) struct StatusProblems {
    /// By the name of the field.
    invalid: BTreeMap<&'static str, Messages>,
    unknown_read_state: Option<Messages>,
}

/// The messages with a problem.
#[derive(Debug, Clone)]
struct Messages {
    count: u64,
    /// The offset of the first one.
    first: u64,
    /// The value in the first one.
    value: String,
}

impl Messages {
    fn merge(self, other: Messages) -> Messages {
        let count = self.count + other.count;
        let first = if self.first <= other.first { self } else { other };
        Messages { count, ..first }
    }
}

impl StatusProblems {
    /// Adds the message at an offset. Its status is complete.
    pub(crate) fn add(&mut self, at: u64, fields: &StatusFields) {
        for field in fields.invalid() {
            let message = Messages { count: 1, first: at, value: field.value.clone() };
            self.add_invalid(field.name, message);
        }
        if fields.is_read_state_unknown() {
            let message = Messages { count: 1, first: at, value: String::new() };
            self.add_unknown(Some(message));
        }
    }

    fn add_invalid(&mut self, name: &'static str, messages: Messages) {
        let all = self.invalid.remove(name).map_or(messages.clone(), |all| all.merge(messages));
        self.invalid.insert(name, all);
    }

    fn add_unknown(&mut self, messages: Option<Messages>) {
        self.unknown_read_state = match (self.unknown_read_state.take(), messages) {
            (Some(all), Some(messages)) => Some(all.merge(messages)),
            (all, messages) => all.or(messages),
        };
    }

    pub(crate) fn merge(&mut self, other: StatusProblems) {
        for (name, messages) in other.invalid {
            self.add_invalid(name, messages);
        }
        self.add_unknown(other.unknown_read_state);
    }

    /// Returns a finding for each kind.
    pub(crate) fn findings(self) -> Vec<Finding> {
        let invalid = self.invalid.into_iter().map(|(name, Messages { count, first, value })| {
            let messages = grouped_plural(count, "message");
            let text = format!(
                "invalid {name} in {messages}, the first is \"{value}\": no flag was read from what is invalid"
            );
            Finding::at(Code::FlagsInvalid, first, text)
        });
        let unknown = self.unknown_read_state.map(|Messages { count, first, .. }| {
            let messages = grouped_plural(count, "message");
            let text = format!(
                "{messages} with labels of Gmail in an unknown language: not marked as read, since their labels do \
                 not show if they are unread"
            );
            Finding::at(Code::LabelsUnknown, first, text)
        });
        invalid.chain(unknown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LabelPolicy, parse_fields};
    use super::*;

    #[test]
    fn invalid_fields_are_reported_once_with_the_first_message() {
        let problems = |headers: &[(u64, &str)]| {
            let mut problems = StatusProblems::default();
            for &(at, header) in headers {
                problems.add(at, &parse_fields(header.as_bytes(), LabelPolicy::Keywords));
            }
            problems
        };
        let mut all = problems(&[(50, "Status: XR\nX-Status: F\n"), (90, "X-Mozilla-Status: +1\n")]);
        all.merge(problems(&[(10, "Status: 1\n"), (20, "Status: RO\nX-Gmail-Labels: abc\n")]));
        all.merge(problems(&[(30, "X-Gmail-Labels: abc\n"), (40, "X-Evolution: 1\nX-Mozilla-Status2: \n")]));
        let found: Vec<_> =
            all.findings().iter().map(|f| (f.code, f.offset, f.message.to_string())).collect();
        let text = |name: &str, value: &str, messages: &str| {
            format!(
                "invalid {name} in {messages}, the first is \"{value}\": no flag was read from what is invalid"
            )
        };
        let (invalid, one) = (Code::FlagsInvalid, "1 message");
        assert_eq!(
            found[..4],
            [
                (invalid, Some(10), text("Status", "1", "2 messages")),
                (invalid, Some(40), text("X-Evolution", "1", one)),
                (invalid, Some(90), text("X-Mozilla-Status", "+1", one)),
                (invalid, Some(40), text("X-Mozilla-Status2", "", one)),
            ]
        );
        // Status is newer than the labels.
        assert_eq!(
            found[4..].iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
            [(Code::LabelsUnknown, Some(30))]
        );
    }
}
