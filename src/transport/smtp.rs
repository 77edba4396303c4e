//! SMTP (RFC 5321) and LMTP (RFC 2033), as a client, with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and enhanced status
//! codes; neither TLS nor AUTH.
//!
//! - A server that will not talk to us (its greeting, HELO) has refused no message: that is temporary.
//! - 8BITMIME is said where the server knows it and the message needs it. To one that does not, a message in 8 bits
//!   goes as it is: RFC 6152 wants it converted or returned, but servers that do not pass all 8 bits are gone, and a
//!   signature does not outlive a conversion. qmail and Exim do the same.
//! - SMTPUTF8 is asked for where an address of the envelope is not ASCII; a server without it cannot be told that
//!   address, which is refused for good. A header in UTF-8 asks for nothing.
//! - A server that takes only so many recipients at once (452) gets the message again for the others.
//! - VERP as qmail means it, a sender `list-@host-@[]`, is spelled out: each recipient gets a transaction of its own.

use std::iter;

use super::net::{Broken, Connection};
use super::outcome::{Fate, Outcome};
use super::reply::{Parser, Reply};
use super::stuffing::Stuffing;
use super::{Envelope, Message};
use crate::transport::envelope;

/// So many commands wait for an answer at most. Their answers fit into the buffers between us: otherwise both
/// sides could wait for the other to read (RFC 2920, 3.1).
const AHEAD: usize = 50;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One answer to a message.
    Smtp,
    /// One for each recipient.
    Lmtp,
}

/// Sends a message. `hello` is the name that we give ourselves.
pub fn send(
    connection: &mut Connection<'_>,
    protocol: Protocol,
    hello: &str,
    message: &Message<'_>,
    envelope: &Envelope,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; envelope.recipients.len()];
    let talked = match Session::open(connection, protocol, hello) {
        Ok(mut session) => session.all(message, envelope, &mut outcomes).inspect(|()| session.quit()),
        Err(broken) => Err(broken),
    };
    // What is still open when the conversation ends has not been sent.
    let broken = talked.err().unwrap_or(Broken::Closed);
    outcomes.into_iter().map(|one| one.unwrap_or_else(|| Outcome::broken(&broken, false))).collect()
}

/// What a server can do.
#[derive(Debug, Default)]
struct Extensions {
    pipelining: bool,
    eight_bit: bool,
    utf8: bool,
    /// The largest message, where it names one.
    size: Option<u64>,
}

impl Extensions {
    fn of(reply: &Reply) -> Extensions {
        let mut extensions = Extensions::default();
        // The first line is a greeting.
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split(|&b| b == b' ' || b == b'=');
            match words.next().unwrap_or_default().to_ascii_uppercase().as_slice() {
                b"PIPELINING" => extensions.pipelining = true,
                b"8BITMIME" => extensions.eight_bit = true,
                b"SMTPUTF8" => extensions.utf8 = true,
                b"SIZE" => {
                    let size = words.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
                    // 0: no limit that it knows of.
                    extensions.size = Some(size.unwrap_or(0));
                }
                _ => {}
            }
        }
        extensions
    }
}

/// A message as the wire will have it.
#[derive(Debug, Clone, Copy)]
struct Looks {
    size: u64,
    eight_bit: bool,
}

impl Looks {
    fn of(message: &Message<'_>) -> Result<Looks, Broken> {
        let mut looks = Looks { size: message.length(), eight_bit: false };
        let mut last = 0;
        message.each_chunk(&mut |bytes| {
            looks.eight_bit |= !bytes.is_ascii();
            for lf in memchr::memchr_iter(b'\n', bytes) {
                let before = if lf == 0 { last } else { bytes[lf - 1] };
                looks.size += u64::from(before != b'\r');
            }
            last = bytes.last().copied().unwrap_or(last);
            Ok(())
        })?;
        looks.size += if last == b'\n' { 0 } else { 2 };
        Ok(looks)
    }
}

fn is_full(reply: &Reply) -> bool {
    reply.code == 452
}

/// A conversation in which the greetings are done.
struct Session<'c, 'p> {
    connection: &'c mut Connection<'p>,
    protocol: Protocol,
    extensions: Extensions,
}

impl<'c, 'p> Session<'c, 'p> {
    fn open(connection: &'c mut Connection<'p>, protocol: Protocol, hello: &str) -> Result<Self, Broken> {
        if hello.is_empty() || !hello.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Broken::Garbled(format!("{hello:?} is no name to say to a server")));
        }
        let mut session = Session { connection, protocol, extensions: Extensions::default() };
        session.welcome()?;
        let word = if protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        let mut reply = session.ask(&format!("{word} {hello}\r\n"))?;
        match reply.fate() {
            Some(Fate::Accepted) => session.extensions = Extensions::of(&reply),
            Some(Fate::Permanent) if protocol == Protocol::Smtp => {
                reply = session.ask(&format!("HELO {hello}\r\n"))?;
            }
            _ => {}
        }
        match reply.fate() {
            Some(Fate::Accepted) => Ok(session),
            _ => Err(Broken::Garbled(format!("it does not talk to us: {}", reply.text()))),
        }
    }

    fn welcome(&mut self) -> Result<(), Broken> {
        let reply = self.reply()?;
        match reply.fate() {
            Some(Fate::Accepted) => Ok(()),
            _ => Err(Broken::Garbled(format!("it does not talk to us: {}", reply.text()))),
        }
    }

    /// Sends a message to all, in as many transactions as it needs.
    fn all(
        &mut self,
        message: &Message<'_>,
        envelope: &Envelope,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Broken> {
        let looks = Looks::of(message)?;
        let utf8 = self.extensions.utf8;
        for (outcome, recipient) in outcomes.iter_mut().zip(&envelope.recipients) {
            *outcome = unspeakable(recipient, utf8, "recipient");
        }
        let verp = envelope.sender.strip_suffix(b"-@[]");
        let mut first = true;
        loop {
            let mut open: Vec<usize> = (0..outcomes.len()).filter(|&n| outcomes[n].is_none()).collect();
            let Some(&next) = open.first() else { return Ok(()) };
            let sender = match verp {
                Some(list) => {
                    open.truncate(1);
                    expanded(list, &envelope.recipients[next])
                }
                None => envelope.sender.clone(),
            };
            let sent = unspeakable(&sender, utf8, "sender");
            if let Some(refused) = sent.or_else(|| self.too_large(looks)) {
                open.iter().for_each(|&n| outcomes[n] = Some(refused.clone()));
                continue;
            }
            if !std::mem::take(&mut first) {
                self.ask("RSET\r\n")?;
            }
            let recipients: Vec<(usize, &[u8])> =
                open.iter().map(|&n| (n, &envelope.recipients[n][..])).collect();
            self.transaction(message, looks, &sender, &recipients, outcomes)?;
        }
    }

    fn too_large(&self, looks: Looks) -> Option<Outcome> {
        let most = self.extensions.size.filter(|&most| most > 0 && most < looks.size)?;
        let text = format!("the message has {} bytes, the server takes {most}", looks.size);
        Some(Outcome::ours(Fate::Permanent, "5.3.4", text))
    }

    /// Sends a message once. The outcomes of `recipients` are set, but for those that the server does not take in
    /// one transaction with the others.
    fn transaction(
        &mut self,
        message: &Message<'_>,
        looks: Looks,
        sender: &[u8],
        recipients: &[(usize, &[u8])],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Broken> {
        let mut replies = Vec::new();
        let asked = self.ask_for_all(looks, sender, recipients, &mut replies);
        if let Err(broken) = asked {
            // Who was refused for good by then is not asked for again.
            let refused = recipients.iter().zip(replies.iter().skip(1));
            for (&(n, _), reply) in refused.filter(|(_, reply)| reply.fate() == Some(Fate::Permanent)) {
                outcomes[n] = Some(reply.outcome(Fate::Permanent));
            }
            return Err(broken);
        }
        let (mail, rcpts) = replies.split_first().ok_or(Broken::Closed)?;
        let fate = known(mail)?;
        if fate != Fate::Accepted {
            recipients.iter().for_each(|&(n, _)| outcomes[n] = Some(mail.outcome(fate)));
            return Ok(());
        }
        let mut taken = Vec::new();
        for (&(n, _), reply) in recipients.iter().zip(rcpts) {
            match known(reply)? {
                Fate::Accepted => taken.push(n),
                // There were too many. Where there was none, this one would be too many again.
                _ if is_full(reply) && !taken.is_empty() => {}
                fate => outcomes[n] = Some(reply.outcome(fate)),
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        self.connection.silence()?;
        let reply = self.ask("DATA\r\n")?;
        if reply.code != 354 {
            // 2xx is no refusal, and no answer to DATA.
            let fate = known(&reply)?;
            if fate == Fate::Accepted {
                return Err(Broken::Garbled(format!("no answer to DATA: {}", reply.text())));
            }
            taken.iter().for_each(|&n| outcomes[n] = Some(reply.outcome(fate)));
            return Ok(());
        }
        if let Err(broken) = self.data(message) {
            let why = self.last_words(&broken).unwrap_or_else(|| Outcome::broken(&broken, false));
            taken.iter().for_each(|&n| outcomes[n] = Some(why.clone()));
            return Err(broken);
        }
        self.verdict(&taken, outcomes)
    }

    /// MAIL and RCPT, and what was replied to them, as far as it came. Ends early where no more recipients are taken.
    fn ask_for_all(
        &mut self,
        looks: Looks,
        sender: &[u8],
        recipients: &[(usize, &[u8])],
        replies: &mut Vec<Reply>,
    ) -> Result<(), Broken> {
        let mail = self.mail(looks, sender, recipients);
        let rcpt = |(_, to): &(usize, &[u8])| command(b"RCPT TO:<", to, "");
        let mut commands = iter::once(mail).chain(recipients.iter().map(rcpt)).peekable();
        let ahead = if self.extensions.pipelining { AHEAD } else { 1 };
        while commands.peek().is_some() {
            self.connection.silence()?;
            let mut count = 0;
            for line in commands.by_ref().take(ahead) {
                self.connection.put(&line)?;
                count += 1;
            }
            self.connection.flush()?;
            for _ in 0..count {
                let mut reply = self.reply()?;
                // What a server says with a yes is told to nobody.
                if reply.fate() == Some(Fate::Accepted) {
                    reply.lines = Vec::new();
                }
                replies.push(reply);
            }
            if replies[0].fate() != Some(Fate::Accepted) || replies.last().is_some_and(is_full) {
                break;
            }
        }
        Ok(())
    }

    /// The message has been sent: what became of it?
    fn verdict(&mut self, taken: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Broken> {
        let answers = if self.protocol == Protocol::Lmtp { taken.len() } else { 1 };
        for answer in 0..answers {
            let reply = self.reply_within_verdict().and_then(|reply| Ok((known(&reply)?, reply)));
            match reply {
                Ok((fate, reply)) if self.protocol == Protocol::Lmtp => {
                    outcomes[taken[answer]] = Some(reply.outcome(fate));
                }
                Ok((fate, reply)) => {
                    taken.iter().for_each(|&n| outcomes[n] = Some(reply.outcome(fate)));
                }
                Err(broken) => {
                    let unsure = Outcome::broken(&broken, true);
                    taken[answer..].iter().for_each(|&n| outcomes[n] = Some(unsure.clone()));
                    return Err(broken);
                }
            }
        }
        Ok(())
    }

    fn mail(&self, looks: Looks, sender: &[u8], recipients: &[(usize, &[u8])]) -> Vec<u8> {
        let mut parameters = String::new();
        if self.extensions.size.is_some() {
            parameters += &format!(" SIZE={}", looks.size);
        }
        if self.extensions.eight_bit && looks.eight_bit {
            parameters += " BODY=8BITMIME";
        }
        let mut addresses = recipients.iter().map(|&(_, to)| to).chain([sender]);
        if self.extensions.utf8 && addresses.any(|address| !address.is_ascii()) {
            parameters += " SMTPUTF8";
        }
        command(b"MAIL FROM:<", sender, &parameters)
    }

    fn data(&mut self, message: &Message<'_>) -> Result<(), Broken> {
        let mut stuffing = Stuffing::new();
        let mut wire = Vec::new();
        message.each_chunk(&mut |bytes| {
            stuffing.push(bytes, &mut wire);
            self.connection.put(&wire)?;
            wire.clear();
            Ok(())
        })?;
        stuffing.finish(&mut wire);
        self.connection.put(&wire)?;
        self.connection.finish(b".\r\n")
    }

    /// A server that goes in the middle of a message may have said why.
    fn last_words(&mut self, broken: &Broken) -> Option<Outcome> {
        if !matches!(broken, Broken::Early | Broken::Closed | Broken::Failed(_)) {
            return None;
        }
        let reply = self.reply().ok()?;
        let fate = reply.fate().filter(|&fate| fate != Fate::Accepted)?;
        Some(reply.outcome(fate))
    }

    fn ask(&mut self, line: &str) -> Result<Reply, Broken> {
        self.connection.put(line.as_bytes())?;
        self.connection.flush()?;
        self.reply()
    }

    fn reply(&mut self) -> Result<Reply, Broken> {
        self.reply_within(self.connection.patience().wait)
    }

    fn reply_within_verdict(&mut self) -> Result<Reply, Broken> {
        self.reply_within(self.connection.patience().verdict)
    }

    fn reply_within(&mut self, time: std::time::Duration) -> Result<Reply, Broken> {
        let mut parser = Parser::default();
        self.connection.read(time, |bytes| {
            let taken = parser.take(bytes)?;
            Ok((taken, parser.is_at_end()))
        })?;
        parser.finish().ok_or(Broken::Closed)
    }

    /// Out of courtesy; all answers that matter are there.
    fn quit(&mut self) {
        let _ = self.connection.put(b"QUIT\r\n").and_then(|()| self.connection.flush());
    }
}

fn known(reply: &Reply) -> Result<Fate, Broken> {
    reply.fate().ok_or_else(|| Broken::Garbled(format!("an answer out of place: {}", reply.text())))
}

fn command(word: &[u8], address: &[u8], parameters: &str) -> Vec<u8> {
    [word, &envelope::quoted(address), b">", parameters.as_bytes(), b"\r\n"].concat()
}

/// Why an address cannot be said to a server. Everything else is the server's to judge.
fn unspeakable(address: &[u8], utf8: bool, whose: &str) -> Option<Outcome> {
    let (_, domain) = envelope::split(address);
    let control = |b: &u8| b.is_ascii_control();
    let breaks = |b: &u8| control(b) || matches!(b, b' ' | b'<' | b'>');
    if address.iter().any(control) || domain.iter().any(breaks) {
        let status = if whose == "sender" { "5.1.7" } else { "5.1.3" };
        return Some(Outcome::ours(
            Fate::Permanent,
            status,
            format!("a {whose} like that cannot be said in SMTP"),
        ));
    }
    (!address.is_ascii() && !utf8).then(|| {
        let text = format!("the {whose} is not ASCII, and the server has no SMTPUTF8");
        Outcome::ours(Fate::Permanent, "5.6.7", text)
    })
}

/// The sender `pre@host-@[]` for one recipient: `preJOE=HIS.HOST@host`, as qmail-send spells it out.
fn expanded(list: &[u8], recipient: &[u8]) -> Vec<u8> {
    let (pre, host) = envelope::split(list);
    let (local, domain) = envelope::split(recipient);
    match domain.strip_prefix(b"@") {
        Some(domain) => [pre, local, b"=", domain, host].concat(),
        None => list.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol::{Lmtp, Smtp};
    use super::*;
    use crate::transport::Fate::*;
    use crate::transport::net::Patience;
    use crate::transport::peer::{HASTY, PATIENT, Peer, envelope, fates, letter};

    const MESSAGE: &[u8] = b"Subject: x\n\n.body\n";

    /// What is answered to a line that begins so, the first that fits; `^` is the greeting, `.` the end of the
    /// message. Nothing: it hangs up. `...`: it says nothing more.
    type Script = &'static [(&'static str, &'static str)];

    const USUAL: Script = &[
        ("^", "220 me\r\n"),
        ("EHLO", "250-me\r\n250-PIPELINING\r\n250-8bitmime\r\n250 SIZE 1000000\r\n"),
        ("LHLO", "250-me\r\n250 PIPELINING\r\n"),
        ("DATA", "354 go\r\n"),
        (".", "250 2.0.0 ok\r\n"),
        ("", "250 ok\r\n"),
    ];

    fn peer(script: Script) -> Peer {
        Peer::plays(move |talk| {
            let answer = |line: &[u8]| {
                let known =
                    { script.iter() }.chain(USUAL).find(|(begin, _)| line.starts_with(begin.as_bytes()));
                known.unwrap().1
            };
            let mut answered = answer(b"^");
            loop {
                match answered {
                    "" => return,
                    "..." => return talk.rest(),
                    answer => talk.say(answer),
                }
                if answered.starts_with("354") {
                    talk.until(b"\r\n.\r\n");
                    answered = answer(b".");
                    continue;
                }
                match talk.line() {
                    line if line.is_empty() || line == b"QUIT\r\n" => return,
                    line => answered = answer(&line),
                }
            }
        })
    }

    fn send_to(
        script: Script,
        protocol: Protocol,
        patience: Patience<'_>,
        message: &[u8],
        envelope: &Envelope,
    ) -> (Vec<Outcome>, String) {
        let peer = peer(script);
        let letter = letter(message);
        let mut connection = peer.connect(patience);
        let outcomes = send(&mut connection, protocol, "me.example", &Message::whole(&letter), envelope);
        drop(connection);
        (outcomes, String::from_utf8_lossy(&peer.heard()).into_owned())
    }

    fn fates_of(script: Script, protocol: Protocol) -> Vec<Fate> {
        let envelope = envelope("s@x", &["a@y", "b@y", "c@y"]);
        fates(&send_to(script, protocol, PATIENT, MESSAGE, &envelope).0)
    }

    #[test]
    fn a_message_is_sent_as_the_server_wants_it() {
        let (outcomes, heard) =
            send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x.example", &["a b@y.example", "\"@y"]));
        assert_eq!(
            heard,
            "EHLO me.example\r\nMAIL FROM:<s@x.example> SIZE=21\r\nRCPT TO:<\"a b\"@y.example>\r\nRCPT TO:<\"\\\"\"@y>\r\nDATA\r\n\
             Subject: x\r\n\r\n..body\r\n.\r\nQUIT\r\n"
        );
        assert_eq!(outcomes[0].status.as_deref(), Some("2.0.0"));
        let (_, heard) = send_to(&[], Smtp, PATIENT, b"\xe9\n", &envelope("", &["a@y"]));
        assert!(heard.contains("MAIL FROM:<> SIZE=3 BODY=8BITMIME\r\n"), "{heard}");
        // To an old server.
        let old: Script = &[("EHLO", "502 what?\r\n")];
        let (outcomes, heard) = send_to(old, Smtp, PATIENT, b"\xe9", &envelope("s@x", &["a@y"]));
        assert_eq!(fates(&outcomes), [Accepted]);
        assert!(heard.starts_with("EHLO me.example\r\nHELO me.example\r\nMAIL FROM:<s@x>\r\n"), "{heard}");
    }

    #[test]
    fn each_recipient_hears_what_is_for_him() {
        let table: [(Script, [Fate; 3]); 12] = [
            (&[], [Accepted; 3]),
            (&[("RCPT TO:<b@", "550 5.1.1 no\r\n")], [Accepted, Permanent, Accepted]),
            (&[("RCPT TO:<b@", "450-4.2.1 not\r\n450 4.2.1 now\r\n")], [Accepted, Temporary, Accepted]),
            (&[("RCPT", "550 no\r\n")], [Permanent; 3]),
            (&[("MAIL", "550 no\r\n"), ("RCPT", "503 what?\r\n")], [Permanent; 3]),
            (&[("MAIL", "451 later\r\n"), ("RCPT", "503 what?\r\n")], [Temporary; 3]),
            (
                &[("DATA", "554 no\r\n"), ("RCPT TO:<b@", "450 not now\r\n")],
                [Permanent, Temporary, Permanent],
            ),
            (&[(".", "554 spam\r\n"), ("RCPT TO:<a@", "451 not now\r\n")], [Temporary, Permanent, Permanent]),
            (&[(".", "452 full\r\n")], [Temporary; 3]),
            (&[("^", "554 no\r\n")], [Temporary; 3]),
            (&[("EHLO", "554 no\r\n"), ("HELO", "554 no\r\n")], [Temporary; 3]),
            (&[("EHLO", "421 no\r\n")], [Temporary; 3]),
        ];
        for (script, want) in table {
            assert_eq!(fates_of(script, Smtp), want, "{script:?}");
        }
    }

    #[test]
    fn in_lmtp_each_recipient_has_an_answer_to_the_message() {
        let table: [(Script, [Fate; 3]); 5] = [
            (&[(".", "250 a\r\n452 4.2.2 b\r\n550 c\r\n")], [Accepted, Temporary, Permanent]),
            (&[("RCPT TO:<b@", "550 no\r\n"), (".", "250 a\r\n451 c\r\n")], [Accepted, Permanent, Temporary]),
            (&[(".", "250 a\r\n250 b\r\n250 c\r\n250 d\r\n")], [Accepted; 3]),
            (&[(".", "250 a\r\nxyz\r\n250 c\r\n")], [Accepted, Unsure, Unsure]),
            (&[("LHLO", "502 what?\r\n")], [Temporary; 3]),
        ];
        for (script, want) in table {
            assert_eq!(fates_of(script, Lmtp), want, "{script:?}");
        }
        // One answer too few, and no more to come.
        let envelope = envelope("s@x", &["a@y", "b@y"]);
        let (outcomes, _) = send_to(&[(".", "250 a\r\n")], Lmtp, HASTY, MESSAGE, &envelope);
        assert_eq!(fates(&outcomes), [Accepted, Unsure]);
    }

    #[test]
    fn a_connection_that_is_lost_is_temporary_and_after_the_dot_unsure() {
        let lost = |at, answer, want| {
            let script: Script = Vec::leak(vec![(at, answer)]);
            let (outcomes, _) = send_to(script, Smtp, HASTY, MESSAGE, &envelope("s@x", &["a@y", "b@y"]));
            assert_eq!(fates(&outcomes), [want; 2], "{script:?}: {outcomes:?}");
        };
        // At once, since most of them are waiting.
        std::thread::scope(|scope| {
            for (at, want) in [
                ("^", Temporary),
                ("EHLO", Temporary),
                ("MAIL", Temporary),
                ("RCPT", Temporary),
                ("DATA", Temporary),
                (".", Unsure),
            ] {
                for answer in
                    ["", "2", "250 half", "250-more\r\n", "xyz\r\n", "250-a\r\n550 b\r\n", "999 a\r\n", "..."]
                {
                    scope.spawn(move || lost(at, answer, want));
                }
            }
        });
        let endless: &str = String::leak("250-and so on\r\n".repeat(10_000));
        let script: Script = Vec::leak(vec![(".", endless)]);
        assert_eq!(fates_of(script, Smtp), [Unsure; 3]);
    }

    #[test]
    fn answers_out_of_step_are_not_taken_for_each_other() {
        // Of two answers to MAIL the second is none to the recipient; all of it is given up.
        assert_eq!(fates_of(&[("RCPT TO:<c@", "250 ok\r\n250 ok\r\n")], Smtp), [Temporary; 3]);
        // A message is not sent to a server that has answered it beforehand.
        let (outcomes, heard) = send_to(
            &[("DATA", "354 go\r\n250 ok\r\n"), (".", "...")],
            Smtp,
            HASTY,
            MESSAGE,
            &envelope("s@x", &["a@y"]),
        );
        assert_eq!(fates(&outcomes), [Temporary]);
        assert!(!heard.contains("\r\n.\r\n"), "{heard}");
        assert_eq!(fates_of(&[("DATA", "250 ok\r\n")], Smtp), [Temporary; 3]);
    }

    #[test]
    fn a_server_that_refuses_in_the_middle_of_a_message_is_heard() {
        let peer = Peer::plays(|talk| {
            for answer in ["220 me\r\n", "250 me\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
                talk.say(answer);
                talk.line();
            }
            talk.hear(100_000);
            talk.say("552 5.3.4 too much\r\n");
            talk.rest();
        });
        let letter = letter(&b"x\n".repeat(20_000_000));
        let mut connection = peer.connect(PATIENT);
        let outcomes = send(&mut connection, Smtp, "me", &Message::whole(&letter), &envelope("", &["a@y"]));
        assert_eq!((fates(&outcomes), outcomes[0].status.as_deref()), (vec![Permanent], Some("5.3.4")));
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        for address in ["a\r\nDATA@y", "a@y> SIZE=1", "a@y\nRSET", "a\0@y", "a@y z", "\x7f@y", "<a@y>x"] {
            let (outcomes, heard) =
                send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x", &[address, "ok@y"]));
            assert_eq!(fates(&outcomes), [Permanent, Accepted], "{address:?}");
            assert_eq!(outcomes[0].status.as_deref(), Some("5.1.3"));
            assert_eq!(heard.matches("RCPT").count(), 1, "{heard}");
            let (outcomes, heard) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope(address, &["ok@y"]));
            assert_eq!(fates(&outcomes), [Permanent], "{address:?}");
            assert!(!heard.contains("MAIL"), "{heard}");
        }
        for hello in ["", "a b", "a\r\nb", "ä"] {
            let peer = peer(&[]);
            let letter = letter(MESSAGE);
            let mut connection = peer.connect(PATIENT);
            let outcomes =
                send(&mut connection, Smtp, hello, &Message::whole(&letter), &envelope("", &["a@y"]));
            assert_eq!(fates(&outcomes), [Temporary]);
        }
    }

    #[test]
    fn addresses_in_utf8_go_to_servers_that_know_them() {
        const UTF8: Script = &[("EHLO", "250-me\r\n250 SMTPUTF8\r\n")];
        let envelope = envelope("s@x", &["a@y", "ä@y"]);
        let (outcomes, heard) = send_to(UTF8, Smtp, PATIENT, MESSAGE, &envelope);
        assert_eq!(fates(&outcomes), [Accepted; 2]);
        assert!(heard.contains("MAIL FROM:<s@x> SMTPUTF8\r\n"), "{heard}");
        let (outcomes, heard) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope);
        assert_eq!(fates(&outcomes), [Accepted, Permanent]);
        assert!(!heard.contains("SMTPUTF8"), "{heard}");
    }

    #[test]
    fn a_message_that_is_too_large_is_not_sent() {
        const SMALL: Script = &[("EHLO", "250-me\r\n250 SIZE 20\r\n")];
        let (outcomes, heard) = send_to(SMALL, Smtp, PATIENT, MESSAGE, &envelope("s@x", &["a@y"]));
        assert_eq!((fates(&outcomes), outcomes[0].status.as_deref()), (vec![Permanent], Some("5.3.4")));
        assert_eq!(heard, "EHLO me.example\r\nQUIT\r\n");
    }

    /// A server that takes three recipients at once.
    fn three_at_once(pipelining: bool) -> Peer {
        Peer::plays(move |talk| {
            talk.say("220 me\r\n");
            let mut taken = 0;
            loop {
                match &talk.line()[..] {
                    b"" | b"QUIT\r\n" => return,
                    b"DATA\r\n" => {
                        talk.say("354 go\r\n");
                        talk.until(b"\r\n.\r\n");
                        talk.say("250 ok\r\n");
                    }
                    line if line.starts_with(b"EHLO") && pipelining => {
                        talk.say("250-me\r\n250 PIPELINING\r\n")
                    }
                    line if line.starts_with(b"RCPT") && taken == 3 => talk.say("452 4.5.3 too many\r\n"),
                    line => {
                        taken = if line.starts_with(b"RCPT") { taken + 1 } else { 0 };
                        talk.say("250 ok\r\n");
                    }
                }
            }
        })
    }

    #[test]
    fn whom_a_server_does_not_take_with_the_others_gets_a_message_of_his_own() {
        for pipelining in [false, true] {
            let peer = three_at_once(pipelining);
            let letter = letter(MESSAGE);
            let many: Vec<String> = (0..200).map(|n| format!("r{n}@y")).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            let mut connection = peer.connect(PATIENT);
            let outcomes = send(&mut connection, Smtp, "me", &Message::whole(&letter), &envelope("", &many));
            assert_eq!(fates(&outcomes), [Accepted; 200]);
            drop(connection);
            let heard = String::from_utf8(peer.heard()).unwrap();
            assert_eq!(heard.matches("DATA").count(), 67);
        }
        // One that is full for one recipient is full.
        assert_eq!(fates_of(&[("RCPT TO:<b@", "452 4.2.2 full\r\n")], Smtp), [Accepted, Temporary, Accepted]);
        assert_eq!(fates_of(&[("RCPT", "452 4.3.1 full\r\n")], Smtp), [Temporary; 3]);
    }

    #[test]
    fn ten_thousand_recipients_do_not_make_both_sides_wait() {
        let many: Vec<String> =
            (0..10_000).map(|n| format!("recipient{n}@a.long.host.name.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (outcomes, heard) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x", &many));
        assert!(outcomes.iter().all(|outcome| outcome.fate == Accepted));
        assert_eq!(heard.matches("RCPT TO:<").count(), 10_000);
    }

    #[test]
    fn a_sender_for_each_recipient_is_spelled_out() {
        let (outcomes, heard) =
            send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("list-@h.example-@[]", &["joe@y", "ann@z"]));
        assert_eq!(fates(&outcomes), [Accepted; 2]);
        for line in [
            "MAIL FROM:<list-joe=y@h.example> SIZE=21\r\nRCPT TO:<joe@y>\r\n",
            "RSET\r\nMAIL FROM:<list-ann=z@h.example>",
        ] {
            assert!(heard.contains(line), "{heard}");
        }
    }
}
