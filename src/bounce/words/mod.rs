//! Reports without a part for programs, recognised by their words.
//!
//! Servers have written such reports in hundreds of forms. So the words alone prove nothing: a person may quote them, and
//! an automatic reply may use them. The sender must be a server, and a subject, a returned message or words about a failure
//! must agree with it. Everything that is read here is a guess.

mod notice;
mod phrases;
mod recipients;

use notice::Notice;
use recipients::{Expansion, Form, Mention, has_address};

use super::mime::Parts;
use super::origin::Origin;
use super::report::{Action, BouncedRecipient};
use super::status::Status;
use crate::mailbox::message::header::{self, decode_text};

/// More addresses of a field are not compared.
const MAX_ADDRESSES: usize = 1_000;

/// A report in prose.
#[derive(Debug)]
pub(super) struct ProseReport {
    pub(super) recipients: Vec<BouncedRecipient>,
    /// The returned message or its header, if it is a part of the text.
    pub(super) original: Vec<u8>,
    /// The words name no recipient. If there is one, the message was sent to it.
    pub(super) names_none: bool,
}

/// Reads a report in prose. `failed` are the addresses in X-Failed-Recipients, and `returned` is the header of the
/// message in a part of its own, or empty. None if it is something else.
pub(super) fn read(
    head: &[u8],
    parts: &Parts<'_>,
    origin: &Origin,
    failed: &[Vec<u8>],
    returned: &[u8],
) -> Option<ProseReport> {
    // Nearly all mail ends here.
    let is_possible = origin.is_from_server || origin.is_null_sender == Some(true) || origin.is_automatic;
    if origin.is_automatic_reply || !is_possible && failed.is_empty() {
        return None;
    }
    let notice = Notice::of(parts);
    let subject = subject(head);
    let original = if returned.is_empty() { notice.rest.as_bytes() } else { returned };
    let sent_to = addresses(original, &["To", "Cc"]);
    let (form, mentions) =
        recipients::find(&notice, &sent_to, &addresses(head, &["From", "To", "Delivered-To"]))
            .unwrap_or((Form::Listed, Vec::new()));
    let evidence = Evidence {
        is_server: origin.is_from_server || !failed.is_empty(),
        is_null: origin.is_null_sender == Some(true),
        is_automatic: origin.is_automatic,
        is_list_mail: origin.is_list_mail,
        has_words: notice.has(phrases::FAILURE),
        has_subject: phrases::SUBJECT.iter().any(|phrase| subject.contains(phrase)),
        is_returned: !returned.is_empty() || notice.has_rest,
        has_reason: notice.has(phrases::REASON),
        form: (!mentions.is_empty()).then_some(form),
        is_named: !failed.is_empty(),
        was_sent: mentions.iter().any(|one| has_address(&sent_to, &one.address)),
        is_answer: has_common(
            &addresses(original, &["Return-Path", "From"]),
            &addresses(head, &["To", "Delivered-To"]),
        ),
    };
    let has_subject = |phrases: &[&str]| phrases.iter().any(|phrase| subject.contains(phrase));
    let is_other = notice.has(phrases::OTHER_REPORT)
        || has_subject(phrases::SUBJECT_OTHER) && !has_subject(phrases::SUBJECT);
    if is_other || !evidence.is_enough() {
        return None;
    }
    let is_delayed =
        notice.has(phrases::DELAY) || phrases::SUBJECT_DELAY.iter().any(|phrase| subject.contains(phrase));
    let action = if is_delayed { Action::Delayed } else { Action::Failed };
    let described = described(&notice, form, &mentions, failed, &sent_to).into_iter();
    let recipients =
        described.map(|one| BouncedRecipient { action: Some(action), is_heuristic: true, ..one }).collect();
    Some(ProseReport {
        recipients,
        original: original.to_vec(),
        names_none: failed.is_empty() && mentions.is_empty(),
    })
}

/// What speaks for a report.
#[derive(Debug)]
struct Evidence {
    /// The author is a server.
    is_server: bool,
    /// The envelope sender is null.
    is_null: bool,
    /// A program sent it.
    is_automatic: bool,
    is_list_mail: bool,
    has_words: bool,
    has_subject: bool,
    /// The message is returned, or its header.
    is_returned: bool,
    has_reason: bool,
    /// The form in which the words name addresses.
    form: Option<Form>,
    /// The header names the addresses.
    is_named: bool,
    /// The returned message was sent to an address that the words name.
    was_sent: bool,
    /// The author of the returned message gets this one.
    is_answer: bool,
}

impl Evidence {
    fn is_enough(&self) -> bool {
        let is_report = self.has_words && !self.is_list_mail;
        match self.is_server {
            true if self.is_named || self.is_returned => {
                self.has_words || self.has_subject || self.has_reason || self.form == Some(Form::Bracketed)
            }
            // Servers send other mail too, with addresses in it, and spam claims to come from one.
            true => match self.form {
                Some(Form::Command | Form::Known | Form::Mentioned) | None => {
                    self.has_words && self.has_subject
                }
                Some(_) => self.has_words || self.has_subject,
            },
            false if self.is_null => is_report && (self.has_subject || self.is_returned && self.was_sent),
            false => is_report && self.is_automatic && self.is_returned && (self.was_sent || self.is_answer),
        }
    }
}

fn subject(head: &[u8]) -> String {
    let field = header::fields(head).find(|field| field.is("Subject"));
    field.map(|field| decode_text(field.value).to_lowercase()).unwrap_or_default()
}

fn has_common(some: &[String], others: &[String]) -> bool {
    some.iter().any(|address| has_address(others, address))
}

/// Returns the addresses in fields of a header.
fn addresses(header: &[u8], names: &[&str]) -> Vec<String> {
    let fields = header::fields(header).filter(|field| names.iter().any(|name| field.is(name)));
    let texts = fields.map(|field| String::from_utf8_lossy(&header::unfold(field.value)).into_owned());
    let addresses = texts.flat_map(|text| {
        let words = text.split([' ', ',', '\t', ';']).filter_map(|word| {
            let (address, _) = recipients::address_at(word)?;
            Some(address.to_owned())
        });
        words.collect::<Vec<_>>()
    });
    addresses.take(MAX_ADDRESSES).collect()
}

/// Returns the recipients with what the words say about each.
fn described(
    notice: &Notice,
    form: Form,
    mentions: &[Mention],
    failed: &[Vec<u8>],
    sent_to: &[String],
) -> Vec<BouncedRecipient> {
    let reasons = recipients::reasons(notice, form, mentions);
    let is_single = failed.len().max(mentions.len()) < 2;
    // The words about several recipients belong to one of them.
    let search = if is_single { notice.folded.len() } else { 0 };
    let describe = |address: Vec<u8>, reason: &str| {
        let status = Status::find_qmail(reason.as_bytes()).or_else(|| Status::find(reason.as_bytes()));
        let status = status.or_else(|| Status::find(notice.folded.as_bytes().get(..search)?));
        let reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        BouncedRecipient { status, reason, ..BouncedRecipient::new(address) }
    };
    let reason_of = |address: &[u8]| {
        let at = mentions.iter().position(|one| one.address.as_bytes().eq_ignore_ascii_case(address));
        at.map_or("", |at| &reasons[at])
    };
    if !failed.is_empty() {
        return failed.iter().map(|address| describe(address.clone(), reason_of(address))).collect();
    }
    let mut recipients = Vec::new();
    for (mention, reason) in mentions.iter().zip(&reasons) {
        let described = describe(mention.address.clone().into_bytes(), reason);
        let origin = mention.origin.as_ref().map(|origin| origin.address().as_bytes().to_vec());
        recipients.push(BouncedRecipient { original_recipient: origin, ..described });
        if let Some(Expansion::Alias(address)) = &mention.origin {
            recipients.push(describe(address.clone().into_bytes(), reason));
        }
    }
    if let (true, [only]) = (recipients.is_empty(), sent_to) {
        recipients.push(describe(only.clone().into_bytes(), &notice.fold(0..notice.lines.len())));
    }
    recipients
}

#[cfg(test)]
mod tests {
    use crate::bounce::{Bounce, BounceKind, read};

    const SERVER: &str = "From: MAILER-DAEMON@a.example\nSubject: Undeliverable mail\n";
    const RETURNED: &str = "--- Original message ---\n\nTo: joe@example.org\nMessage-ID: <1@b.example>\n";

    /// Returns the recipients, or nothing if the message is not a bounce.
    fn recipients(message: &str) -> Vec<String> {
        let Ok(Bounce { kind, recipients, .. }) = read(message.as_bytes()) else { return Vec::new() };
        assert_eq!(kind, BounceKind::Words);
        assert!(recipients.iter().all(|one| one.is_heuristic));
        recipients.into_iter().map(|one| String::from_utf8(one.recipient).unwrap()).collect()
    }

    #[test]
    fn recipients_are_found_in_the_usual_forms() {
        for words in [
            "<joe@example.org>:\nno such user",
            "These addresses failed permanently:\n\n  * joe@example.org (no such user)",
            "> joe@example.org did NOT receive a copy of your message",
            "The following address failed:\n\n\"joe@example.org\":\nno such user",
            "Your message to: \n\tjoe@example.org\nhas not been delivered. Contact\nhelp@a.example",
            "Unable to deliver message to <joe@example.org>.",
            "It could not be delivered.\n\njoe@example.org: unknown\n",
            "----- Transcript of session follows -----\n550 <joe@example.org>... User unknown",
            "Could not be delivered.\n>>> RCPT TO:<joe@example.org>\n",
            "It cannot be delivered. An undisclosed address\n    (generated from joe@example.org)",
            "Message could not be delivered to mobile.\nError: none",
            "配信できませんでした。\n\njoe@example.org\n",
        ] {
            let message = format!("{SERVER}\n{words}\n\n{RETURNED}");
            assert_eq!(recipients(&message), ["joe@example.org"], "{words}");
        }
        let two = "could not be delivered:\n  a@example.org\n    (expanded from: <b@example.org>)\n";
        assert_eq!(recipients(&format!("{SERVER}\n{two}")), ["a@example.org", "b@example.org"]);
    }

    #[test]
    fn a_server_that_tries_again_delays() {
        for (words, action) in [
            (
                "has not yet been delivered to\n\n  joe@example.org\n\nDelivery attempts will continue",
                "delayed",
            ),
            ("could not be delivered to\n\n  joe@example.org\n\nIt will not be tried again", "failed"),
        ] {
            let bounce = read(format!("{SERVER}\n{words}\n").as_bytes()).unwrap();
            assert_eq!(bounce.recipients[0].action.unwrap().name(), action);
        }
    }

    #[test]
    fn words_alone_are_not_a_report() {
        let words = "Your message could not be delivered to:\n\n<joe@example.org>:\nno such user\n";
        for head in [
            "From: ann@example.org\nSubject: Undeliverable mail\n",
            "From: ann@example.org\nSubject: Re: Mail delivery failed\nReturn-Path: <ann@example.org>\n",
            "From: ann@example.org\nSubject: Mail delivery failed\nReturn-Path: <>\nList-Id: <l.example.org>\n",
            "From: postmaster@example.org\nSubject: Out of office\n",
            "From: postmaster@example.org\nAuto-Submitted: auto-replied (vacation)\n",
        ] {
            assert_eq!(recipients(&format!("{head}\n{words}\n{RETURNED}")), [""; 0], "{head}");
        }
        let away = "I am away. The message has not been delivered to others. Write to\n\n<carol@example.org>:\nshe helps";
        let head = "From: ann@example.org\nReturn-Path: <>\nSubject: your message\n";
        assert_eq!(recipients(&format!("{head}\n{away}\n\n{RETURNED}")), [""; 0]);
        let warning = "Your mailbox is full. See you at\n\nhelp@a.example\n";
        assert_eq!(recipients(&format!("From: postmaster@a.example\nSubject: Quota\n\n{warning}")), [""; 0]);
    }
}
