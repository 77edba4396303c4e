//! Lists the messages of an mbox and what is odd about it: `cargo run --example read_mbox FILE`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::Path;
use std::time::Duration;

use mailferry::{LockMethod, LockOptions, MboxFile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("name an mbox")?;
    let locks = LockOptions {
        methods: vec![LockMethod::Dotlock, LockMethod::Fcntl],
        timeout: Duration::from_secs(30),
        pid: std::process::id(),
        host: "localhost".into(),
    };
    let file = MboxFile::open(Path::new(&path), &locks, &std::env::temp_dir())?;
    let mbox = file.read()?;
    for message in mbox.messages() {
        println!("byte {}: {} bytes", message.offset(), message.bytes().len());
    }
    for finding in mbox.findings() {
        println!("{}: line {:?}: {}", finding.code.name(), finding.line, finding.message);
    }
    Ok(())
}
