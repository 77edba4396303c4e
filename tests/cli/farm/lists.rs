//! The other recipes of docs/admin.md: lists of accounts, and limits of systemd.

use std::fs;
use std::path::Path;

use super::MOVE;
use crate::mta::recipes;
use crate::mta::sandbox::{Sandbox, VMAIL};
use crate::support::*;

const DOVECOT: &str = "\
protocols =
base_dir = /run/dovecot
log_path = /var/log/dovecot.log
default_internal_user = vmail
default_login_user = vmail
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
";

#[test]
fn virtual_users_of_dovecot_are_listed_and_converted() {
    let Some(sandbox) = Sandbox::new() else { return };
    if !Path::new("/usr/bin/doveadm").exists() {
        skip!("Dovecot is not here");
    }
    let users = ["ann@example.org", "joe@example.org", "zoe@example.org"];
    let home = |user: &str| format!("/var/vmail/{user}");
    let line = |user: &str| format!("{user}:{{PLAIN}}x:{VMAIL}:{VMAIL}::{}::\n", home(user));
    sandbox.write("/etc/dovecot/users", users.map(line).concat());
    sandbox.write("/etc/dovecot/dovecot.conf", DOVECOT);
    // The third has no mail yet.
    for user in &users[..2] {
        sandbox.write(format!("{}/mbox", home(user)), fs::read(fixture("inbox.mbox")).unwrap());
    }
    sandbox
        .sh(&format!("chown -R vmail:vmail /var/vmail; mkdir -m 700 {MOVE}; dovecot >/var/log/start 2>&1"));
    sandbox.sh(&recipes::blocks("The list of accounts")[2]);
    let list = fs::read_to_string(sandbox.path(MOVE).join("accounts")).unwrap();
    let expected = |user: &&str| format!("{user}\t{0}/mbox\t{0}/Maildir\tvmail\n", home(user));
    assert_eq!(list, users[..2].iter().map(expected).collect::<String>());

    let report = sandbox.sh(&recipes::blocks("One machine")[0]);
    assert!(report.contains("2 accounts"), "{report}");
    for user in &users[..2] {
        assert_eq!(messages(&sandbox.path(format!("{}/Maildir", home(user)))).len(), 8);
    }
}

#[test]
fn systemd_accepts_the_limits_of_the_recipe() {
    let Some(sandbox) = Sandbox::new() else { return };
    if !have("systemd-analyze", &["--version"]) {
        skip!("systemd-analyze is not here");
    }
    // The words of the recipe, as the shell passes them to systemd-run.
    let words = format!("systemd-run() {{ printf '%s\\n' \"$@\"; }}\n{}", recipes::blocks("One machine")[1]);
    let words = run(sandbox.command(["bash", "-c", &words])).exits(0).text();
    let words: Vec<&str> = words.lines().collect();
    let limits = words.windows(2).filter(|pair| pair[0] == "-p").map(|pair| format!("{}\n", pair[1]));
    let limits: String = limits.collect();
    assert_eq!(limits.lines().count(), 5);
    let command = words.iter().position(|word| *word == "mailferry").expect("a command");
    let command = words[command + 1..].join(" ");
    let unit = format!("[Service]\n{limits}ExecStart=/usr/local/bin/mailferry {command}\n");
    sandbox.write("/etc/systemd/system/move.service", unit);
    let verified = run(sandbox.command([
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
        "/etc/systemd/system/move.service",
    ]));
    assert_eq!(verified.exits(0).stderr, "");
}
