//! A real list of 39,031 messages whose bytes before quoting are known.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::support::*;

const MESSAGES: u64 = 39_031;
const FROM: &[u8] = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n";

/// The range of a message in the mbox with its blank line, and the digest of the original.
struct Indexed {
    offset: usize,
    length: usize,
    digest: String,
}

/// Returns the packed mbox and the index.
fn list() -> Option<(PathBuf, Vec<Indexed>)> {
    let (packed, index) =
        (shared("corpus/linux-mips.mboxrd.zst")?, shared("corpus/linux-mips.index.tsv.zst")?);
    let lines = BufReader::new(zstd::Decoder::new(File::open(index).unwrap()).unwrap()).lines();
    let indexed = lines.skip(1).map(|line| {
        let line = line.unwrap();
        let row: Vec<&str> = line.split('\t').collect();
        Indexed {
            offset: row[1].parse().unwrap(),
            length: row[2].parse().unwrap(),
            digest: row[4].to_owned(),
        }
    });
    let indexed: Vec<Indexed> = indexed.collect();
    assert_eq!(indexed.len() as u64, MESSAGES);
    Some((packed, indexed))
}

fn converted(source: &Path, maildir: &Path, options: &[&str]) -> Run {
    // The tree is the same without flushes, and they take long on a busy disk.
    let mut command = convert_command(["--lock=none", "--fsync=none"]);
    command.args(options).args([source, maildir]);
    run(command).exits(0)
}

#[test]
fn a_real_list_is_converted_byte_for_byte_with_any_jobs() {
    let Some((packed, index)) = list() else { return };
    let scratch = scratch();
    let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
    let summary = converted(&packed, &one, &["-j1"]).summary();
    assert_eq!((count(&summary, "written"), &summary["variant"]), (MESSAGES, &"mboxrd".into()));
    converted(&packed, &two, &["-j2"]);

    let (one, two) = (tree_alike(&one), tree_alike(&two));
    assert_eq!(one.len() as u64, MESSAGES + 3 + 1);
    let mut indexed = BTreeMap::new();
    index.iter().for_each(|message| *indexed.entry(&message.digest).or_insert(0) += 1);
    let mut written = BTreeMap::new();
    let messages =
        one.iter().filter(|(path, l)| !l.digest.is_empty() && !path.ends_with("mailferry.manifest"));
    messages.for_each(|(_, l)| *written.entry(&l.digest).or_insert(0) += 1);
    let lost = indexed.iter().filter(|(digest, n)| written.get(*digest) != Some(n)).count();
    assert!(indexed == written, "{lost} digests of the index are not there as often as they should be");
    let differ = one.iter().find(|(path, state)| two.get(*path) != Some(state));
    assert!(one == two, "-j1 and -j2 differ, first in {differ:?}");
}

/// Messages must not be merged. Without the evidence that separates them they are still separate, or a
/// warning names the line.
#[test]
fn a_real_list_without_dates_and_blank_lines_is_still_split() {
    let Some((packed, index)) = list() else { return };
    let mut mbox = Vec::new();
    zstd::Decoder::new(File::open(packed).unwrap()).unwrap().read_to_end(&mut mbox).unwrap();
    for (dated, blank) in [(false, true), (true, false), (false, false)] {
        let what = format!("dates: {dated}, blank lines: {blank}");
        let (changed, offsets) = rewritten(&mbox, &index, dated, blank);
        let (scratch, source) = file("list", changed);
        separated(&source, &scratch.path().join("Maildir"), &offsets, &what);
    }
}

/// Returns the list with From_ lines without a date or without a blank line before them, and their offsets.
fn rewritten(mbox: &[u8], index: &[Indexed], dated: bool, blank: bool) -> (Vec<u8>, HashSet<u64>) {
    let mut out = Vec::with_capacity(mbox.len());
    let mut offsets = HashSet::new();
    for message in index {
        let bytes = &mbox[message.offset..][..message.length];
        let rest = bytes.strip_prefix(FROM).expect("every From_ line of the list is the same");
        offsets.insert(out.len() as u64);
        out.extend_from_slice(if dated { FROM } else { b"From mboxrd@z\n" });
        let kept = rest.strip_suffix(b"\n").expect("a blank line");
        out.extend_from_slice(if blank { rest } else { kept });
    }
    (out, offsets)
}

fn separated(source: &Path, maildir: &Path, offsets: &HashSet<u64>, what: &str) {
    let run = converted(source, maildir, &["-n"]);
    let written = count(&run.summary(), "written");
    eprintln!("{what}: {written} messages, {:?}", run.complaints());
    if written == MESSAGES {
        return;
    }
    let findings = run.findings();
    let in_body =
        findings.iter().filter(|f| f["code"] == "mbox-from-in-body").filter_map(|f| f["offset"].as_u64());
    let mut decided: HashSet<u64> = in_body.collect();
    let args = [OsStr::new("inspect"), "--json".as_ref(), "--boundaries".as_ref(), source.as_os_str()];
    let boundaries = crate::support::run(mailferry(args)).exits(0).json();
    let accepted =
        boundaries.iter().filter(|b| b["verdict"] == "separator").filter_map(|b| b["offset"].as_u64());
    decided.extend(accepted);
    let silent = offsets.difference(&decided).count();
    assert_eq!(silent, 0, "{what}: {silent} messages were merged without a word");
}
