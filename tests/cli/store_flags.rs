//! Flags and keywords of other programs' stores: those that their servers and readers reported for each message.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::*;

/// Stores whose flags are compared. Those with compressed messages have the same flags in the same names.
const STORES: [&str; 18] = [
    "dovecot-from-courier",
    "dovecot-maildir",
    "dovecot-maildir-fs",
    "dovecot-maildir-popuidl",
    "dovecot-mbox",
    "dovecot-uidlist-behind",
    "dovecot-uidlist-fields",
    "dovecot-uidlist-none",
    "courier-maildir",
    "evolution-maildir",
    "kmail-maildir",
    "takeout-de",
    "takeout-en",
    "takeout-es-groups",
    "takeout-pt",
    "thunderbird-maildir",
    "uw-mbox",
    "uw-mmdf",
];

/// Keywords that are in files of Courier alone, which are not read.
const WITHOUT_KEYWORDS: [&str; 1] = ["courier-maildir"];

/// Flags and keywords in lower case, of each message with a Message-ID.
type States = BTreeMap<String, Vec<(String, Vec<String>)>>;

/// Returns the states that are expected. A message without a reliable one is left out.
fn expected(store: &Path, has_keywords: bool) -> States {
    let text = fs::read_to_string(store.join("expected.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let folders = json["folders"].as_array().into_iter().flatten().map(|folder| &folder["messages"]);
    let messages = folders.chain([&json["messages"]]).filter_map(Value::as_array).flatten();
    let mut states = States::new();
    for message in messages {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let all = |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>();
        let letter = |flag: &String| match &flag[..] {
            "\\Seen" => "S",
            "\\Answered" => "R",
            "\\Flagged" => "F",
            "\\Deleted" => "T",
            "\\Draft" => "D",
            _ => "",
        };
        let mut letters: Vec<&str> = Vec::new();
        let flags = all(&message["flags"]);
        letters.extend(flags.iter().map(letter));
        letters.sort();
        let flags = match &message["maildir_flags"] {
            Value::String(flags) => flags.clone(),
            // Nobody reports them.
            Value::Null if message["flags"].is_null() => continue,
            _ => letters.concat(),
        };
        let keywords = if has_keywords { all(&message["keywords"]) } else { Vec::new() };
        let mut keywords: Vec<String> = keywords.iter().map(|keyword| keyword.to_lowercase()).collect();
        keywords.sort();
        states.entry(text(&message["message_id"]).unwrap_or_default()).or_default().push((flags, keywords));
    }
    states.values_mut().for_each(|states| states.sort());
    states
}

/// Returns the states in a Maildir and its folders.
fn found(maildir: &Path, has_keywords: bool) -> States {
    let mut states = States::new();
    let folders = names(maildir).into_iter().map(|name| maildir.join(name)).filter(|path| path.is_dir());
    for folder in [maildir.to_owned()].into_iter().chain(folders.filter(|path| path.join("cur").is_dir())) {
        let list = fs::read_to_string(folder.join("dovecot-keywords")).unwrap_or_default();
        let keywords: BTreeMap<char, String> = list
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(number, name)| (char::from(b'a' + number.parse::<u8>().unwrap()), name.to_lowercase()))
            .collect();
        for subdir in ["cur", "new"] {
            for name in names(&folder.join(subdir)) {
                let text = fs::read(folder.join(subdir).join(&name)).unwrap();
                let text = String::from_utf8_lossy(&text).into_owned();
                let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap_or_default();
                let info = name.split_once(":2,").map_or("", |(_, info)| info);
                let (flags, letters): (String, String) = info.chars().partition(char::is_ascii_uppercase);
                let mut words: Vec<String> =
                    letters.chars().map(|letter| keywords[&letter].clone()).collect();
                words.sort();
                words.retain(|_| has_keywords);
                states.entry(id.trim().to_owned()).or_default().push((flags, words));
            }
        }
    }
    states.values_mut().for_each(|states| states.sort());
    states
}

#[test]
fn flags_and_keywords_are_those_that_other_programs_report() {
    let Some(stores) = shared("stores") else { return };
    for name in STORES {
        let (store, scratch) = (stores.join(name), scratch());
        let Ok(archive) = fs::File::open(store.join("store.tar.zst")) else {
            skip!("../shared/stores/{name} is not here");
        };
        tar::Archive::new(zstd::Decoder::new(archive).unwrap()).unpack(scratch.path()).unwrap();
        let maildir = scratch.path().join("Maildir");
        let mut to = OsStr::new("maildir:").to_owned();
        to.push(&maildir);
        let mut command = convert_command(["-q"]);
        command.arg(scratch.path().join("store")).arg(to);
        let run = run(command);
        let reports_keywords =
            fs::read_to_string(store.join("expected.json")).unwrap().contains("\"keywords\"");
        let has_keywords = reports_keywords && !WITHOUT_KEYWORDS.contains(&name);
        let (expected, mut found) = (expected(&store, has_keywords), found(&maildir, has_keywords));
        assert!(!expected.is_empty() || name == "takeout-pt", "{name}");
        found.retain(|id, _| expected.contains_key(id));
        assert_eq!(found, expected, "{name}: {}", run.stderr);
    }
}
