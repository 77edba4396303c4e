//! Completes a message and determines its envelope, like qmail-inject.
//!
//! Date, Message-ID and From are added where they are missing, and so are a Cc that hides the recipients and
//! Mail-Followup-To. A message with Resent- fields gets them in that form. Addresses are completed, and recipients are
//! taken from them. Bcc, Return-Path and Content-Length are removed. All other fields stay unchanged, byte for byte.

pub(crate) mod control;
mod error;
mod fields;
mod followup;
mod generate;
mod head;
mod injector;
mod options;
pub(crate) mod relays;
mod rewrite;

pub(crate) use error::{InjectError, quotable};
pub(crate) use injector::{CompletedMessage, Injector};
pub(crate) use options::{Author, Domains, InjectFlags, InjectOptions};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn a_backslash_before_a_fold_does_not_end_the_field() {
        for name in ["\\\n\tx", "\"a\\\n b\"", "a\\\n", "(a\\\n b)"] {
            let message = format!("From: {name} <ann>\nSubject: s\n\nbody\n");
            crate::promises::injected(message.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_message_is_completed_or_refused(message: Vec<u8>) {
            crate::promises::injected(&message);
        }

        #[test]
        fn any_header_too(message in r#"((To|Cc|Bcc|From|Resent-To|Return-Path|Date|Content-Length|X|From )(: ?)?([a-c.@,:;<>+ "()]|a@b|\n )*\n){0,6}(\n[a-c\n]*)?"#) {
            crate::promises::injected(message.as_bytes());
        }
    }
}
