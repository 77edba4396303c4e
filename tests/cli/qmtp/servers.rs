//! Programs that listen, and start a session for each connection: tcpserver and systemd's sockets.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::*;

/// A program that listens, killed when dropped.
pub(super) struct Server {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts each of the programs with mailferry's arguments, one by one, for this many sessions at a time. Skips
    /// those that are absent.
    pub(super) fn each(scratch: &Path, arguments: &[String], sessions: usize) -> Vec<(&'static str, Server)> {
        let starts = [("tcpserver", Server::tcpserver as fn(&Path, &[String], usize) -> Option<Server>)];
        let starts = starts.into_iter().chain([("systemd-socket-activate", Server::systemd as _)]);
        starts.filter_map(|(name, start)| Some((name, start(scratch, arguments, sessions)?))).collect()
    }

    /// With -1 it prints the port that it chose.
    pub(super) fn tcpserver(scratch: &Path, arguments: &[String], sessions: usize) -> Option<Server> {
        if !have("/bin/sh", &["-c", "command -v tcpserver"]) {
            skip!("tcpserver is not here");
        }
        let count = sessions.to_string();
        let options = ["tcpserver", "-v", "-1", "-H", "-R", "-l", "localhost", "-b", "100", "-c", &count];
        let mut server = Server::start(scratch, &[&options[..], &["127.0.0.1", "0"]].concat(), arguments);
        let output = || fs::read_to_string(scratch.join("port")).unwrap();
        wait_for("a port", || output().ends_with('\n'));
        server.port = output().trim().parse().unwrap();
        Some(server)
    }

    /// It chooses no port, and does not limit its sessions.
    pub(super) fn systemd(scratch: &Path, arguments: &[String], _sessions: usize) -> Option<Server> {
        if !have("systemd-socket-activate", &["--version"]) {
            skip!("systemd-socket-activate is not here");
        }
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let options = ["systemd-socket-activate", "--accept", "--inetd", "-l", &address];
            let mut server = Server::start(scratch, &options, arguments);
            server.port = port;
            let mut has_ended = false;
            wait_for("a socket", || {
                has_ended = server.child.try_wait().unwrap().is_some();
                has_ended || server.log().contains("Listening on ")
            });
            // Another program may have taken the port.
            if !has_ended {
                return Some(server);
            }
        }
    }

    fn start(scratch: &Path, program: &[&str], arguments: &[String]) -> Server {
        let log = scratch.join("log");
        let mut command = wrapped("exec \"$@\"", program.iter().chain([&BINARY]), arguments);
        command.stdout(fs::File::create(scratch.join("port")).unwrap());
        command.stderr(fs::File::create(&log).unwrap());
        Server { child: command.spawn().unwrap(), port: 0, log }
    }

    /// Returns what the server and its sessions wrote to standard error.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Returns the processes of the sessions.
    pub(super) fn sessions(&self) -> Vec<i32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_ascii_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// Waits for the end of this many sessions, and returns their exit codes.
    #[track_caller]
    pub(super) fn exit_codes(&self, count: usize) -> Vec<i32> {
        // tcpserver prints the status of wait(2), systemd the code.
        let codes = || -> Vec<i32> {
            let log = self.log();
            let status = |line: &str| match line.strip_prefix("tcpserver: end ") {
                Some(rest) => Some(rest.split_once(" status ")?.1.parse::<i32>().ok()? >> 8),
                None => line.strip_prefix("Child ")?.split_once(" died with code ")?.1.parse().ok(),
            };
            log.lines().filter_map(status).collect()
        };
        wait_for("the end of the sessions", || codes().len() >= count);
        codes()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
