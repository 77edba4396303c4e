//! The completion of a message, from the options to the envelope.

use std::path::Path;

use super::error::MAX_RECIPIENTS;
use super::fields::HeaderFields;
use super::generate::FieldGenerator;
use super::rewrite::Rewriter;
use super::{InjectError, InjectOptions, head};
use crate::mailbox::message::address::list::Address;
use crate::mailbox::message::address::token::Tokens;
use crate::mailbox::message::address::{Compat, FaultKind};
use crate::transport::{Envelope, Failure, FailureReason, SpooledMessage, envelope};

/// A completed message.
#[derive(Debug)]
pub(crate) struct CompletedMessage {
    /// The message; lines end in LF.
    pub(crate) message: SpooledMessage,
    pub(crate) envelope: Envelope,
}

/// Completes one message. Its sender, recipients and domains are checked before the message is read.
#[derive(Debug)]
pub(crate) struct Injector<'a> {
    options: &'a InjectOptions<'a>,
    rewriter: Rewriter<'a>,
    sender: Option<Vec<u8>>,
    recipients: Vec<Vec<u8>>,
}

impl<'a> Injector<'a> {
    /// Checks everything except the message.
    pub(crate) fn new(options: &'a InjectOptions<'a>) -> Result<Injector<'a>, InjectError> {
        if options.compat == Compat::Strict {
            options.domains.check()?;
        }
        let rewriter = Rewriter::new(options.domains)?;
        let sender =
            match options.sender {
                None => None,
                Some(b"") => Some(Vec::new()),
                // An @ is allowed in the local part: a VERP sender has one.
                Some(raw) => Some(complete_address(raw, b"<>,", &rewriter, options.compat).map_err(
                    |error| match error {
                        InjectError::Address { address, why, .. } => {
                            InjectError::Address { address, why, is_sender: true }
                        }
                        other => other,
                    },
                )?),
            };
        let recipients = options.arguments.iter().map(|raw| {
            let recipient = complete_address(raw, b"<>,@", &rewriter, options.compat)?;
            match options.compat == Compat::Strict && recipient.is_empty() {
                true => Err(invalid(raw, FaultKind::Empty)),
                false => Ok(recipient),
            }
        });
        let recipients: Vec<Vec<u8>> = recipients.collect::<Result<_, InjectError>>()?;
        if recipients.len() > MAX_RECIPIENTS {
            return Err(InjectError::TooManyRecipients { place: "the arguments".into() });
        }
        Ok(Injector { options, rewriter, sender, recipients })
    }

    /// Completes a message. What exceeds memory is stored in `spool_dir`.
    pub(crate) fn complete(
        self,
        message: &SpooledMessage,
        spool_dir: &Path,
    ) -> Result<CompletedMessage, InjectError> {
        let Injector { options, rewriter, sender, mut recipients } = self;
        if options.compat == Compat::Strict && message.length() == 0 {
            let text = "there is no message: standard input is empty";
            return Err(Failure::new(FailureReason::BadMessage, text).into());
        }
        let mut fields = HeaderFields::new(options, &rewriter);
        let end = head::read_fields(message, options.crlf, |field| fields.add(field))?;
        if options.compat == Compat::Strict {
            head::check_hidden_recipients(message, end)?;
        }
        if options.header_recipients {
            recipients.append(&mut fields.take_recipients()?);
        }
        if options.compat == Compat::Strict && recipients.is_empty() {
            return Err(InjectError::NoRecipients);
        }
        let generator = FieldGenerator { options, rewriter: &rewriter };
        let sender = match sender.or_else(|| fields.take_sender()) {
            Some(sender) => sender,
            None => generator.sender()?,
        };
        let missing = fields.missing_fields(&generator)?;
        let message = head::rebuild([&missing, &fields.retained], message, end, spool_dir)?;
        Ok(CompletedMessage { message, envelope: Envelope { sender, recipients } })
    }
}

/// Completes a raw address that the caller named. `suspicious` are characters that no local part contains, but a display
/// name or a second address does.
fn complete_address(
    raw: &[u8],
    suspicious: &[u8],
    rewriter: &Rewriter<'_>,
    compat: Compat,
) -> Result<Vec<u8>, InjectError> {
    let (local, _) = envelope::split(raw);
    if compat == Compat::Strict && local.iter().any(|b| suspicious.contains(b)) {
        let why = "give one address, without a name and without brackets, each as an argument of its own";
        return Err(InjectError::Address { address: raw.to_vec(), why: why.into(), is_sender: false });
    }
    if raw.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Err(invalid(raw, FaultKind::Control));
    }
    let quoted = envelope::quote(raw);
    let tokens = Tokens::read(&quoted, compat).map_err(|fault| invalid(raw, fault.kind))?;
    let mut address = Address { at: 0, tokens: tokens.iter().collect() };
    let checked = address.check();
    if let (Compat::Strict, Err(fault)) = (compat, checked) {
        return Err(invalid(raw, fault.kind));
    }
    rewriter.rewrite(&mut address);
    Ok(address.to_bytes())
}

fn invalid(address: &[u8], kind: FaultKind) -> InjectError {
    InjectError::Address { address: address.to_vec(), why: kind.to_string(), is_sender: false }
}
