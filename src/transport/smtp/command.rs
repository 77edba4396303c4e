//! The commands of a client: the extensions of the server, the message, the addresses.

#[cfg(feature = "tls")]
use super::mechanisms::Mechanisms;
use crate::transport::reply::Reply;
use crate::transport::spool::LineCounts;
use crate::transport::{Outcome, OutcomeKind, OutgoingMessage, TransportError, envelope};

/// The extensions that a server offers.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    /// The largest message; 0 if the server sets no limit.
    pub(super) size: Option<u64>,
    #[cfg(feature = "tls")]
    pub(super) start_tls: bool,
    #[cfg(feature = "tls")]
    pub(super) mechanisms: Mechanisms,
}

impl Extensions {
    pub(super) fn parse(reply: &Reply) -> Extensions {
        let mut extensions = Extensions::default();
        // The first line is the greeting.
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split(|&b| b == b' ' || b == b'=');
            match words.next().unwrap_or_default().to_ascii_uppercase().as_slice() {
                b"PIPELINING" => extensions.pipelining = true,
                b"8BITMIME" => extensions.eight_bit = true,
                b"SMTPUTF8" => extensions.utf8 = true,
                b"SIZE" => {
                    let size = words.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
                    extensions.size = Some(size.unwrap_or(0));
                }
                #[cfg(feature = "tls")]
                b"STARTTLS" => extensions.start_tls = true,
                // Old servers write AUTH=PLAIN.
                #[cfg(feature = "tls")]
                b"AUTH" => extensions.mechanisms.add(words),
                _ => {}
            }
        }
        extensions
    }
}

/// Properties of the message in its form on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageStats {
    pub(super) size: u64,
    pub(super) eight_bit: bool,
}

impl MessageStats {
    pub(super) fn of(message: &OutgoingMessage<'_>) -> Result<MessageStats, TransportError> {
        let (mut lines, mut eight_bit) = (LineCounts::default(), false);
        message.for_each_chunk(&mut |bytes| {
            eight_bit |= !bytes.is_ascii();
            lines.push(bytes);
            Ok(())
        })?;
        let missing_line_end = if lines.last_byte == Some(b'\n') { 0 } else { 2 };
        Ok(MessageStats { size: message.length() + lines.bare_lfs + missing_line_end, eight_bit })
    }
}

pub(super) fn command_line(word: &[u8], address: &[u8], parameters: &str) -> Vec<u8> {
    [word, &envelope::quote(address), b">", parameters.as_bytes(), b"\r\n"].concat()
}

/// Refuses an address that cannot be sent. Everything else is the server's decision.
pub(super) fn refuse_address(address: &[u8], utf8: bool, whose: &str) -> Option<Outcome> {
    let (_, domain) = envelope::split(address);
    let is_control = |b: &u8| b.is_ascii_control();
    let ends_address = |b: &u8| is_control(b) || matches!(b, b' ' | b'<' | b'>');
    if address.iter().any(is_control) || domain.iter().any(ends_address) {
        let status = if whose == "sender" { "5.1.7" } else { "5.1.3" };
        let text = format!("this {whose} cannot be written in SMTP");
        return Some(Outcome::new(OutcomeKind::Permanent, status, text));
    }
    (!address.is_ascii() && !utf8).then(|| {
        let text = format!("the {whose} is not ASCII, and the server has no SMTPUTF8");
        Outcome::new(OutcomeKind::Permanent, "5.6.7", text)
    })
}

/// Expands the sender `pre@host-@[]` for one recipient to `preJOE=HIS.HOST@host`, like qmail-send.
pub(super) fn expand_verp(list: &[u8], recipient: &[u8]) -> Vec<u8> {
    let (pre, host) = envelope::split(list);
    let (local, domain) = envelope::split(recipient);
    match domain.strip_prefix(b"@") {
        Some(domain) => [pre, local, b"=", domain, host].concat(),
        None => list.to_vec(),
    }
}
