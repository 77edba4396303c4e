//! Real clients, and the programs that listen for them.

use super::servers::Server;
use super::*;
use crate::wire::{inject_message, outcomes};

const HEADER: &str = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: s@x.example\n\
                      To: undisclosed: ;\nSubject: x\n\n";
const TEMPLATE: &str = "%d/%u/Maildir/";

/// The recipients of one message, and the outcome for each.
type Case = &'static [(&'static str, &'static str)];

const BAD: Case = &[
    ("ann", "accepted 2.0.0"),
    ("nobody", "permanent 5.1.1"),
    ("full", "permanent 5.2.2"),
    ("odd", "temporary 4.3.5"),
    ("joe", "accepted 2.0.0"),
];

#[test]
fn the_own_client_gets_the_outcome_of_each_recipient() {
    for (protocol, case, body) in [("lmtp", BAD, "8-bit \u{e4} NUL \0\n.\n..\n")] {
        let domain = domain();
        let scratch = scratch();
        let arguments = domain.arguments(protocol, TEMPLATE, &[]);
        for (name, server) in Server::each(scratch.path(), &arguments, 5) {
            let via = [format!("{protocol}://127.0.0.1:{}", server.port)];
            let text = HEADER.replace("Subject: x", &format!("Subject: by {name}")) + body;
            let to: Vec<String> = case.iter().map(|(user, _)| format!("{user}@h.example")).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            let run = inject_message(&via, &to, &*text);
            let expected: Vec<&str> = case.iter().map(|(_, outcome)| *outcome).collect();
            assert_eq!(outcomes(&run), expected, "{protocol} {name}: {}", server.log());
            assert_eq!(server.exit_codes(1), [0], "{}", server.log());
            let all = delivered(&domain);
            for (to, (_, outcome)) in to.into_iter().zip(case) {
                let copies = all.get(&(to.to_owned(), text.clone().into()));
                let is_accepted = outcome.starts_with("accepted");
                assert_eq!(copies.is_some_and(|n| *n == 1), is_accepted, "{protocol} {name} {to}: {all:?}");
            }
        }
    }
}
