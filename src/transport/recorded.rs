//! Replays recorded sessions of qmail's and Postfix's clients and servers.

use std::io::Write;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value;

use super::netstring::Decoder;
use super::peer::{PATIENT, Peer, kinds, spooled};
use super::{Envelope, OutcomeKind, OutgoingMessage, qmqp, qmtp};

/// Returns the records of a file in ../shared, `None` where that is missing. A skip is reported as by the tests in
/// tests/cli.
#[allow(clippy::disallowed_methods)]
fn records(path: &str) -> Option<Vec<Value>> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = std::env::var_os("MAILFERRY_SHARED").map_or_else(default, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(root.join(path)) else {
        let why = "../shared is not here\n";
        let _ = std::io::stderr().write_all(format!("skipped: {why}").as_bytes());
        if let Some(list) = std::env::var_os("MAILFERRY_SKIPS") {
            let mut list = std::fs::File::options().append(true).create(true).open(list).unwrap();
            list.write_all(why.as_bytes()).unwrap();
        }
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Parses netstrings. Returns None if the bytes are something else.
fn netstrings(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut decoder = Decoder::new(bytes.len());
        bytes = &bytes[decoder.take(bytes).ok()?..];
        all.push(decoder.finish()?);
    }
    Some(all)
}

fn hex(value: &Value) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(value.as_str()?.as_bytes()).ok()
}

/// Returns the outcomes by the first byte of each answer. Without an answer the outcome is unknown.
fn expected(answer: &[u8], recipients: usize) -> Vec<OutcomeKind> {
    let mut kinds: Vec<OutcomeKind> = netstrings(answer)
        .unwrap_or_default()
        .iter()
        .map(|one| match one[0] {
            b'K' => OutcomeKind::Accepted,
            b'Z' => OutcomeKind::Temporary,
            _ => OutcomeKind::Permanent,
        })
        .collect();
    kinds.resize(recipients, OutcomeKind::Unsure);
    kinds
}

/// Parses a valid package that mailferry could have sent: one message whose lines all end alike.
fn package(sent: &[u8], is_qmtp: bool) -> Option<(Vec<u8>, Envelope)> {
    let outer = netstrings(sent)?;
    match (is_qmtp, &outer[..]) {
        (true, [message, sender, recipients]) => {
            let (mode, message) = message.split_first()?;
            let crlf = message.windows(2).filter(|w| w == b"\r\n").count();
            let lf = message.iter().filter(|&&b| b == b'\n').count();
            let own = if lf > 0 && lf == crlf { b'\r' } else { b'\n' };
            let envelope = Envelope { sender: sender.clone(), recipients: netstrings(recipients)? };
            (*mode == own).then(|| (message.to_vec(), envelope))
        }
        (false, [one]) => {
            let inner = netstrings(one)?;
            let [message, sender, recipients @ ..] = &inner[..] else { return None };
            let envelope = Envelope { sender: sender.clone(), recipients: recipients.to_vec() };
            Some((message.clone(), envelope))
        }
        _ => None,
    }
}

#[test]
fn recorded_sessions_of_qmail_and_postfix_are_repeated() {
    let (Some(mut cases), Some(postfix)) =
        (records("golden/wire.jsonl"), records("golden/postfix-qmqpd.jsonl"))
    else {
        return;
    };
    cases.extend(postfix);
    let mut compared = 0;
    for case in &cases {
        let is_qmtp = case["program"] == "qmail-qmtpd";
        let (sent, answer) = match case["program"].as_str() {
            Some("qmail-qmqpc") => {
                (hex(&case["sent_by_client_hex"]), hex(&case["reply_hex"]).unwrap_or_default())
            }
            _ => (hex(&case["sent_hex"]), case["received"].as_str().unwrap().as_bytes().to_vec()),
        };
        let Some(sent) = sent else { continue };
        let Some((message, envelope)) = package(&sent, is_qmtp) else { continue };
        let mut want = expected(&answer, envelope.recipients.len());
        let count = sent.len();
        let peer = Peer::spawn(move |talk| {
            talk.receive(count);
            talk.send(answer);
        });
        let message = spooled(&message);
        let message = OutgoingMessage::unmodified(&message, &envelope);
        let got = match is_qmtp {
            true => qmtp::send(&mut peer.connect(PATIENT), &message),
            false => {
                // One answer for all recipients.
                let one = want.first().copied();
                want.fill(one.unwrap_or(OutcomeKind::Unsure));
                qmqp::send(&mut peer.connect(PATIENT), &message)
            }
        };
        assert!(peer.received() == sent, "{case}");
        assert_eq!(kinds(&got), want, "{case}: {got:?}");
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}
