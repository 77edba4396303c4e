//! What is put on top of a message and what is taken off, once its envelope is known.
//!
//! A message comes from an MTA that may have said the envelope in a From_ line, Return-Path, Delivered-To
//! and the like already, or from a script that has said nothing. In the mailbox each is there once.

use std::ops::Range;

use crate::mailbox::error::Result;
use crate::mailbox::mbox;
use crate::mailbox::mbox::from_line::{self, LineClass};
use crate::mailbox::mbox::status::Status;
use crate::mailbox::mbox::write::{HeaderEdit, MessageHead, line_ending};
use crate::mailbox::message::header;
use crate::mailbox::text::escape;
use crate::transport::envelope;
use crate::transport::envelope::DeliveryEnvelope;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::spool::SpooledMessage;

/// A message as it will lie in a mailbox: lines on top, and the letter without what is cut.
#[derive(Debug)]
pub struct PreparedMessage<'a> {
    letter: &'a SpooledMessage,
    top: Vec<u8>,
    /// What of the letter's head is left out, in order and apart.
    cuts: Vec<Range<usize>>,
    /// The envelope sender, empty for the null sender; for a From_ line.
    sender: Vec<u8>,
}

impl<'a> PreparedMessage<'a> {
    /// A letter with these lines above it and nothing else changed.
    pub fn verbatim(letter: &'a SpooledMessage, top: Vec<u8>) -> PreparedMessage<'a> {
        PreparedMessage { letter, top, cuts: Vec::new(), sender: Vec::new() }
    }

    /// The letter with its envelope told once: a From_ line on top is taken off and understood, one
    /// Return-Path and one Delivered-To stand in the header.
    ///
    /// `from_mta`: the letter comes straight from an MTA of which it is known that it writes trace fields
    /// itself. A Delivered-To with our recipient above the first Received field is of this delivery then;
    /// anywhere else it says that the message has been here before.
    ///
    /// # Errors
    /// [`Reason::BadMessage`] for an empty letter and for a From_ line alone, [`Reason::Looping`].
    pub fn new(
        letter: &'a SpooledMessage,
        envelope: &DeliveryEnvelope,
        from_mta: bool,
    ) -> Result<PreparedMessage<'a>, Failure> {
        if letter.length() == 0 {
            return Err(Failure::new(FailureReason::BadMessage, "there is no message: what came is empty"));
        }
        let head = letter.head();
        let from_line = leading_from_line(head);
        let start = from_line.as_ref().map_or(0, |line| line.length);
        if start as u64 == letter.length() {
            let text = "there is no message: what came is a From_ line and nothing else";
            return Err(Failure::new(FailureReason::BadMessage, text));
        }
        let from_mta = from_mta || from_line.is_some();
        let is_whole = head.len() as u64 == letter.length();
        let header = header_held(&head[start..], is_whole);
        let sender = envelope.sender.clone().or(from_line.map(|line| line.sender));
        let mut draft = PreparedMessage { letter, top: Vec::new(), cuts: Vec::new(), sender: Vec::new() };
        if start > 0 {
            draft.cuts.push(0..start);
        }
        let eol = line_ending(&head[start..]);
        if let Some(sender) = &sender {
            let ours = envelope::return_path(sender);
            draft.tell_sender(header, start, &ours, eol);
        }
        if let Some(recipient) = &envelope.recipient
            && !is_told(header, recipient, from_mta)?
        {
            draft.top.extend_from_slice(&[&envelope::delivered_to(recipient)[..], eol].concat());
        }
        draft.sender = sender.or_else(|| header::return_path(header).map(<[u8]>::to_vec)).unwrap_or_default();
        Ok(draft)
    }

    /// Return-Path once: as it is, if it is there once and says the same; else ours on top and no other.
    fn tell_sender(&mut self, header: &[u8], start: usize, ours: &[u8], eol: &[u8]) {
        let mut at = start;
        let mut there = Vec::new();
        let mut same = 0;
        for (lines, field) in header::logical_lines(header) {
            if let Some(field) = field.filter(|field| field.is("Return-Path")) {
                there.push(at..at + lines.len());
                let value = field.value.trim_ascii();
                same += usize::from(ours.strip_prefix(b"Return-Path: ") == Some(value));
            }
            at += lines.len();
        }
        if there.len() != 1 || same != 1 {
            self.cuts.extend(there);
            self.top.extend_from_slice(&[ours, eol].concat());
        }
    }

    /// The lines put on top.
    pub fn top(&self) -> &[u8] {
        &self.top
    }

    /// The envelope sender; empty for the null sender and where nobody knows it.
    pub fn sender(&self) -> &[u8] {
        &self.sender
    }

    /// Where in the letter the message itself begins: behind a From_ line on top.
    pub fn message_offset(&self) -> u64 {
        let first =
            self.cuts.first().filter(|cut| cut.start == 0 && self.letter.head().starts_with(b"From "));
        first.map_or(0, |cut| cut.end as u64)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.letter.length() - self.cuts.iter().map(|cut| cut.len() as u64).sum::<u64>()
            + self.top.len() as u64
    }

    /// Size in bytes with every line end counted as CRLF.
    pub fn wire_size(&self) -> u64 {
        let head = self.letter.head();
        let cut: u64 = self.cuts.iter().map(|cut| bare_newlines(&head[cut.clone()])).sum();
        self.size() + self.letter.bare_newlines() - cut + bare_newlines(&self.top)
    }

    /// How an mbox has it, and what of `head`, which is [`Draft::head`], is the first chunk. `epoch` is the
    /// time of delivery.
    pub fn mbox_head<'h>(
        &'h self,
        head: &'h [u8],
        status: Option<Status>,
        epoch: i64,
    ) -> (MessageHead<'h>, &'h [u8]) {
        let eol = line_ending(head);
        let (header, first) = HeaderEdit::for_delivery(head, head.len() as u64 == self.size(), status);
        let envelope = mbox::write::FromLineSpec::Generated { sender: &self.sender, epoch };
        (MessageHead { from_line: envelope, header, eol }, first)
    }

    /// What of it is held in memory: all, or its first 8 MiB. Its header is in there, unless that is longer.
    pub fn head(&self) -> Vec<u8> {
        let mut head = self.top.clone();
        self.each_of_head(|piece| head.extend_from_slice(piece));
        head
    }

    /// All its bytes in order.
    pub fn for_each_chunk(&self, chunk: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        // As one piece: it is one write for a message of the usual size.
        chunk(&self.head())?;
        self.for_each_chunk_after_head(chunk)
    }

    /// What follows [`Draft::head`].
    pub fn for_each_chunk_after_head(&self, chunk: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.letter.for_each_chunk(self.letter.head().len() as u64, chunk)
    }

    fn each_of_head(&self, mut piece: impl FnMut(&[u8])) {
        let (head, mut from) = (self.letter.head(), 0);
        for cut in &self.cuts {
            piece(&head[from..cut.start]);
            from = cut.end;
        }
        piece(&head[from..]);
    }
}

/// A From_ line at the top of a message: some MTAs put one there.
struct Leading {
    /// With its line end.
    length: usize,
    sender: Vec<u8>,
}

/// A line `From ` that is prose stays: one that has a date is none, nor one above a header field.
fn leading_from_line(head: &[u8]) -> Option<Leading> {
    if !head.starts_with(b"From ") {
        return None;
    }
    let length = memchr::memchr(b'\n', head).map_or(head.len(), |lf| lf + 1);
    let (line, rest) = head.split_at(length);
    if header::is_field_line(line) && from_line::parse(line).class != LineClass::Dated {
        return None;
    }
    let parsed = from_line::parse(line);
    let is_one = match parsed.class {
        LineClass::Dated => true,
        LineClass::Known => rest.is_empty() || header::is_field_line(rest),
        LineClass::Unknown => false,
    };
    let sender = if parsed.sender.eq_ignore_ascii_case(b"MAILER-DAEMON") { b"" } else { parsed.sender };
    is_one.then(|| Leading { length, sender: envelope::unquote(sender) })
}

/// The header as far as it is held in memory: of one that is longer, its whole fields.
fn header_held(head: &[u8], is_whole: bool) -> &[u8] {
    let split = header::split(head);
    if split.closed || is_whole {
        return split.header;
    }
    let cut_off = header::logical_lines(split.header).last().map_or(0, |(lines, _)| lines.len());
    &split.header[..split.header.len() - cut_off]
}

/// Whether a Delivered-To for this recipient is there already, of this very delivery.
fn is_told(header: &[u8], recipient: &[u8], from_mta: bool) -> Result<bool, Failure> {
    let (mut received, mut told) = (false, false);
    for field in header::fields(header) {
        received |= field.is("Received");
        if field.is("Delivered-To") && envelope::is_same(field.value.trim_ascii(), recipient) {
            if received || told || !from_mta {
                let text = format!(
                    "the message is looping: it has been delivered to {} before (Delivered-To)",
                    escape(recipient)
                );
                return Err(Failure::new(FailureReason::Looping, text));
            }
            told = true;
        }
    }
    Ok(told)
}

fn bare_newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).filter(|&at| at == 0 || bytes[at - 1] != b'\r').count() as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::deliver::prepared_message::*;
    use crate::transport::spool::MessageSpool;

    fn letter(text: &[u8]) -> SpooledMessage {
        let mut arriving = MessageSpool::new(Path::new("/nonexistent"), None);
        text.chunks(3).for_each(|bytes| arriving.push(bytes).unwrap());
        arriving.finish().unwrap()
    }

    fn draft(
        text: &str,
        sender: Option<&str>,
        recipient: Option<&str>,
        from_mta: bool,
    ) -> Result<String, Failure> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let envelope = DeliveryEnvelope { sender: sender.map(bytes), recipient: recipient.map(bytes) };
        let letter = letter(text.as_bytes());
        let draft = PreparedMessage::new(&letter, &envelope, from_mta)?;
        let mut all = Vec::new();
        draft
            .for_each_chunk(&mut |bytes| {
                all.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        assert_eq!(draft.size(), all.len() as u64);
        assert_eq!(draft.wire_size(), all.len() as u64 + bare_newlines(&all));
        Ok(String::from_utf8(all).unwrap())
    }

    #[track_caller]
    fn becomes(text: &str, sender: Option<&str>, recipient: Option<&str>, want: &str) {
        assert_eq!(draft(text, sender, recipient, false).unwrap(), want);
    }

    const FROM: &str = "From ann@b.example  Sat Feb  3 04:05:06 2001\n";

    #[test]
    fn what_nobody_knows_is_not_told() {
        becomes("A: 1\n\nx", None, None, "A: 1\n\nx");
        becomes("\n", None, None, "\n");
        becomes("x", None, None, "x");
    }

    #[test]
    fn sender_and_recipient_are_told_once_and_on_top() {
        let both = (Some("s@x"), Some("joe@h"));
        let top = "Return-Path: <s@x>\nDelivered-To: joe@h\n";
        becomes("A: 1\n\nx", both.0, both.1, &format!("{top}A: 1\n\nx"));
        becomes(
            "A: 1\r\n\r\nx",
            both.0,
            both.1,
            "Return-Path: <s@x>\r\nDelivered-To: joe@h\r\nA: 1\r\n\r\nx",
        );
        becomes("Return-Path: <s@x>\nA: 1\n\n", Some("s@x"), None, "Return-Path: <s@x>\nA: 1\n\n");
        becomes(
            "A: 1\nreturn-path: <old@x>\nReturn-Path: a\n b\nB: 2\n\n",
            Some(""),
            None,
            "Return-Path: <>\nA: 1\nB: 2\n\n",
        );
        // In the body nothing is looked at.
        becomes(
            "A: 1\n\nReturn-Path: <y>\n",
            Some("s@x"),
            None,
            "Return-Path: <s@x>\nA: 1\n\nReturn-Path: <y>\n",
        );
    }

    #[test]
    fn a_from_line_on_top_is_understood_and_taken_off() {
        becomes(&format!("{FROM}A: 1\n\nx"), None, None, "Return-Path: <ann@b.example>\nA: 1\n\nx");
        becomes(
            &format!("{FROM}Return-Path: <ann@b.example>\nA: 1\n\nx"),
            None,
            None,
            "Return-Path: <ann@b.example>\nA: 1\n\nx",
        );
        becomes(&format!("{FROM}A: 1\n\nx"), Some("s@x"), None, "Return-Path: <s@x>\nA: 1\n\nx");
        becomes(
            "From MAILER-DAEMON Sat Feb  3 04:05:06 2001\nA: 1\n\n",
            None,
            None,
            "Return-Path: <>\nA: 1\n\n",
        );
        becomes("From ann@b\nA: 1\n\n", None, None, "Return-Path: <ann@b>\nA: 1\n\n");
        for kept in ["From all of us: a happy new year\n", "From : a@b\n\nx\n", "From here on\n"] {
            becomes(kept, None, None, kept);
        }
    }

    #[test]
    fn what_was_here_before_is_refused_and_what_the_mta_says_of_this_delivery_is_not() {
        let reason =
            |text: &str, from_mta| draft(text, None, Some("joe@h.example"), from_mta).map_err(|f| f.reason);
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
    fn a_field_that_goes_beyond_what_is_held_stays_whole() {
        let old = b"Return-Path: <old@x>\nX: 1\n";
        assert_eq!(header_held(&old[..15], true), &old[..15]);
        assert_eq!(header_held(&old[..15], false), b"");
        assert_eq!(header_held(&old[..23], false), &old[..21]);
    }

    #[test]
    fn no_message_at_all_is_refused() {
        for text in ["", FROM, FROM.trim_end()] {
            assert_eq!(draft(text, None, None, false).unwrap_err().reason, FailureReason::BadMessage);
        }
    }
}
