//! `dovecot-uidlist`, versions 1 and 3. Version 1 is also the form of `courierimapuiddb`.

use std::collections::HashMap;

use super::{ParsedUidList, UidEntry, UidList, UidListProblem};
use crate::mailbox::maildir::name;
use crate::mailbox::message::uids::{MAX_UID, parse_number};

impl UidEntry {
    /// Returns the value of a field, by its letter.
    pub(crate) fn field(&self, key: u8) -> Option<&[u8]> {
        let mut fields = self.fields.split(|&b| b == b' ');
        fields.find_map(|field| field.strip_prefix(&[key]))
    }

    /// Adds a field, unless there is one with this letter.
    pub(crate) fn add_field(&mut self, key: u8, value: &[u8]) {
        if self.field(key).is_none() {
            let blank: &[u8] = if self.fields.is_empty() { b"" } else { b" " };
            self.fields = [&self.fields, blank, &[key], value].concat().into();
        }
    }
}

impl UidList {
    /// Parses a list.
    ///
    /// # Errors
    /// The first line for which Dovecot drops the whole list.
    pub(crate) fn parse(text: &[u8]) -> Result<ParsedUidList, UidListProblem> {
        // Dovecot ignores a line without an end, which it may be writing.
        let end = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        let (complete, torn) = text.split_at(end);
        let mut lines = (1..).zip(complete.split_inclusive(|&b| b == b'\n').map(trim_line_end));
        let (_, header) = lines.next().unwrap_or((1, b""));
        let (version, mut list) = parse_header(header).map_err(|reason| problem(1, reason))?;
        let mut parser = Parser { version, ..Parser::default() };
        for (number, line) in lines {
            parser.line = number;
            let entry = parser.entry(line).map_err(|reason| problem(number, reason))?;
            parser.add(&mut list, entry);
        }
        if !torn.is_empty() {
            parser.line += 1;
            parser.complain("has no end");
        }
        list.entries.retain(|entry| entry.uid > 0);
        // The header is behind the entries that were appended.
        list.next = list.next.max(parser.previous.saturating_add(1));
        Ok(ParsedUidList { list, problems: parser.problems })
    }

    /// Formats the list as a `dovecot-uidlist`, version 3.
    pub(crate) fn to_dovecot(&self) -> Vec<u8> {
        let mut text = format!("3 V{} N{}", self.validity, self.next).into_bytes();
        if !self.fields.is_empty() {
            text.push(b' ');
            text.extend_from_slice(&self.fields);
        }
        text.push(b'\n');
        for UidEntry { uid, fields, name } in &self.entries {
            text.extend_from_slice(uid.to_string().as_bytes());
            if !fields.is_empty() {
                text.push(b' ');
                text.extend_from_slice(fields);
            }
            text.extend_from_slice(b" :");
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        text
    }

    /// Formats the list as a `courierimapuiddb`, which has no other fields.
    pub(crate) fn to_courier(&self) -> Vec<u8> {
        let mut text = format!("1 {} {}\n", self.validity, self.next).into_bytes();
        for UidEntry { uid, name, .. } in &self.entries {
            text.extend_from_slice(format!("{uid} ").as_bytes());
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        text
    }
}

#[derive(Default)]
struct Parser {
    version: u8,
    line: u64,
    previous: u32,
    /// The place of each name in the list.
    places: HashMap<Box<[u8]>, usize>,
    problems: Vec<UidListProblem>,
}

impl Parser {
    fn complain(&mut self, reason: impl Into<String>) {
        self.problems.push(problem(self.line, reason));
    }

    fn entry(&mut self, line: &[u8]) -> Result<UidEntry, String> {
        let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
        let uid = parse_number(&line[..digits]).filter(|_| line.get(digits) == Some(&b' '));
        let uid = uid.ok_or("does not begin with a UID")?;
        if uid == 0 || uid > MAX_UID {
            return Err(format!("{uid} is not a UID"));
        }
        if uid <= self.previous {
            return Err(format!("the UID {uid} comes after {}", self.previous));
        }
        self.previous = uid;
        let mut rest = line[digits..].trim_ascii_start();
        let mut fields = Vec::new();
        while self.version == 3 && !rest.is_empty() && rest[0] != b':' {
            let end = memchr::memchr2(b' ', b'\r', rest).unwrap_or(rest.len());
            let field = &rest[..end];
            match field[0].is_ascii_uppercase() {
                true => fields.push(field),
                false => self.complain(format!("\"{}\" is not a field", field.escape_ascii())),
            }
            rest = rest[end..].trim_ascii_start();
        }
        let name = if self.version == 3 { rest.strip_prefix(b":").unwrap_or_default() } else { rest };
        let name = base_name(name);
        if name.is_empty() {
            return Err("names no file".to_owned());
        }
        if name.contains(&b'/') {
            return Err("names a file of another directory".to_owned());
        }
        Ok(UidEntry { uid, fields: fields.join(&b' ').into(), name: name.into() })
    }

    /// Adds an entry. If its name is there already, the message was moved away and back: the last UID counts.
    fn add(&mut self, list: &mut UidList, entry: UidEntry) {
        if let Some(before) = self.places.insert(entry.name.clone(), list.entries.len()) {
            let uid = std::mem::take(&mut list.entries[before].uid);
            self.complain(format!("the file has the UID {uid} above"));
        }
        list.entries.push(entry);
    }
}

/// Returns a name without its info, which older lists have. No line can end in a name with a CR at its end.
fn base_name(name: &[u8]) -> &[u8] {
    let name = trim_line_end(name);
    match name::parse(name) {
        name::ParsedName { info: Some(_), base, .. } => base_name(base),
        _ => name,
    }
}

fn problem(line: u64, reason: impl Into<String>) -> UidListProblem {
    UidListProblem { line, reason: reason.into() }
}

/// Removes the end of a line, of which a CR may be a part.
fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &line[..end]
}

fn parse_header(line: &[u8]) -> Result<(u8, UidList), String> {
    let mut list = UidList::default();
    let mut words = line.split(|b| matches!(b, b' ' | b'\r')).filter(|word| !word.is_empty());
    let version = words.next().unwrap_or_default();
    match version {
        b"1" => {
            let mut number = || words.next().and_then(parse_number);
            (list.validity, list.next) = number().zip(number()).ok_or("does not have two numbers")?;
        }
        b"3" => {
            let mut fields = Vec::new();
            for word in words {
                match word[0] {
                    b'V' => list.validity = parse_number(&word[1..]).ok_or("V is not a number")?,
                    b'N' => list.next = parse_number(&word[1..]).ok_or("N is not a number")?,
                    b'G' if !is_guid(&word[1..]) => return Err("G is not 32 hexadecimal digits".to_owned()),
                    _ => fields.push(word),
                }
            }
            list.fields = fields.join(&b' ');
        }
        _ => return Err("is not the header of version 1 or 3".to_owned()),
    }
    if list.validity == 0 || list.next == 0 {
        return Err("the validity or the next UID is 0".to_owned());
    }
    Ok((version[0] - b'0', list))
}

fn is_guid(digits: &[u8]) -> bool {
    digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> ParsedUidList {
        UidList::parse(text.as_bytes()).unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    fn uids(list: &UidList) -> Vec<(u32, &str)> {
        list.entries.iter().map(|e| (e.uid, std::str::from_utf8(&e.name).unwrap())).collect()
    }

    #[test]
    fn all_fields_of_version_3_are_kept_and_the_header_may_be_behind() {
        let text = "3 V1796004349 N6 G583b3a2dfdd90c6b823a000074170df8 P%g\n\
                    1 Puidl-1 :100.M1.h,S=4\n\
                    2 P :101.M2.h\n\
                    4 G0123456789abcdef0123456789abcdef Zx :102.M3.h\n\
                    9 O2 Phas-no-space S486 W500 :103.M4.h\n";
        let parsed = parse(text);
        assert_eq!((parsed.list.validity, parsed.list.next, parsed.problems.len()), (1796004349, 10, 0));
        assert_eq!(
            uids(&parsed.list),
            [(1, "100.M1.h,S=4"), (2, "101.M2.h"), (4, "102.M3.h"), (9, "103.M4.h")]
        );
        let fields: Vec<_> = parsed.list.entries.iter().map(|entry| entry.field(b'P')).collect();
        assert_eq!(fields, [Some(&b"uidl-1"[..]), Some(&b""[..]), None, Some(&b"has-no-space"[..])]);
        assert_eq!(parsed.list.to_dovecot(), text.replace("N6", "N10").into_bytes());
    }

    #[test]
    fn version_1_is_dovecots_old_one_and_couriers() {
        let list = parse("1 796004409 15\n1 179.M8P1V00I9_0.mx,S=410\n4 179.M9_3.mx:2,S\n").list;
        assert_eq!((list.validity, list.next), (796004409, 15));
        assert_eq!(uids(&list), [(1, "179.M8P1V00I9_0.mx,S=410"), (4, "179.M9_3.mx")]);
        assert_eq!(list.to_courier(), b"1 796004409 15\n1 179.M8P1V00I9_0.mx,S=410\n4 179.M9_3.mx\n");
    }

    #[test]
    fn a_list_that_dovecot_drops_is_an_error_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("2 V1 N1\n", 1),
            ("3 V0 N1\n", 1),
            ("3 V1\n", 1),
            ("3 V1 N1 Gxyz\n", 1),
            ("1 5\n", 1),
            ("3 V1 N9\n1 :a\n1 :b\n", 3),
            ("3 V1 N9\n5 :a\n4 :b\n", 3),
            ("3 V1 N9\n0 :a\n", 2),
            ("3 V1 N9\n4294967295 :a\n", 2),
            ("3 V1 N9\n1 P\n", 2),
            ("3 V1 N9\n1 :../a\n", 2),
            ("3 V1 N9\nx :a\n", 2),
            ("3 V1 N9\n\n", 2),
        ] {
            let found = UidList::parse(text.as_bytes()).map_err(|problem| problem.line);
            assert_eq!(found.unwrap_err(), line, "{text}");
        }
    }

    #[test]
    fn what_dovecot_repairs_is_a_problem_and_no_error() {
        let parsed = parse("3 V1 N9\n1 x P1 :a\n2 :b\n3 :a\n4 :torn");
        assert_eq!(uids(&parsed.list), [(2, "b"), (3, "a")]);
        assert_eq!(parsed.problems.iter().map(|p| p.line).collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!(parsed.list.next, 9);
    }

    #[test]
    fn a_field_is_added_once() {
        let mut entry = UidEntry { uid: 1, fields: Box::default(), name: (*b"a").into() };
        entry.add_field(b'P', b"x");
        entry.add_field(b'G', b"y");
        entry.add_field(b'P', b"z");
        assert_eq!(&*entry.fields, b"Px Gy");
    }

    fn any_list() -> impl Strategy<Value = UidList> {
        let entry = (1..50u32, "([A-Z][!-9;-~]{0,5}( [A-Z][!-9;-~]{0,5}){0,2})?", "[a-zA-Z0-9.,=_-]{1,12}");
        (1..u32::MAX, proptest::collection::vec(entry, 0..20)).prop_map(|(validity, entries)| {
            let (mut uid, mut names) = (0, std::collections::HashSet::new());
            let mut list = UidList { validity, ..UidList::default() };
            for (step, fields, name) in entries {
                uid += step;
                if names.insert(name.clone()) {
                    let (fields, name) = (fields.into_bytes().into(), name.into_bytes().into());
                    list.entries.push(UidEntry { uid, fields, name });
                }
            }
            list.next = uid + 1;
            list
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(list in any_list()) {
            let parsed = UidList::parse(&list.to_dovecot()).unwrap();
            prop_assert_eq!((&parsed.list, parsed.problems.len()), (&list, 0));
            let courier = UidList::parse(&list.to_courier()).unwrap().list;
            prop_assert_eq!(uids(&courier), uids(&list));
        }

        #[test]
        fn no_bytes_cause_a_panic_and_what_is_read_is_written_the_same(text: Vec<u8>, lines in "([0-9]{1,2} [ -~]{0,9}\n){0,4}") {
            crate::promises::uid_list(&text);
            crate::promises::uid_list(&[&b"3 V7 N3\n"[..], lines.as_bytes(), &text].concat());
            crate::promises::uid_list(&[&b"1 7 3\n"[..], lines.as_bytes(), &text].concat());
        }
    }
}
