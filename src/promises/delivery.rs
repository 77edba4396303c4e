//! Properties of `.qmail` files and of injection.

use std::path::Path;

use crate::inject;
use crate::mailbox::message::address::Compat;
use crate::mailbox::message::header;
use crate::transport::spool;

/// Any bytes are a `.qmail` file: each line is one instruction, which can be written and parsed again.
pub fn dot_qmail(text: &[u8]) {
    use crate::deliver::dot_qmail::line::{self, Instruction};
    let lines = line::parse(text);
    assert!(!lines.is_empty());
    let newlines = text.iter().filter(|&&b| b == b'\n').count();
    assert_eq!(lines.len(), newlines + usize::from(!text.ends_with(b"\n")));
    let _ = line::check(&lines, false);
    for line in lines {
        let written = match &line.instruction {
            Instruction::Comment => b"#".to_vec(),
            Instruction::Blank => Vec::new(),
            Instruction::Unknown => b"+".to_vec(),
            Instruction::ForwardOnly => b"+list".to_vec(),
            Instruction::Program(text) => [b"|", &text[..]].concat(),
            Instruction::Mbox(path) | Instruction::Maildir(path) => path.clone(),
            Instruction::Forward(address) => [b"&", &address[..]].concat(),
        };
        assert_eq!(line::parse(&written)[0].instruction, line.instruction);
    }
}

/// Any message is completed, or gives an error. A completed message has its body and no hidden recipient. Completing
/// it again changes nothing.
pub fn injected(message: &[u8]) {
    let author = inject::Author { user: b"ann".to_vec(), ..inject::Author::default() };
    let domains = inject::Domains {
        default_host: b"dh".to_vec(),
        default_domain: Some(b"dd.example".to_vec()),
        plus_domain: Some(b"pd.example".to_vec()),
        id_host: b"id.example".to_vec(),
    };
    let arguments = [b"arg@h.example".to_vec()];
    let complete = |message: &[u8], compat, header_too| {
        let options = inject::InjectOptions {
            compat,
            crlf: compat == Compat::Strict,
            arguments: &arguments,
            header_recipients: header_too,
            sender: None,
            author: &author,
            flags: inject::InjectFlags::default(),
            domains: &domains,
            followup_lists: &[],
            now: 981_173_106,
            pid: 7,
            random: None,
        };
        let mut letter = spool::MessageSpool::new(Path::new("/tmp"), None);
        letter.push(message)?;
        let completed = inject::Injector::new(&options)?.complete(&letter.finish()?, Path::new("/tmp"))?;
        Ok::<_, inject::InjectError>((completed.message.in_memory().to_vec(), completed.envelope))
    };
    for compat in [Compat::Qmail, Compat::Strict] {
        let Ok((whole, envelope)) = complete(message, compat, true) else { continue };
        assert_eq!(envelope.recipients[0], arguments[0]);
        let (split, was) = (header::split(&whole), header::split(message));
        for field in header::fields(split.header) {
            let gone = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];
            assert!(!gone.iter().any(|name| field.is(name)), "{}", field.name.escape_ascii());
        }
        if message.contains(&b'\r') {
            continue;
        }
        let body = [was.body, if was.body.ends_with(b"\n") || !was.closed { b"" } else { b"\n" }].concat();
        assert!(split.body.ends_with(&body) || was.body.is_empty());
        if compat == Compat::Strict {
            let (again, _) = complete(&whole, compat, false).unwrap();
            assert_eq!(bstr::BStr::new(&again), bstr::BStr::new(&whole));
        }
    }
}
