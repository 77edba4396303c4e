//! Power cuts during a delivery. After exit 0 the message is there, complete. Before that the mailbox has no
//! part of it and has lost nothing. `power.rs` explains what a cut is.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::power::{Cuttable, Image, Neighbour};
use crate::support::*;
use crate::trial::random;

const OLD: &str = "From ada@example.org Mon Mar  2 08:00:00 1998\nSubject: old\n\nold";
/// With `data=writeback` a growing mbox may get its length before its bytes.
const DISKS: [&str; 3] = ["data=ordered", "commit=30", "data=writeback,commit=30"];

#[test]
fn after_a_power_cut_a_delivered_message_is_complete() {
    let fill = |mount_point: &Path| {
        ["tmp", "new", "cur"]
            .iter()
            .for_each(|d| fs::create_dir_all(mount_point.join("box").join(d)).unwrap());
        fs::write(mount_point.join("mbox"), OLD).unwrap();
    };
    let Some(disk) = Cuttable::new(fill) else { return };
    let each = samples(2, 4, 40);
    let (mut cuts, mut before, mut midway) = (0, 0, 0);
    for options in DISKS {
        for target in ["box", "mbox", "mbox:new", "maildir:made"] {
            let mut takes = Duration::from_millis(50);
            for n in 0..each {
                let cut = Cut::make(&disk, options, target, (n % 2 == 1).then_some((takes, n)));
                takes = if cut.at_exit { cut.after } else { takes };
                cuts += 1;
                before += u32::from(!cut.at_exit);
                midway += u32::from(cut.judge(&disk, options));
            }
        }
    }
    note!(
        "power cuts in deliveries: {cuts}, {before} of them before the end, {midway} with an mbox cut short"
    );
    // The machine decides how many cuts come before the end. Without some the test shows nothing.
    assert!(before > 0, "{before} of {cuts}");
}

/// The state after a cut.
struct Cut {
    remains: Image,
    target: &'static str,
    message: String,
    after: Duration,
    /// The delivery had reported success.
    at_exit: bool,
}

impl Cut {
    /// Delivers, and cuts the power at exit 0, or in the earlier part of the time that a delivery takes.
    fn make(disk: &Cuttable, options: &str, target: &'static str, at: Option<(Duration, usize)>) -> Cut {
        let image = disk.before.cut().unwrap();
        let _mounted = disk.mount(&image, options);
        let _neighbour = Neighbour::on(&disk.mount_point);
        let n = at.map_or(0, |(_, n)| n);
        let message =
            format!("Subject: new\n\n{}the end\n", "word ".repeat(random("words", n, 9000) as usize));
        let mut child = deliver(&disk.mount_point, target, &message);
        let started = Instant::now();
        if let Some((takes, n)) = at {
            std::thread::sleep(takes.mul_f64(random(target, n, 700) as f64 / 1000.0));
        } else {
            child.wait().unwrap();
        }
        let ended = child.try_wait().unwrap();
        let after = started.elapsed();
        let remains = image.cut().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}");
        Cut { remains, target, message, after, at_exit: ended.is_some() }
    }

    /// Replays the journal and checks what is there. Returns whether an mbox ends in a partial message.
    fn judge(&self, disk: &Cuttable, options: &str) -> bool {
        self.remains.assert_possible();
        let _mounted = disk.mount(&self.remains, options);
        let path = disk.mount_point.join(self.target.rsplit(':').next().unwrap());
        let what = format!("{options}, {}, after {:?}, exit 0: {}", self.target, self.after, self.at_exit);
        let midway = if path.is_dir() {
            // A Maildir that was being created may be incomplete.
            let new = path.join("new");
            let files = if new.exists() { names(&new) } else { Vec::new() };
            let complete = |name: &String| fs::read_to_string(new.join(name)).unwrap() == self.message;
            assert!(files.iter().all(complete), "{what}: a partial message");
            assert!(!self.at_exit || files.len() == 1, "{what}: {files:?}");
            false
        } else {
            let old = if self.target == "mbox" { OLD } else { "" };
            let bytes = fs::read(&path).unwrap_or_default();
            assert!(bytes.starts_with(old.as_bytes()), "{what}: what was there is damaged");
            let complete = bytes.ends_with(format!("\n{}\n", self.message).as_bytes());
            assert!(!self.at_exit || complete, "{what}: the message is missing");
            !complete && bytes.len() > old.len()
        };
        // A new lock may have its name without its bytes, or zeros with `data=writeback`. Then a delivery
        // reports it, and the user removes it, because it can be any program's. With its bytes it names a
        // process that is gone. If a process has that number again, such as one of another test, the lock
        // stays as well.
        let lock = path.with_extension("lock");
        let is_for_a_person = || {
            let text = fs::read(&lock).ok()?;
            let pid =
                std::str::from_utf8(&text).ok().and_then(|text| text.split(' ').next()?.parse::<u32>().ok());
            Some(pid.is_none_or(|pid| Path::new("/proc").join(pid.to_string()).exists()))
        };
        let next =
            || deliver(&disk.mount_point, self.target, "Subject: next\n\nnext\n").wait_with_output().unwrap();
        let remove = || fs::remove_file(&lock).unwrap();
        if is_for_a_person() == Some(true) {
            remove();
        }
        // The next delivery succeeds, and its message is separate. It completes an incomplete Maildir.
        let mut output = next();
        if !output.status.success() && is_for_a_person() == Some(true) {
            remove();
            output = next();
        }
        // A new mbox may have its length and none of its bytes. No success was reported, and it had no other
        // mail.
        let is_hollow = fs::read(&path).is_ok_and(|bytes| !bytes.is_empty() && bytes.iter().all(|b| *b == 0));
        if !output.status.success() && self.target == "mbox:new" && !self.at_exit && is_hollow {
            assert!(
                String::from_utf8_lossy(&output.stderr).contains("nothing but NULs"),
                "{what}: {output:?}"
            );
            fs::remove_file(&path).unwrap();
            output = next();
        }
        assert!(
            output.status.success(),
            "{what}: {output:?}, {:?}",
            fs::read(&lock).map(|text| text.escape_ascii().to_string())
        );
        if path.is_file() {
            let text = fs::read(&path).unwrap();
            assert!(text.ends_with(b"\nSubject: next\n\nnext\n\n"), "{what}");
        }
        midway
    }
}

fn deliver(mount_point: &Path, target: &str, message: &str) -> Child {
    let (kind, name) = target.split_once(':').map_or(("", target), |(kind, name)| (kind, name));
    let path = mount_point.join(name);
    let mailbox =
        if kind.is_empty() { path.display().to_string() } else { format!("{kind}:{}", path.display()) };
    let mut command = mailferry(["deliver", "--create", "--lock-timeout=5", &mailbox]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    child
}
