//! Properties of bounces.

use std::path::Path;

use bstr::ByteSlice;

use crate::bounce;
use crate::bounce::write::{
    BounceFormat, BounceReport, BounceSender, Reason, ReportingHost, WrittenBounce, parse_recipient,
    parse_remote_mta, parse_status,
};
use crate::deliver::PreparedMessage;
use crate::mailbox::message::header::{self, decode_text};
use crate::transport::{DeliveryEnvelope, MessageSpool, envelope};

/// Any bytes are a report about somebody, or not a bounce. CRLF line ends change nothing.
pub fn bounce(message: &[u8]) {
    let report = bounce::read(message);
    if let Ok(bounce) = &report {
        assert!(!bounce.recipients.is_empty());
        assert!(bounce.recipients.iter().all(|one| !one.recipient.is_empty()));
    }
    if !message.contains(&b'\r') {
        let lines: Vec<&[u8]> = message.split(|&byte| byte == b'\n').collect();
        assert_eq!(bounce::read(&lines.join(&b"\r\n"[..])), report);
    }
}

/// A bounce that is written is read back: with the recipients, the status, the reason and the Message-ID of the
/// original. It has no line that is too long, and the original is in it byte for byte. Texts that the command line
/// refuses are left out.
pub fn written_bounce(sender: &[u8], recipients: &[&[u8]], reason: &[u8], original: &[u8]) {
    let Ok(sender) = BounceSender::new(sender) else { return };
    let recipients: Vec<String> = recipients.iter().filter_map(|one| parse_recipient(one).ok()).collect();
    let Some(reason) = Reason::new(reason).filter(|_| !recipients.is_empty()) else { return };
    let mut spool = MessageSpool::new(Path::new("/nonexistent"), None);
    spool.push(original).unwrap();
    let spooled = spool.finish().unwrap();
    let envelope = DeliveryEnvelope { sender: Some(sender.as_str().as_bytes().to_vec()), recipient: None };
    let Ok(original) = PreparedMessage::new(&spooled, &envelope, false) else { return };
    let numbers = [original.size() % 1000, original.size() / 7 % 1000];
    let status = format!("{}.{}.{}", 4 + original.size() % 2, numbers[0], numbers[1]);
    let report = BounceReport {
        sender,
        recipients,
        status: parse_status(&status).unwrap(),
        reason,
        remote_mta: parse_remote_mta(&status).ok().filter(|_| numbers[0] % 3 == 0),
        reporter: ReportingHost::new(b"mx.example.org", 7),
        now: 981_173_106,
    };
    for format in [BounceFormat::Qsbmf, BounceFormat::Dsn] {
        is_read_back(format, &report, &original);
    }
}

fn is_read_back(format: BounceFormat, report: &BounceReport, original: &PreparedMessage<'_>) {
    let (mut written, mut copy) = (Vec::new(), Vec::new());
    let bounce = WrittenBounce::new(format, report, original).unwrap();
    let mut collect = |bytes: &[u8]| {
        written.extend_from_slice(bytes);
        Ok(())
    };
    bounce.for_each_chunk(&mut collect).unwrap();
    let mut collect = |bytes: &[u8]| {
        copy.extend_from_slice(bytes);
        Ok(())
    };
    original.for_each_chunk(&mut collect).unwrap();
    let at = memchr::memmem::rfind(&written, &copy).expect("the original is in it");
    let added = [&written[..at], &written[at + copy.len()..]].concat();
    assert!(added.split(|&b| b == b'\n').all(|line| line.len() <= 998 && !line.contains(&b'\r')));

    let read = bounce::read(&written).unwrap_or_else(|why| panic!("{why}: {}", written.escape_ascii()));
    let (kind, reason) = match format {
        BounceFormat::Qsbmf => ("qsbmf", report.reason.line()),
        BounceFormat::Dsn => ("dsn", decode_text(report.reason.line().as_bytes())),
    };
    assert_eq!(read.kind.name(), kind);
    let unix = copy.replace("\r\n", "\n");
    let message_id = header::fields(&unix).find(|field| field.is("Message-ID"));
    let message_id = message_id.map(|field| header::unfold(field.value)).filter(|id| !id.is_empty());
    assert_eq!(read.original.message_id, message_id);
    assert_eq!(read.recipients.len(), report.recipients.len());
    for (read, recipient) in read.recipients.iter().zip(&report.recipients) {
        let address = match format {
            BounceFormat::Qsbmf => read.recipient.clone(),
            BounceFormat::Dsn => envelope::unquote(&read.recipient),
        };
        assert_eq!(String::from_utf8_lossy(&address), *recipient);
        assert_eq!(read.status, Some(report.status));
        assert_eq!(read.action.map(|action| action.name()), Some("failed"));
        // The sender may look like the address of a list, with a recipient in it.
        assert!(!read.is_heuristic || read.verp_recipient.is_some());
        let words: Vec<&str> = reason.split_whitespace().collect();
        let found = read.reason.clone().unwrap();
        assert!(found.contains(&words.join(" ")), "{found:?} is not {reason:?}");
        if format == BounceFormat::Dsn {
            assert_eq!(read.remote_mta.as_deref(), report.remote_mta.as_ref().map(|host| host.as_bytes()));
            assert_eq!(read.reason, Some(words.join(" ")));
        }
    }
}
