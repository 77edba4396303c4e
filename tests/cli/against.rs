//! Comparison of mailboxes: what convert wrote is the same mail, and any two mailboxes can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bstr::ByteSlice;
use serde_json::Value;

use crate::support::*;

/// Runs `verify HERE --against THERE --metadata`. Returns the summary and the findings, or None if one of the two
/// is not a mailbox.
fn compared(here: &Path, there: &Path) -> Option<(Value, Vec<Value>)> {
    let mut command = mailferry(["verify", "--json", "--lock=none", "--metadata"]);
    command.arg(here).arg("--against").arg(there);
    let run = run(command);
    let summary = run.json().pop().unwrap();
    (run.code != Some(3)).then(|| (summary, run.findings()))
}

fn hostile() -> Option<Vec<PathBuf>> {
    let hard = fs::read_dir(shared("hard")?).unwrap().map(|file| file.unwrap().path());
    Some(hard.filter(|path| path.extension().is_some_and(|e| e == "mbox")).collect())
}

#[test]
fn converted_mail_is_the_same_and_a_lost_message_is_found() {
    let Some(files) = hostile() else { return };
    assert!(files.len() > 20, "{} files", files.len());
    for file in files {
        let scratch = scratch();
        let maildir = scratch.path().join("Maildir");
        // The directory may not be writable.
        let args = [Path::new("--lock=none").as_os_str(), file.as_os_str(), maildir.as_os_str()];
        if run(convert_command(args)).code != Some(0) {
            continue;
        }
        let path = file.display();
        for (here, there) in [(&file, &maildir), (&maildir, &file)] {
            let (summary, reported) = compared(here, there).unwrap();
            assert_eq!(
                (&summary["same"], &summary["fields"]),
                (&summary["messages_found"], &0.into()),
                "{path}"
            );
            assert!(reported.is_empty(), "{path}: {reported:?}");
        }
        for message in messages(&maildir).into_iter().step_by(samples(4, 1, 1)) {
            let lost = maildir.join(&message.path);
            fs::rename(&lost, scratch.path().join("lost")).unwrap();
            let (summary, reported) = compared(&file, &maildir).unwrap();
            let counts = (count(&summary, "missing"), count(&summary, "extra"), reported.len());
            assert_eq!(counts, (1, 0, 1), "{path}: {reported:?}");
            fs::rename(scratch.path().join("lost"), &lost).unwrap();
        }
    }
}

#[test]
fn any_two_hostile_mailboxes_can_be_compared() {
    let Some(files) = hostile() else { return };
    let pairs = files.iter().flat_map(|here| files.iter().map(move |there| (here, there)));
    for (here, there) in pairs.step_by(samples(7, 1, 1)) {
        let Some((summary, reported)) = compared(here, there) else { continue };
        let sum = |keys: &[&str]| keys.iter().map(|key| count(&summary, key)).sum::<u64>();
        // Every message counts once.
        let messages = sum(&["same", "line_ends", "quoting", "final_newline", "differ", "missing"]);
        assert_eq!(messages, count(&summary, "messages_found"), "{summary}");
        let is_same = sum(&["same"]) == messages && sum(&["extra"]) == 0;
        assert!(is_same || !reported.is_empty(), "{summary}");
        assert!(here != there || reported.is_empty(), "{}: {reported:?}", here.display());
    }
}

/// Number of messages in the campaign.
/// In 1973, before all dates of the messages.
const EARLY: usize = 100_000_000;
const MESSAGES: usize = 42;
/// Codes that are reported and are not errors.
const WARNINGS: [&str; 3] = ["message-line-ends", "message-final-newline", "fields-differ"];

/// Returns the message `number n`. Some have no Message-ID, some no Date, a few neither. Some have lines that
/// an mbox quotes, once and twice, and some a line that ends in CRLF.
fn message_text(n: usize) -> Vec<u8> {
    let (second, minute) = (n % 60, n / 60);
    let mut text = "Received: by there.example.org for ada\nFrom: Ada <ada@example.org>\n".to_owned();
    if !n.is_multiple_of(5) {
        text += &format!("Message-ID: <{n}@example.org>\n");
    }
    if !n.is_multiple_of(7) {
        text += &format!("Date: Mon, 2 Mar 1998 08:{minute:02}:{second:02} +0000\n");
    }
    text += ["Status: RO\n", "", "Status: O\n"][n % 3];
    text += &format!("Subject: number {n}\n\n");
    text += ["From here on prose\n", ">From a reply\n", "No quotes\n\n", "One line\r\nFrom then on\n"][n % 4];
    text += &"word ".repeat(n % 11);
    text += &format!("\ntext {n}\n");
    text.into_bytes()
}

/// Returns its From_ line.
fn from_line(n: usize) -> Vec<u8> {
    format!("From ada@example.org Mon Mar  2 08:{:02}:{:02} 1998\n", n / 60, n % 60).into_bytes()
}

/// A message with its From_ line and the separator, as in the mbox.
type Piece = (usize, Vec<u8>);

fn piece(n: usize) -> Piece {
    let mut bytes = from_line(n);
    for line in message_text(n).split_inclusive(|&b| b == b'\n') {
        if is_quoted(line) || line.starts_with(b"From ") && bytes.contains(&b':') {
            bytes.push(b'>');
        }
        bytes.extend(line);
    }
    bytes.push(b'\n');
    (n, bytes)
}

/// Tells whether a line has a `>` that an mboxrd writer added.
fn is_quoted(line: &[u8]) -> bool {
    let depth = line.iter().take_while(|&&b| b == b'>').count();
    depth > 0 && line[depth..].starts_with(b"From ")
}

/// Returns the message of a piece without From_ line, separator and quoting. The code shares nothing with the
/// program.
fn message_of((n, piece): &Piece) -> Vec<u8> {
    let mut text = &piece[from_line(*n).len()..];
    for separator in ["\n", "\r\n"] {
        let blank = format!("\n{separator}");
        if text.ends_with(blank.as_bytes()) {
            text = &text[..text.len() - separator.len()];
            break;
        }
    }
    let (header, body) = text.split_at(header_of(text).end);
    let mut message = header.to_vec();
    for line in body.split_inclusive(|&b| b == b'\n') {
        message.extend(&line[usize::from(is_quoted(line))..]);
    }
    message
}

/// Tells whether a message begins with a line that is not a field. By the decision table a From_ line above
/// it begins no message but belongs to the previous one.
fn begins_as_prose(message: &[u8]) -> bool {
    fields(message).first().is_some_and(|(_, name, _)| name.is_empty())
}

/// Returns the range up to the first empty line.
fn header_of(message: &[u8]) -> Range<usize> {
    let mut end = 0;
    for line in message.split_inclusive(|&b| b == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            break;
        }
        end += line.len();
    }
    0..end
}

/// A header field: its range, its name in lower case, its value.
type Field = (Range<usize>, String, Vec<u8>);

/// Splits a header into fields.
fn fields(message: &[u8]) -> Vec<Field> {
    let (mut fields, mut at) = (Vec::<Field>::new(), 0);
    for line in message[header_of(message)].split_inclusive(|&b| b == b'\n') {
        let range = at..at + line.len();
        at = range.end;
        if let (b' ' | b'\t', Some(folded)) = (line[0], fields.last_mut()) {
            folded.0.end = range.end;
            folded.2.extend(line);
            continue;
        }
        let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
        let name = line[..colon].trim_ascii_end();
        // A line without a field name is not a field, but lines may continue it.
        let name = if name.iter().all(u8::is_ascii_graphic) { name } else { b"" };
        let value = &line[if name.is_empty() { line.len() } else { colon + 1 }..];
        fields.push((range, String::from_utf8_lossy(name).to_lowercase(), value.to_vec()));
    }
    for (_, _, value) in &mut fields {
        value.retain(|b| !b"\r\n".contains(b));
        *value = value.trim_ascii().to_vec();
    }
    fields
}

fn field(message: &[u8], name: &str) -> Vec<u8> {
    fields(message).into_iter().find(|f| f.1 == name).map(|f| f.2).unwrap_or_default()
}

/// Returns the content with the offset of each byte, without Status: the one field here that readers rewrite.
fn content(message: &[u8]) -> Vec<(usize, u8)> {
    let cuts: Vec<_> = fields(message).into_iter().filter(|f| f.1 == "status").map(|f| f.0).collect();
    let bytes = message.iter().copied().enumerate();
    bytes.filter(|(at, _)| !cuts.iter().any(|cut| cut.contains(at))).collect()
}

/// Returns the content without the differences that are not content: line ends, quoting, the final newline.
fn plain(message: &[u8], ends: bool, quoting: bool, newline: bool) -> Vec<u8> {
    let content: Vec<u8> = content(message).into_iter().map(|(_, byte)| byte).collect();
    let mut plain = Vec::new();
    for line in content.split_inclusive(|&b| b == b'\n') {
        let depth = line.iter().take_while(|&&b| b == b'>').count();
        plain.extend(if quoting && is_quoted(line) { &line[depth..] } else { line });
        if ends && plain.ends_with(b"\r\n") {
            plain.truncate(plain.len() - 2);
            plain.push(b'\n');
        }
    }
    if newline && plain.ends_with(b"\n") {
        plain.truncate(plain.len() - if plain.ends_with(b"\r\n") { 2 } else { 1 });
    }
    plain
}

/// Tells whether enough is left of a message to recognise it.
fn is_known(here: &[u8], there: &[u8]) -> bool {
    let same = |name| !field(here, name).is_empty() && field(here, name) == field(there, name);
    let header = |message: &[u8]| plain(&message[header_of(message)], true, true, true);
    let named = |message| !field(message, "message-id").is_empty() || !field(message, "date").is_empty();
    plain(here, true, true, true) == plain(there, true, true, true)
        || named(here) && named(there) && header(here) == header(there)
        || same("message-id")
        || same("date")
            && field(here, "from") == field(there, "from")
            && field(here, "subject") == field(there, "subject")
}

/// Returns the code that must report the difference between two messages, `here` in an mbox, `there` in a
/// file.
fn kind(here: &[u8], there: &[u8]) -> &'static str {
    let differ =
        |ends, quoting, newline| plain(here, ends, quoting, newline) != plain(there, ends, quoting, newline);
    if differ(true, true, true) || differ(true, true, false) && !here.ends_with(b"\n") {
        "message-differs"
    } else if differ(true, false, true) {
        "message-quoting"
    } else if differ(false, true, true) {
        "message-line-ends"
    } else {
        "message-final-newline"
    }
}

/// A finding that must be reported about a message.
#[derive(Debug)]
struct Expected {
    code: &'static str,
    number: usize,
    subject: Vec<u8>,
    /// Words that the finding must contain, such as the first byte that differs.
    words: String,
}

fn expected(code: &'static str, number: usize) -> Expected {
    Expected { code, number, subject: format!("number {number}").into(), words: String::new() }
}

/// Returns what must be reported of a message that has these bytes on the two sides.
fn changed(n: usize, here: &[u8], there: &[u8], metadata: bool) -> Vec<Expected> {
    let (ours, theirs) = (content(here), content(there));
    let bytes = |content: &[(usize, u8)]| content.iter().map(|c| c.1).collect::<Vec<u8>>();
    let mut all = Vec::new();
    if bytes(&ours) != bytes(&theirs) {
        if !is_known(here, there) {
            let expected =
                |code, message| Expected { subject: field(message, "subject"), ..expected(code, n) };
            return vec![expected("message-missing", here), expected("message-extra", there)];
        }
        let at = ours.iter().zip(&theirs).take_while(|(a, b)| a.1 == b.1).count();
        let location = |message: &[u8], content: &[(usize, u8)]| {
            let at = content.get(at).map_or(message.len(), |c| c.0);
            let line = message[..at].iter().filter(|&&b| b == b'\n').count() + 1;
            format!("its line {line}, byte {at} \"")
        };
        let subject = field(here, "subject");
        let (here_words, there_words) = (location(here, &ours), location(there, &theirs));
        all.push(Expected {
            subject,
            words: format!("{here_words}|{there_words}"),
            ..expected(kind(here, there), n)
        });
    }
    if metadata {
        let status = |message: &[u8]| {
            let status = String::from_utf8_lossy(&field(message, "status")).to_uppercase();
            (status.contains('R'), status.contains(['R', 'O']))
        };
        let values = |message: &[u8]| {
            let fields = fields(message).into_iter();
            fields.filter(|f| f.1 == "status").map(|f| f.2).collect::<Vec<_>>()
        };
        let subject = field(here, "subject");
        // A file has its flags in its name.
        if status(here) != status(&message_text(n)) {
            all.push(Expected { subject: subject.clone(), ..expected("flags-differ", n) });
        }
        if values(here) != values(there) {
            all.push(Expected { subject, ..expected("fields-differ", n) });
        }
    }
    all
}

/// An mbox and its Maildir.
struct Pair {
    mbox: PathBuf,
    maildir: PathBuf,
    /// The files of the messages.
    files: Vec<Message>,
}

/// A fault made in a pair.
struct Fault {
    how: String,
    /// The mbox with the fault.
    pieces: Vec<Piece>,
    /// A file that was added, and the number of its message.
    new_file: Option<(PathBuf, usize)>,
    /// The findings required without metadata and with it.
    expected: [Vec<Expected>; 2],
}

/// Changes a byte or a line end, or removes bytes.
fn spoiled(dice: &mut Dice, bytes: &[u8], part: Range<usize>) -> (Vec<u8>, String) {
    let mut spoiled = bytes.to_vec();
    let how = match dice.roll(6) {
        0..3 => {
            let (at, bit) = (part.start + dice.roll(part.len()), dice.roll(8));
            spoiled[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        _ => {
            let ends: Vec<usize> = part.filter(|&at| bytes[at] == b'\n').collect();
            let at = ends[dice.roll(ends.len())];
            let other = [&b"\r"[..], b"\r\n", b"", b"\n\n", b" "][dice.roll(5)];
            spoiled.splice(at..=at, other.iter().copied());
            format!("the LF at {at} made {other:?}")
        }
    };
    (spoiled, how)
}

/// Adds or removes one `>` before a `From `. Returns None if there is none.
fn requoted(dice: &mut Dice, bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let at = 1 + bytes.windows(2).rposition(|pair| pair[0] == b'\n' && b">F".contains(&pair[1]))?;
    let mut requoted = bytes.to_vec();
    let off = bytes[at] == b'>' && dice.roll(2) == 0;
    if off {
        requoted.remove(at);
    } else {
        requoted.insert(at, b'>');
    }
    Some((requoted, format!("a > {} at {at}", if off { "taken off" } else { "put" })))
}

impl Pair {
    fn fault(&self, dice: &mut Dice) -> Fault {
        let n = dice.roll(MESSAGES);
        let mut pieces: Vec<Piece> = (0..MESSAGES).map(piece).collect();
        let file = &self.files[n];
        let (message, path, piece_bytes) = (message_text(n), file.path.as_path(), pieces[n].1.clone());
        // The range in the file, and the range in the piece.
        let header = header_of(&message);
        let (parts, head) = ([header.clone(), header.end..message.len()], from_line(n).len());
        let pieces_parts = [head..head + header.end, head + header.end..piece_bytes.len() - 1];
        let done =
            |how: &str, pieces, expected| Fault { how: how.to_owned(), pieces, new_file: None, expected };
        let in_file = |bytes: &[u8], how: String, pieces| {
            fs::write(path, bytes).unwrap();
            done(&format!("the file: {how}"), pieces, [false, true].map(|m| changed(n, &message, bytes, m)))
        };
        let in_mbox = |bytes: Vec<u8>, how: String, mut pieces: Vec<Piece>| {
            pieces[n].1 = bytes;
            let here = message_of(&pieces[n]);
            if n > 0 && begins_as_prose(&here) {
                let (_, tail) = pieces.remove(n);
                pieces[n - 1].1.extend(tail);
                let grown = message_of(&pieces[n - 1]);
                let expected = [false, true].map(|m| {
                    let mut expected_now = changed(n - 1, &grown, &message_text(n - 1), m);
                    expected_now.push(expected("message-extra", n));
                    expected_now
                });
                return done(&format!("the mbox: {how}"), pieces, expected);
            }
            let expected = [false, true].map(|m| changed(n, &here, &message, m));
            done(&format!("the mbox: {how}"), pieces, expected)
        };
        let renamed = |name: &str, copied: bool| {
            let (new, bytes) = (self.maildir.join(name), fs::read(path).unwrap());
            if !copied {
                fs::remove_file(path).unwrap();
            }
            fs::write(&new, bytes).unwrap();
            new
        };
        let info = file.flags.as_ref().map_or(String::new(), |flags| format!(":2,{flags}"));
        let (subdir, number) = (file.subdir, dice.roll(1_000_000));
        match dice.roll(18) {
            kind @ (0 | 1) => {
                let (bytes, how) = spoiled(dice, &message, parts[kind].clone());
                in_file(&bytes, how, pieces)
            }
            kind @ (2 | 3) => {
                let (bytes, how) = spoiled(dice, &piece_bytes, pieces_parts[kind - 2].clone());
                in_mbox(bytes, how, pieces)
            }
            4 => match requoted(dice, &message) {
                Some((bytes, how)) => in_file(&bytes, how, pieces),
                None => in_file(&message, "as it was".into(), pieces),
            },
            5 => match requoted(dice, &piece_bytes) {
                Some((bytes, how)) => in_mbox(bytes, how, pieces),
                None => in_mbox(piece_bytes, "as it was".into(), pieces),
            },
            6 => {
                let length = dice.roll(message.len());
                in_file(&message[..length], format!("cut off at {length}"), pieces)
            }
            7 => in_file(&message[..message.len() - 1], "its final newline lost".into(), pieces),
            8 => {
                fs::remove_file(path).unwrap();
                let expected = [0, 1].map(|_| vec![expected("message-missing", n)]);
                done("the file removed", pieces, expected)
            }
            9 => {
                let new = renamed(&format!("{subdir}/{}.M{number}P7.host{info}", file.epoch), true);
                let expected = [0, 1].map(|_| vec![expected("message-extra", n)]);
                Fault { new_file: Some((new, n)), ..done("the file twice", pieces, expected) }
            }
            10 => {
                let new = renamed(&format!("{subdir}/{}.M{number}P7.host{info}", file.epoch), false);
                Fault { new_file: Some((new, n)), ..done("the file renamed", pieces, [vec![], vec![]]) }
            }
            11 => {
                let flags = ["D", "FS", "PRT", "RS"][dice.roll(4)];
                let new = renamed(&format!("cur/{}:2,{flags}", file.base()), false);
                let expected = [vec![], vec![expected("flags-differ", n)]];
                Fault { new_file: Some((new, n)), ..done(&format!("flagged {flags}"), pieces, expected) }
            }
            12 => {
                let new = renamed(&format!("{subdir}/{}.M{number}P7.host{info}", EARLY + number), false);
                let expected = [vec![], vec![expected("date-differs", n)]];
                Fault { new_file: Some((new, n)), ..done("another date in the name", pieces, expected) }
            }
            13 => {
                // It is earlier than the date in the name, if there is one.
                let nameless = dice.roll(2) == 0;
                let new = nameless.then(|| renamed(&format!("{subdir}/msg-{number}{info}"), false));
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs((EARLY + number) as u64);
                let open = fs::File::open(new.as_deref().unwrap_or(path)).unwrap();
                open.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
                let how = format!("another mtime, {} date in the name", if nameless { "no" } else { "a" });
                Fault {
                    new_file: new.map(|new| (new, n)),
                    ..done(&how, pieces, [vec![], vec![expected("date-differs", n)]])
                }
            }
            14 => {
                let m = (n + 1 + dice.roll(MESSAGES - 1)) % MESSAGES;
                let other = &self.files[m];
                fs::write(path, &other.bytes).unwrap();
                fs::write(&other.path, &message).unwrap();
                let mut codes = vec!["date-differs"];
                if (file.subdir, &file.flags) != (other.subdir, &other.flags) {
                    codes.push("flags-differ");
                }
                let both =
                    codes.into_iter().flat_map(|code| [expected(code, n), expected(code, m)]).collect();
                // The Subject tells which message a finding names.
                done(&format!("swapped with number {m}"), pieces, [vec![], both])
            }
            15 => {
                pieces.remove(n);
                let expected = [0, 1].map(|_| vec![expected("message-extra", n)]);
                done("removed from the mbox", pieces, expected)
            }
            16 => {
                pieces.insert(dice.roll(MESSAGES), piece(n));
                let expected = [0, 1].map(|_| vec![expected("message-missing", n)]);
                done("twice in the mbox", pieces, expected)
            }
            _ => {
                pieces.truncate(n + 1);
                // One time in four only the end is lost. The first message keeps its head, or the file is not
                // an mbox.
                let most = if n == 0 || dice.roll(4) == 0 { 2 } else { piece_bytes.len() - head };
                let lost = 1 + dice.roll(most);
                let mut fault = in_mbox(
                    piece_bytes[..piece_bytes.len() - lost].to_vec(),
                    format!("cut, {lost} bytes of {n} lost"),
                    pieces,
                );
                for expected_now in &mut fault.expected {
                    expected_now.extend((n + 1..MESSAGES).map(|lost| expected("message-extra", lost)));
                }
                fault
            }
        }
    }

    /// Restores the files.
    fn restore(&self) {
        for subdir in ["cur", "new"] {
            for name in names(&self.maildir.join(subdir)) {
                let path = self.maildir.join(subdir).join(name);
                if !self.files.iter().any(|file| file.path == path) {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        for file in &self.files {
            fs::write(&file.path, &file.bytes).unwrap();
        }
    }

    fn verify(&self, metadata: bool) -> Run {
        let mut command = mailferry(["verify", "--json", "--lock=none"]);
        command.arg(&self.mbox).arg("--against").arg(&self.maildir).args(metadata.then_some("--metadata"));
        run(command)
    }

    /// Tells whether a finding is the expected one, about this message, at its location.
    fn matches(&self, fault: &Fault, finding: &Value, expected: &Expected) -> bool {
        let number_of = |path: &Value| {
            let is_it = |file: &Path| path == file.to_str().unwrap();
            let new = fault.new_file.as_ref().filter(|(file, _)| is_it(file)).map(|(_, number)| *number);
            new.or_else(|| self.files.iter().position(|file| is_it(&file.path)))
        };
        let message = finding["message"].as_str().unwrap();
        let is_here = || {
            let Some(number) = finding["number"].as_u64() else { return false };
            let number = number as usize - 1;
            let before: Vec<u8> = fault.pieces[..number].iter().flat_map(|piece| piece.1.clone()).collect();
            let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
            finding["path"] == self.mbox.to_str().unwrap()
                && finding["offset"] == before.len()
                && finding["line"] == line
                && fault.pieces[number].0 == expected.number
        };
        let other = number_of(&finding["other_path"]);
        let swapped = fault.how.starts_with("swapped");
        let placed = match expected.code {
            "message-extra" => number_of(&finding["path"]) == Some(expected.number),
            "message-missing" => is_here() && finding["other_path"].is_null(),
            _ => is_here() && (other == Some(expected.number) || swapped && other.is_some()),
        };
        let subject = finding["subject"].as_str().unwrap_or_default();
        finding["code"] == expected.code
            && placed
            && (!expected.subject.is_ascii() || subject.as_bytes() == expected.subject)
            && expected.words.split('|').all(|words| message.contains(words))
    }
}

/// Comparing an mbox with its Maildir reports any single fault in either: under its code, for its message,
/// with the first byte that differs. It reports nothing else. A difference that is not content is not a
/// fault.
#[test]
fn any_single_difference_has_its_code_and_no_other() {
    let faults = samples(100, 200, 2000);
    let scratch = scratch();
    let (mbox, maildir) = (scratch.path().join("inbox.mbox"), scratch.path().join("Maildir"));
    let whole: Vec<u8> = (0..MESSAGES).flat_map(|n| piece(n).1).collect();
    fs::write(&mbox, &whole).unwrap();
    convert([Path::new("--no-manifest"), &mbox, &maildir]);
    let mut files: Vec<Option<Message>> = (0..MESSAGES).map(|_| None).collect();
    for message in messages(&maildir) {
        let n: usize = message.subject().strip_prefix("number ").unwrap().parse().unwrap();
        assert_eq!(message.bytes, message_text(n), "each file is its message");
        files[n] = Some(message);
    }
    let files = files.into_iter().map(|file| file.expect("each message has a file")).collect();
    let pair = Pair { mbox, maildir, files };
    let mut dice = Dice(822);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for n in 0..faults {
        let fault = pair.fault(&mut dice);
        let piece_bytes: Vec<u8> = fault.pieces.iter().flat_map(|piece| piece.1.clone()).collect();
        fs::write(&pair.mbox, piece_bytes).unwrap();
        for (metadata, expected) in [false, true].into_iter().zip(&fault.expected) {
            let run = pair.verify(metadata);
            let mut findings = run.findings();
            for expected in expected {
                let found = findings.iter().position(|finding| pair.matches(&fault, finding, expected));
                let found = found.unwrap_or_else(|| {
                    panic!("fault {n}, {}, metadata {metadata}: no {expected:?}: {}", fault.how, run.text())
                });
                findings.remove(found);
                *seen.entry(expected.code).or_default() += 1;
            }
            let what = format!("fault {n}, {}, metadata {metadata}", fault.how);
            assert!(findings.is_empty(), "{what}: also reported: {findings:?}");
            let errors = expected.iter().any(|expected| !WARNINGS.contains(&expected.code));
            assert_eq!(run.code, Some(i32::from(errors)), "{what}: {}", run.text());
        }
        pair.restore();
    }
    fs::write(&pair.mbox, &whole).unwrap();
    for metadata in [false, true] {
        let run = pair.verify(metadata).exits(0);
        assert!(run.findings().is_empty(), "{}", run.text());
        assert_eq!(count(run.json().last().unwrap(), "same"), MESSAGES as u64);
    }
    assert_eq!(seen.len(), 9, "each kind of difference was among them: {seen:?}");
}

/// Mail with every kind of line end, quoting, and fields that readers rewrite.
const ODD_MAIL: &str = "From a@b Mon Jan  1 10:00:00 2001\r\nMessage-ID: <x@a>\r\nSubject: x\r\nStatus: RO\r\n\r\none\r\r\ntwo\r\n\r\n\
    From a@b Mon Jan  1 10:00:01 2001\nSubject: y\nX-Status: F\n\n>From me\nmixed\r\n\n\
    From a@b Mon Jan  1 10:00:02 2001\nMessage-ID: <z@a>\nSubject: z\n\nplain\n";

#[test]
fn what_an_option_of_the_conversion_changed_is_the_same_mail() {
    for options in [
        &["--eol=lf"][..],
        &["--eol=crlf"],
        &["--headers=strip"],
        &["--eol=lf", "--headers=strip"],
        &["--eol=crlf", "--headers=strip", "--deleted=keep"],
    ] {
        let scratch = scratch();
        let [source, maildir] = ["in", "Maildir"].map(|name| scratch.path().join(name));
        fs::write(&source, ODD_MAIL).unwrap();
        let args = options.iter().map(std::ffi::OsStr::new).chain([source.as_os_str(), maildir.as_os_str()]);
        convert(args);
        for [one, other] in [[&source, &maildir], [&maildir, &source]] {
            for metadata in [&[][..], &["--metadata"]] {
                let mut command = mailferry(["verify", "--json", "--against"]);
                command.args([one, other]).args(metadata);
                let run = run(command).exits(0);
                let report = run.json();
                let summary = report.last().unwrap();
                assert_eq!(run.complaints(), [""; 0], "{options:?}: {}", run.text());
                assert_eq!((count(summary, "same"), count(summary, "line_ends")), (3, 0), "{options:?}");
                let as_asked = count(summary, "as_asked");
                assert!((2..=3).contains(&as_asked), "{options:?}: {summary}");
                let words = if options[0].starts_with("--eol") { "what --eol" } else { "what --headers" };
                assert!(summary["verdict"].as_str().unwrap().contains(words), "{summary}");
            }
        }
        // What changed afterwards is not as asked.
        let file = &messages(&maildir)[2];
        let other = match options[0] {
            "--eol=lf" => file.bytes.replace(b"\n", b"\r\n"),
            "--eol=crlf" => file.bytes.replace(b"\r\n", b"\n"),
            _ => file.bytes.replace(b"plain", b"plane"),
        };
        fs::write(&file.path, other).unwrap();
        let mut command = mailferry(["verify", "--json", "--against"]);
        command.args([&source, &maildir]);
        let run = run(command);
        let code = if options[0] == "--headers=strip" { "message-differs" } else { "message-line-ends" };
        assert_eq!(run.complaints(), [code], "{options:?}: {}", run.text());
        assert_eq!(count(run.json().last().unwrap(), "same"), 2);
    }
}

/// Spam is a folder with one of these options, and a keyword with the others.
#[test]
fn what_an_option_made_of_labels_is_as_asked() {
    for labels in ["keywords", "folders", "first", "ignore"] {
        let scratch = scratch();
        let (source, maildir) = (fixture("takeout.mbox"), scratch.path().join("Maildir"));
        let option = format!("--labels={labels}");
        convert([std::ffi::OsStr::new(&option), source.as_os_str(), maildir.as_os_str()]);
        let mut command = mailferry(["verify", "--json", "--metadata", "--against"]);
        command.args([&source, &maildir]);
        let run = run(command).exits(0);
        assert_eq!(run.complaints(), [""; 0], "{labels}: {}", run.text());
        assert_eq!(count(run.json().last().unwrap(), "same"), 6);
    }
}

/// The place of a difference does not count the line ends that were changed on request.
#[test]
fn a_changed_word_is_found_after_line_ends_changed_as_asked() {
    let scratch = scratch();
    let [source, maildir] = ["in", "Maildir"].map(|name| scratch.path().join(name));
    fs::write(&source, ODD_MAIL).unwrap();
    convert([std::ffi::OsStr::new("--eol=lf"), source.as_os_str(), maildir.as_os_str()]);
    let file = &messages(&maildir)[0];
    fs::write(&file.path, file.bytes.replace(b"two", b"too")).unwrap();
    let mut command = mailferry(["verify", "--json", "--against"]);
    command.args([&source, &maildir]);
    let run = run(command).exits(1);
    assert_eq!(run.complaints(), ["message-differs"]);
    let message = run.findings()[0]["message"].to_string();
    assert!(message.contains("line 6") && message.contains("t[oo"), "{message}");
}
