//! A message with its envelope in its header.
//!
//! An MTA may have written the envelope into a From_ line, Return-Path or Delivered-To already; a script has not.
//! In the mailbox each is there once.

use std::ops::Range;

use crate::mailbox::mbox::from_line::{self, LineClass};
use crate::mailbox::mbox::write::{FromLineSpec, HeaderEdit, MessageHead, line_ending};
use crate::mailbox::message::Status;
use crate::mailbox::message::header;
use crate::mailbox::{Result, escape};
use crate::transport::{DeliveryEnvelope, Failure, FailureReason, SpooledMessage, envelope};

/// A message as the mailbox gets it: added lines, then the spooled message without the fields they replace.
#[derive(Debug)]
pub(crate) struct PreparedMessage<'a> {
    spooled: &'a SpooledMessage,
    prefix: Vec<u8>,
    /// Ranges of the spooled message in memory that are left out, in order.
    cuts: Vec<Range<usize>>,
    /// The envelope sender for a From_ line; empty for the null sender.
    sender: Vec<u8>,
}

impl<'a> PreparedMessage<'a> {
    /// Returns a message with these lines on top and nothing else changed.
    pub(crate) fn verbatim(spooled: &'a SpooledMessage, prefix: Vec<u8>) -> PreparedMessage<'a> {
        PreparedMessage { spooled, prefix, cuts: Vec::new(), sender: Vec::new() }
    }

    /// Takes a leading From_ line off, and writes one Return-Path and one Delivered-To.
    ///
    /// `from_mta`: the message comes straight from an MTA that writes trace fields. A Delivered-To with this
    /// recipient above the first Received field then belongs to this delivery. Anywhere else it shows a loop.
    ///
    /// # Errors
    /// [`FailureReason::BadMessage`] for a From_ line alone, and
    /// [`FailureReason::Looping`].
    pub(crate) fn new(
        spooled: &'a SpooledMessage,
        envelope: &DeliveryEnvelope,
        from_mta: bool,
    ) -> Result<PreparedMessage<'a>, Failure> {
        let head = spooled.in_memory();
        let from_line = leading_from_line(head);
        let start = from_line.as_ref().map_or(0, |line| line.length);
        if start > 0 && start as u64 == spooled.length() {
            let text = "there is no message: what came is a From_ line and nothing else";
            return Err(Failure::new(FailureReason::BadMessage, text));
        }
        let from_mta = from_mta || from_line.is_some();
        let is_complete = head.len() as u64 == spooled.length();
        let header = complete_fields(&head[start..], is_complete);
        let sender = envelope.sender.clone().or(from_line.map(|line| line.sender));
        let mut message = PreparedMessage::verbatim(spooled, Vec::new());
        if start > 0 {
            message.cuts.push(0..start);
        }
        let eol = line_ending(&head[start..]);
        if let Some(sender) = &sender {
            let line = envelope::return_path(sender);
            message.set_return_path(header, start, &line, eol);
        }
        if let Some(recipient) = &envelope.recipient
            && !has_delivered_to(header, recipient, from_mta)?
        {
            message.prefix.extend_from_slice(&[&envelope::delivered_to(recipient)[..], eol].concat());
        }
        message.sender =
            sender.or_else(|| header::return_path(header).map(<[u8]>::to_vec)).unwrap_or_default();
        Ok(message)
    }

    /// Refuses an empty message from standard input, which has no other sign of a program that failed before this one.
    pub(crate) fn require_input(spooled: &SpooledMessage) -> Result<(), Failure> {
        match spooled.length() {
            0 => {
                let text = "there is no message: standard input is empty";
                Err(Failure::new(FailureReason::BadMessage, text))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the only Return-Path if it equals `line`. Otherwise cuts all of them and adds `line` on top.
    fn set_return_path(&mut self, header: &[u8], start: usize, line: &[u8], eol: &[u8]) {
        let mut at = start;
        let mut found = Vec::new();
        let mut same = 0;
        for (lines, field) in header::logical_lines(header) {
            if let Some(field) = field.filter(|field| field.is("Return-Path")) {
                found.push(at..at + lines.len());
                let value = field.value.trim_ascii();
                same += usize::from(line.strip_prefix(b"Return-Path: ") == Some(value));
            }
            at += lines.len();
        }
        if found.len() != 1 || same != 1 {
            self.cuts.extend(found);
            self.prefix.extend_from_slice(&[line, eol].concat());
        }
    }

    /// Returns the added lines.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Returns the envelope sender; empty for the null sender and for an unknown one.
    pub(crate) fn sender(&self) -> &[u8] {
        &self.sender
    }

    /// Returns the offset of the message in the spooled one: the length of its leading From_ line.
    pub(crate) fn message_offset(&self) -> u64 {
        let first =
            self.cuts.first().filter(|cut| cut.start == 0 && self.spooled.in_memory().starts_with(b"From "));
        first.map_or(0, |cut| cut.end as u64)
    }

    pub(crate) fn size(&self) -> u64 {
        self.spooled.length() - self.cuts.iter().map(|cut| cut.len() as u64).sum::<u64>()
            + self.prefix.len() as u64
    }

    /// Returns the size with every line end counted as CRLF.
    pub(crate) fn wire_size(&self) -> u64 {
        let head = self.spooled.in_memory();
        let cut: u64 = self.cuts.iter().map(|cut| bare_newlines(&head[cut.clone()])).sum();
        self.size() + self.spooled.bare_newlines() - cut + bare_newlines(&self.prefix)
    }

    /// Returns the message as an mbox gets it. `head` is [`PreparedMessage::in_memory`], `epoch` the time of delivery.
    pub(crate) fn mbox_entry<'h>(
        &'h self,
        head: &'h [u8],
        status: Option<Status>,
        epoch: i64,
    ) -> MboxEntry<'h> {
        let eol = line_ending(head);
        let (header, first_chunk) = HeaderEdit::for_delivery(head, head.len() as u64 == self.size(), status);
        let from_line = FromLineSpec::Generated { sender: &self.sender, epoch };
        MboxEntry { head: MessageHead { from_line, header, eol }, first_chunk, message: self }
    }

    /// Returns the part in memory: all of it, or its first 8 MiB. The header is in there unless it is longer.
    pub(crate) fn in_memory(&self) -> Vec<u8> {
        let mut bytes = self.prefix.clone();
        let (head, mut from) = (self.spooled.in_memory(), 0);
        for cut in &self.cuts {
            bytes.extend_from_slice(&head[from..cut.start]);
            from = cut.end;
        }
        bytes.extend_from_slice(&head[from..]);
        bytes
    }

    pub(crate) fn for_each_chunk(&self, chunk: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        // One piece, so that a message of the usual size is one write(2).
        chunk(&self.in_memory())?;
        self.for_each_later_chunk(chunk)
    }

    fn for_each_later_chunk(&self, chunk: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.spooled.for_each_chunk(self.spooled.in_memory().len() as u64, chunk)
    }
}

/// A message in the form of an mbox.
pub(crate) struct MboxEntry<'a> {
    /// The From_ line and the header.
    pub head: MessageHead<'a>,
    /// The bytes in memory that follow the head.
    pub first_chunk: &'a [u8],
    message: &'a PreparedMessage<'a>,
}

impl MboxEntry<'_> {
    /// Passes on what follows the first chunk.
    pub(crate) fn for_each_later_chunk(&self, chunk: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.message.for_each_later_chunk(chunk)
    }
}

/// A From_ line on top of a message, as some MTAs write it.
struct LeadingFromLine {
    /// Length with its line end.
    length: usize,
    sender: Vec<u8>,
}

/// Finds a leading From_ line. Prose that starts with `From ` is not one: it has no date, and no header field
/// follows it.
fn leading_from_line(head: &[u8]) -> Option<LeadingFromLine> {
    let length = memchr::memchr(b'\n', head).map_or(head.len(), |lf| lf + 1);
    let (line, rest) = head.split_at(length);
    let parsed = from_line::parse(line);
    let is_from_line = match parsed.class {
        LineClass::Dated => true,
        LineClass::Shaped | LineClass::Known => rest.is_empty() || header::is_field_line(rest),
        LineClass::Unknown => false,
    };
    let sender = if parsed.sender.eq_ignore_ascii_case(b"MAILER-DAEMON") { b"" } else { parsed.sender };
    is_from_line.then(|| LeadingFromLine { length, sender: envelope::unquote(sender) })
}

/// Returns the header in memory; of a longer one its complete fields.
fn complete_fields(head: &[u8], is_complete: bool) -> &[u8] {
    let split = header::split(head);
    if split.closed || is_complete {
        return split.header;
    }
    let last = header::logical_lines(split.header).last().map_or(0, |(lines, _)| lines.len());
    &split.header[..split.header.len() - last]
}

/// Reports whether this delivery has added a Delivered-To.
///
/// # Errors
/// [`FailureReason::Looping`] if an earlier delivery to this recipient has.
fn has_delivered_to(header: &[u8], recipient: &[u8], from_mta: bool) -> Result<bool, Failure> {
    let (mut received, mut found) = (false, false);
    for field in header::fields(header) {
        received |= field.is("Received");
        if field.is("Delivered-To") && envelope::is_same(field.value.trim_ascii(), recipient) {
            if received || found || !from_mta {
                let text = format!(
                    "the message is looping: it has been delivered to {} before (Delivered-To)",
                    escape(recipient)
                );
                return Err(Failure::new(FailureReason::Looping, text));
            }
            found = true;
        }
    }
    Ok(found)
}

fn bare_newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).filter(|&at| at == 0 || bytes[at - 1] != b'\r').count() as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::transport::spool::MessageSpool;

    fn spooled(text: &[u8]) -> SpooledMessage {
        let mut spool = MessageSpool::new(Path::new("/nonexistent"), None);
        text.chunks(3).for_each(|bytes| spool.push(bytes).unwrap());
        spool.finish().unwrap()
    }

    fn prepared(
        text: &str,
        sender: Option<&str>,
        recipient: Option<&str>,
        from_mta: bool,
    ) -> Result<String, Failure> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let envelope = DeliveryEnvelope { sender: sender.map(bytes), recipient: recipient.map(bytes) };
        let spooled = spooled(text.as_bytes());
        let message = PreparedMessage::new(&spooled, &envelope, from_mta)?;
        let mut all = Vec::new();
        message
            .for_each_chunk(&mut |bytes| {
                all.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        assert_eq!(message.size(), all.len() as u64);
        assert_eq!(message.wire_size(), all.len() as u64 + bare_newlines(&all));
        Ok(String::from_utf8(all).unwrap())
    }

    #[track_caller]
    fn check(text: &str, sender: Option<&str>, recipient: Option<&str>, want: &str) {
        assert_eq!(prepared(text, sender, recipient, false).unwrap(), want);
    }

    const FROM: &str = "From ann@b.example  Sat Feb  3 04:05:06 2001\n";

    #[test]
    fn an_unknown_envelope_adds_nothing() {
        check("A: 1\n\nx", None, None, "A: 1\n\nx");
        check("\n", None, None, "\n");
        check("x", None, None, "x");
    }

    #[test]
    fn sender_and_recipient_are_added_once_on_top() {
        let both = (Some("s@x"), Some("joe@h"));
        let prefix = "Return-Path: <s@x>\nDelivered-To: joe@h\n";
        check("A: 1\n\nx", both.0, both.1, &format!("{prefix}A: 1\n\nx"));
        check("A: 1\r\n\r\nx", both.0, both.1, "Return-Path: <s@x>\r\nDelivered-To: joe@h\r\nA: 1\r\n\r\nx");
        check("Return-Path: <s@x>\nA: 1\n\n", Some("s@x"), None, "Return-Path: <s@x>\nA: 1\n\n");
        check(
            "A: 1\nreturn-path: <old@x>\nReturn-Path: a\n b\nB: 2\n\n",
            Some(""),
            None,
            "Return-Path: <>\nA: 1\nB: 2\n\n",
        );
        // The body is not searched.
        check(
            "A: 1\n\nReturn-Path: <y>\n",
            Some("s@x"),
            None,
            "Return-Path: <s@x>\nA: 1\n\nReturn-Path: <y>\n",
        );
    }

    #[test]
    fn a_leading_from_line_becomes_the_return_path() {
        check(&format!("{FROM}A: 1\n\nx"), None, None, "Return-Path: <ann@b.example>\nA: 1\n\nx");
        check(
            &format!("{FROM}Return-Path: <ann@b.example>\nA: 1\n\nx"),
            None,
            None,
            "Return-Path: <ann@b.example>\nA: 1\n\nx",
        );
        check(&format!("{FROM}A: 1\n\nx"), Some("s@x"), None, "Return-Path: <s@x>\nA: 1\n\nx");
        check(
            "From MAILER-DAEMON Sat Feb  3 04:05:06 2001\nA: 1\n\n",
            None,
            None,
            "Return-Path: <>\nA: 1\n\n",
        );
        check("From ann@b\nA: 1\n\n", None, None, "Return-Path: <ann@b>\nA: 1\n\n");
        for prose in ["From all of us: a happy new year\n", "From : a@b\n\nx\n", "From here on\n"] {
            check(prose, None, None, prose);
        }
    }

    #[test]
    fn a_second_delivery_is_refused_but_not_the_mtas_own_field() {
        let reason = |text: &str, from_mta| {
            prepared(text, None, Some("joe@h.example"), from_mta).map_err(|f| f.reason)
        };
        let looping = Err(FailureReason::Looping);
        let once = "Delivered-To: joe@H.example\nReceived: y\n\n";
        assert_eq!(reason(once, false), looping);
        assert_eq!(reason(once, true), Ok(once.to_owned()));
        assert_eq!(reason("Received: x\nDelivered-To: joe@h.example\n\n", true), looping);
        assert_eq!(reason(&format!("{FROM}Received: x\ndelivered-to: joe@h.example\n\n"), false), looping);
        assert_eq!(reason("Delivered-To: joe@h.example\nDelivered-To: joe@h.example\n\n", true), looping);
        assert!(reason("Delivered-To: jim@h.example\n\nDelivered-To: joe@h.example\n", false).is_ok());
    }

    #[test]
    fn a_field_that_is_not_all_in_memory_is_not_touched() {
        let old = b"Return-Path: <old@x>\nX: 1\n";
        assert_eq!(complete_fields(&old[..15], true), &old[..15]);
        assert_eq!(complete_fields(&old[..15], false), b"");
        assert_eq!(complete_fields(&old[..23], false), &old[..21]);
    }

    #[test]
    fn an_empty_message_is_refused() {
        assert_eq!(
            PreparedMessage::require_input(&spooled(b"")).unwrap_err().reason,
            FailureReason::BadMessage
        );
        for text in [FROM, FROM.trim_end()] {
            assert_eq!(prepared(text, None, None, false).unwrap_err().reason, FailureReason::BadMessage);
        }
        check("", Some("s@x"), Some("joe@h"), "Return-Path: <s@x>\nDelivered-To: joe@h\n");
    }
}
