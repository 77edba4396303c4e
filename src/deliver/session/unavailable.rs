//! Recipients while no mail is accepted: a wrong option, or a map with an error.

use std::convert::Infallible;

use super::address::EnvelopeAddress;
use super::{Outcome, Recipients};
use crate::transport::{Failure, SpooledMessage};

/// Recipients that all fail for the same reason.
pub(crate) struct UnavailableRecipients(pub(crate) Failure);

impl Recipients for UnavailableRecipients {
    type Mailbox = Infallible;

    fn look_up(&mut self, _: &EnvelopeAddress) -> Result<Infallible, Failure> {
        Err(self.0.clone())
    }

    fn deliver(
        &mut self,
        _: &SpooledMessage,
        _: Option<&EnvelopeAddress>,
        _: &EnvelopeAddress,
        mailbox: &Infallible,
    ) -> Outcome {
        match *mailbox {}
    }
}
