//! Reads every message of a Maildir and lists what is damaged: `cargo run --example verify_maildir DIR`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::Path;
use std::time::SystemTime;

use mailferry::Maildir;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a Maildir")?;
    let maildir = Maildir::open(Path::new(&path))?;
    let findings = maildir.verify(SystemTime::now())?;
    for finding in &findings {
        println!("{}: {}", finding.code.name(), finding.message);
    }
    println!("{} messages, {} findings", maildir.entries()?.len(), findings.len());
    Ok(())
}
