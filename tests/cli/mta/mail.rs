//! The messages to submit, and the check that the Maildir has them.

use std::path::Path;

use crate::support::*;

/// A message with all fields that an MTA would add.
pub(super) const PLAIN: &[u8] =
    b"From: ada@example.com\nTo: joe@example.org\nDate: Mon, 2 Mar 1998 08:15:00 +0000\n\
    Message-Id: <1@example.com>\nSubject: plain\n\nbody\n";

/// A message with bytes that are easily damaged in transit.
pub(super) const ODD: &[u8] = b"From: ada@example.com\nTo: joe@example.org\nDate: Mon, 2 Mar 1998 08:15:00 +0000\n\
    Message-Id: <2@example.com>\nX-From: here\nSubject: odd\n\n\n\nFrom here\n>From there\n>>From everywhere\n.\n..\n\
    .dot\nDelivered-To: joe@example.org\nReturn-Path: <nobody@example.com>\n8-bit \xe4\xff \xc3\xa4\n\ttab \nend\n\n\n";

/// Asserts that the Maildir has one message: the envelope once and on top, then the MTA's fields, then all of
/// the submitted message.
#[track_caller]
pub(super) fn is_exactly(maildir: &Path, sender: &str, recipient: &str, handed_in: &[u8]) {
    let all = messages(maildir);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(names(&maildir.join("tmp")).is_empty());
    has(&all[0], sender, recipient, handed_in);
}

#[track_caller]
pub(super) fn has(message: &Message, sender: &str, recipient: &str, handed_in: &[u8]) {
    let text = String::from_utf8_lossy(&message.bytes);
    assert!(message.bytes.ends_with(handed_in), "{text}");
    let above = &message.bytes[..message.bytes.len() - handed_in.len()];
    let above = std::str::from_utf8(above).unwrap();
    assert_eq!(above.lines().next().unwrap(), format!("Return-Path: <{sender}>"), "{text}");
    let fields = |field: &str| above.lines().filter(|line| line.starts_with(field)).collect::<Vec<_>>();
    assert_eq!(fields("Return-Path:").len(), 1, "{text}");
    assert_eq!(fields("Delivered-To:"), [format!("Delivered-To: {recipient}")], "{text}");
    // All other lines are header fields of the MTA.
    let fields = [
        "Return-Path:",
        "Delivered-To:",
        "Received:",
        "X-Original-To:",
        "Delivery-date:",
        "Envelope-to:",
        "\t",
    ];
    for line in above.lines() {
        assert!(fields.iter().any(|field| line.starts_with(field)), "{line:?} in {text}");
    }
}
