//! Delivers the message on standard input into a Maildir, durably: `cargo run --example deliver_message DIR`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use mailferry::Maildir;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a Maildir")?;
    let mut message = Vec::new();
    std::io::stdin().read_to_end(&mut message)?;
    let maildir = Maildir::create(Path::new(&path))?;
    let file = maildir.deliver(&message, SystemTime::now(), "localhost")?;
    println!("{}", file.display());
    Ok(())
}
