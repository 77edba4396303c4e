//! What a program says on standard error is kept, and told behind why it failed: an MTA goes by the first line that it
//! hears, and that is to be ours.

use std::io;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use crate::mailbox::fs::durable;
use crate::mailbox::text::escape;
use crate::transport::outcome::{OutcomeKind, Refusal};

/// As much of it as is told, in bytes.
const HEARD: usize = 1000;

/// Runs what starts a program with this standard error.
pub fn capture_stderr<T>(run: impl FnOnce(Stdio) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let listen = || {
        let heard = durable::memory_file("standard error")?;
        Ok::<_, io::Error>((heard.try_clone()?, heard))
    };
    let (theirs, heard) = listen().map_err(|e| Refusal {
        kind: OutcomeKind::Temporary,
        text: format!("unable to listen: {e} (#4.3.0)"),
    })?;
    run(theirs.into()).map_err(|refusal| {
        let mut said = vec![0; HEARD];
        // What cannot be read is not told.
        let length = heard.read_at(&mut said, 0).unwrap_or(0);
        said.truncate(length);
        match escape(said.trim_ascii()) {
            said if said.is_empty() => refusal,
            said => Refusal { text: format!("{}; it said: {said}", refusal.text), ..refusal },
        }
    })
}
