//! Handing a message on, as all of qmail's programs do that send one.

use std::time::Duration;

use crate::cli::relay::{default_next_hops, relay_message};
use crate::mailbox::Cancel;
use crate::transport::{
    NextHop, OutcomeKind, OutgoingMessage, ProcessLimits, QueueProgram, Refusal, RelayOutcome,
};

/// qmail's programs wait without limit for the queue program; a day makes no difference.
const A_DAY: Duration = Duration::from_secs(86400);

/// Passes a message to the queue program, which inherits standard error, or on a null client to the servers that replace
/// it. Returns what has it: `qp` and the process of the queue program, or the name of a next hop.
pub(super) fn enqueue(message: &OutgoingMessage<'_>, cancel: &Cancel) -> Result<String, Refusal> {
    let hops = default_next_hops().map_err(|failure| Refusal::temporary(failure.text))?;
    if let [NextHop::Queue(program)] = &hops[..] {
        let file = message.to_file().map_err(|error| Refusal::temporary(error.to_string()))?;
        let limits = ProcessLimits { time: A_DAY, cancel };
        let program = QueueProgram { path: program, limits, capture_stderr: false };
        return program.send(file, message.envelope).map(|process| format!("qp {process}"));
    }
    // A QMQP server would refuse that, and without recipients there is no outcome.
    if message.envelope.recipients.is_empty() {
        return Err(Refusal::permanent("no recipients specified (#5.5.4)"));
    }
    let outcomes = relay_message(message, &hops, A_DAY, cancel)
        .map_err(|error| Refusal::temporary(error.to_string()))?;
    let refused = |is_permanent: bool| {
        outcomes.iter().find(|one| {
            one.outcome.kind != OutcomeKind::Accepted
                && is_permanent == (one.outcome.kind == OutcomeKind::Permanent)
        })
    };
    // All are tried again as long as one can succeed later.
    let first = refused(false).or_else(|| refused(true));
    let name = |one: &RelayOutcome| hops[one.hop_index].to_string();
    match first {
        Some(one) => Err(Refusal { kind: one.outcome.kind, text: format!("{}: {}", name(one), one.outcome) }),
        None => Ok(outcomes.first().map(name).unwrap_or_default()),
    }
}
