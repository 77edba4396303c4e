//! A null client: without a queue program, the servers of `control/qmqpservers` accept injected mail.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::{self, JoinHandle};

use crate::golden::set_mode;
use crate::golden_inject::QmailHome;
use crate::support::*;

const MAIL: &str = "To: bob@x.example\n\nbody\n";

/// Starts a server for this many clients that gives all the same answer. Returns its port, and what it
/// received.
fn server(clients: usize, answer: &'static str) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let one = |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = Vec::new();
            let mut byte = [0];
            while byte != *b":" {
                stream.read_exact(&mut byte).unwrap();
                length.push(byte[0]);
            }
            let digits = std::str::from_utf8(&length[..length.len() - 1]).unwrap();
            let mut package = vec![0; digits.parse::<usize>().unwrap() + 1];
            stream.read_exact(&mut package).unwrap();
            write!(stream, "{}:{answer},", answer.len()).unwrap();
            String::from_utf8(package).unwrap()
        };
        (0..clients).map(one).collect()
    };
    (port, thread::spawn(serve))
}

/// Returns a port where no server listens.
fn dead() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn home(servers: &str) -> QmailHome {
    let home = QmailHome::new();
    home.control("me", "me.example.org");
    home.control("qmqpservers", servers);
    home
}

fn send(home: &QmailHome, name: &str) -> Run {
    let args: &[&str] = if name == "sendmail" { &["-t"] } else { &[] };
    let mut command = home.command(name, args);
    command.env_remove("QMAILQUEUE").env("USER", "ann");
    run_with_stdin(command, MAIL)
}

#[test]
fn without_a_queue_the_first_server_that_answers_takes_the_mail() {
    let (port, sent) = server(3, "Kok 1 qp 2");
    let home = home(&format!("# ours\n\n127.0.0.1:{} \t\n127.0.0.1:{port}\n127.0.0.1:{}", dead(), dead()));
    for name in ["sendmail", "qmail-inject", "inject"] {
        send(&home, name).exits(0);
    }
    for package in sent.join().unwrap() {
        assert!(
            package.contains("\nTo: bob@x.example\n\nbody\n,18:ann@me.example.org,13:bob@x.example,"),
            "{package}"
        );
    }
}

#[test]
fn a_queue_program_comes_before_the_servers() {
    let home = home(&format!("127.0.0.1:{}", dead()));
    std::fs::create_dir(home.path("bin")).unwrap();
    std::fs::copy(home.path("queue"), home.path("bin/qmail-queue")).unwrap();
    set_mode(&home.path("bin/qmail-queue"), 0o755);
    for name in ["sendmail", "inject"] {
        send(&home, name).exits(0);
        assert!(home.queued().is_some());
        std::fs::remove_file(home.path("queued_message")).unwrap();
    }
    // A queue program that is set and absent is an error. Nothing goes to a server instead.
    std::fs::remove_dir_all(home.path("bin")).unwrap();
    let (port, _) = server(1, "Kok");
    home.control("qmqpservers", &format!("127.0.0.1:{port}"));
    for (name, exit) in [("sendmail", 111), ("inject", 75)] {
        let mut command = home.command(name, &["bob@x.example"]);
        command.env("QMAILQUEUE", home.path("gone"));
        run_with_stdin(command, MAIL).exits(exit).complains(&["gone"]);
    }
}

#[test]
fn the_servers_answer_sets_the_exit_code() {
    for (answer, qmail, sysexits) in
        [("Dno (#5.7.1)", 100, 69), ("Zlater (#4.3.0)", 111, 75), ("hello", 111, 75)]
    {
        let (port, sent) = server(2, answer);
        let home = home(&format!("127.0.0.1:{port}"));
        let output = answer.trim_start_matches(['D', 'Z']);
        send(&home, "sendmail").exits(qmail).complains(&["qmail-inject: fatal: ", output, &port.to_string()]);
        send(&home, "inject").exits(sysexits).complains(&[output]);
        sent.join().unwrap();
    }
    let home = home(&format!("127.0.0.1:{}\n127.0.0.1:{}", dead(), dead()));
    send(&home, "sendmail").exits(111).complains(&["refused"]);
    send(&home, "inject").exits(75).complains(&["refused"]);
}

#[test]
fn an_invalid_server_list_is_an_error() {
    let (port, _) = server(1, "Kok");
    let home = home(&format!("127.0.0.1:{port}\nqmqp://mail1"));
    send(&home, "sendmail").exits(111).complains(&["control/qmqpservers", "qmqp://mail1"]);
    send(&home, "inject").exits(75).complains(&["4.3.5 ", "control/qmqpservers", "qmqp://mail1"]);
}

/// No server would accept it, so no success is reported.
#[test]
fn a_message_without_recipients_is_not_reported_as_sent() {
    let home = home(&format!("127.0.0.1:{}", dead()));
    for (name, args) in [("sendmail", &["-t"][..]), ("qmail-inject", &[])] {
        let mut command = home.command(name, args);
        command.env_remove("QMAILQUEUE").env("USER", "ann");
        run_with_stdin(command, "Subject: x\n\nhi\n").exits(100).complains(&["no recipients"]);
    }
}
