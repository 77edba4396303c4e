//! The property list after a message of Apple Mail: a dictionary in XML. Two of its keys are read. Anything that Apple's
//! own writer does not write is a fault, and what is complete before it counts.

use memchr::memmem;

/// The values of the two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Plist {
    pub flags: Option<u64>,
    /// Seconds since 1970.
    pub received: Option<i64>,
    pub fault: Option<PlistFault>,
    /// Its end in the text; where it has none, that of the text.
    pub end: usize,
}

/// The reason that a property list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlistFault {
    /// The offset in it.
    pub at: usize,
    /// A phrase.
    pub reason: &'static str,
}

const STARTS: [&[u8]; 4] = [b"<?xml", b"<!DOCTYPE plist", b"<plist", b"bplist0"];

/// Reports whether the text begins as a property list.
pub(super) fn begins(text: &[u8]) -> bool {
    STARTS.iter().any(|start| text.starts_with(start))
}

/// Finds the property list that ends a text. A cut one counts: nothing else begins with this line.
pub(super) fn find_last(text: &[u8]) -> Option<usize> {
    let at = memmem::rfind(text, b"<?xml")?;
    let head = &text[at..text.len().min(at + 512)];
    let is_plist =
        memmem::find(head, b"<plist").is_some() || memmem::find(head, b"<!DOCTYPE plist").is_some();
    let ends =
        text.trim_ascii_end().ends_with(b"</plist>") || memmem::find(&text[at..], b"</plist>").is_none();
    (is_plist && ends).then_some(at)
}

/// A piece of XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open(&'a [u8]),
    Close(&'a [u8]),
    /// `<true/>`.
    Empty(&'a [u8]),
    Text(&'a [u8]),
}

/// Reads pieces of XML. Comments, declarations and blanks between elements are skipped.
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl Plist {
    /// Reads a property list in XML.
    pub(super) fn parse(text: &[u8]) -> Plist {
        const END: &[u8] = b"</plist>";
        let (mut plist, mut tokens) = (Plist::default(), Tokens { text, at: 0 });
        let is_read = plist.read(&mut tokens).map_err(|fault| plist.fault.get_or_insert(fault)).is_ok();
        plist.end = match memmem::find(tokens.rest(), END) {
            Some(at) => tokens.at + at + END.len(),
            // Only the end itself may be cut off.
            None if is_read && !END.starts_with(tokens.rest().trim_ascii()) => tokens.at,
            None => text.len(),
        };
        plist
    }

    fn read(&mut self, tokens: &mut Tokens<'_>) -> Result<(), PlistFault> {
        let text = tokens.text;
        if text.trim_ascii().is_empty() {
            return Err(tokens.fault("there is no property list after the message"));
        }
        if text.starts_with(b"bplist") {
            return Err(tokens.fault("the property list is a binary one, which Apple Mail does not write"));
        }
        match (tokens.next()?, tokens.next()?) {
            (Token::Open(b"plist"), Token::Open(b"dict")) => {}
            (Token::Open(b"plist"), Token::Empty(b"dict")) => return Ok(()),
            _ => return Err(tokens.fault("the property list has no dictionary")),
        }
        loop {
            match tokens.next()? {
                Token::Close(b"dict") => return Ok(()),
                Token::Open(b"key") => {}
                _ => return Err(tokens.fault("the property list has a value without a key")),
            }
            let key = tokens.content(b"key")?;
            let at = tokens.at;
            let value = tokens.value()?;
            let (read, reason) = match key {
                b"flags" => {
                    self.flags = value.and_then(parse_bits);
                    (self.flags.is_some(), "the flags in the property list are not a number")
                }
                b"date-received" => {
                    self.received = value.and_then(parse_date);
                    (self.received.is_some(), "the received date in the property list is not a number")
                }
                _ => continue,
            };
            if !read {
                self.fault.get_or_insert(PlistFault { at, reason });
            }
        }
    }
}

/// Reads a number of 64 bits, signed or not.
fn parse_bits(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    text.parse().ok().or_else(|| Some(text.parse::<i64>().ok()?.cast_unsigned()))
}

/// Reads seconds since 1970, with or without a fraction, or a date of ISO 8601.
fn parse_date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    if text.contains('T') {
        return text.parse().map(jiff::Timestamp::as_second).ok();
    }
    text.parse().ok().or_else(|| {
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite())?;
        // A value out of range is not a real date either way.
        Some(seconds.floor() as i64)
    })
}

impl<'a> Tokens<'a> {
    fn fault(&self, reason: &'static str) -> PlistFault {
        PlistFault { at: self.at.min(self.text.len()), reason }
    }

    fn cut(&self) -> PlistFault {
        self.fault("the property list ends early")
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Returns the next piece.
    fn next(&mut self) -> Result<Token<'a>, PlistFault> {
        loop {
            let blanks = self.rest().iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.at += blanks;
            let rest = self.rest();
            let skipped = match rest {
                [] => return Err(self.cut()),
                [b'<', b'!', b'-', b'-', ..] => Some(&b"-->"[..]),
                [b'<', b'?', ..] => Some(&b"?>"[..]),
                [b'<', b'!', b'[', ..] => {
                    return Err(self.fault("the property list has a section that Apple Mail does not write"));
                }
                [b'<', b'!', ..] => Some(&b">"[..]),
                _ => None,
            };
            match skipped {
                Some(end) => self.at += memmem::find(rest, end).ok_or_else(|| self.cut())? + end.len(),
                None => return self.element_or_text(rest),
            }
        }
    }

    fn element_or_text(&mut self, rest: &'a [u8]) -> Result<Token<'a>, PlistFault> {
        if rest[0] != b'<' {
            let end = memchr::memchr(b'<', rest).ok_or_else(|| self.cut())?;
            self.at += end;
            return Ok(Token::Text(&rest[..end]));
        }
        let end = memchr::memchr(b'>', rest).ok_or_else(|| self.cut())?;
        self.at += end + 1;
        let inner = &rest[1..end];
        let name = |text: &'a [u8]| text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        Ok(match inner {
            [b'/', closed @ ..] => Token::Close(closed.trim_ascii_end()),
            [empty @ .., b'/'] => Token::Empty(name(empty)),
            opened => Token::Open(name(opened)),
        })
    }

    /// Returns the text of an element that was opened, up to its end.
    fn content(&mut self, name: &[u8]) -> Result<&'a [u8], PlistFault> {
        let text = match self.next()? {
            Token::Close(closed) if closed == name => return Ok(b""),
            Token::Text(text) => text,
            _ => return Err(self.fault("the property list has an element where text is expected")),
        };
        match self.next()? {
            Token::Close(closed) if closed == name => Ok(text),
            _ => Err(self.fault("the property list has an element that does not end")),
        }
    }

    /// Reads a value, and returns its text; None if it is not a number or text.
    fn value(&mut self) -> Result<Option<&'a [u8]>, PlistFault> {
        match self.next()? {
            Token::Empty(_) => Ok(None),
            Token::Open(name @ (b"integer" | b"real" | b"string" | b"date" | b"data")) => {
                let text = self.content(name)?;
                Ok((name != b"data").then_some(text))
            }
            Token::Open(_) => {
                let mut depth = 1_u64;
                while depth > 0 {
                    match self.next()? {
                        Token::Open(_) => depth += 1,
                        Token::Close(_) => depth -= 1,
                        Token::Empty(_) | Token::Text(_) => {}
                    }
                }
                Ok(None)
            }
            Token::Close(_) | Token::Text(_) => {
                Err(self.fault("the property list has a key without a value"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(dict: &str) -> Result<(Option<u64>, Option<i64>), &'static str> {
        let text = format!(
            "<?xml version=\"1.0\"?>\n<!DOCTYPE plist>\n<plist version=\"1.0\"><dict>{dict}</dict></plist>"
        );
        let Plist { flags, received, fault, .. } = Plist::parse(text.as_bytes());
        fault.map_or(Ok((flags, received)), |fault| Err(fault.reason))
    }

    #[test]
    fn two_keys_are_read_whatever_is_around_them() {
        for (dict, want) in [
            ("", (None, None)),
            ("<key>flags</key><integer>8623750272</integer>", (Some(8_623_750_272), None)),
            ("<key>flags</key><integer>-1</integer>", (Some(u64::MAX), None)),
            ("<key>flags</key><string> 3 </string>", (Some(3), None)),
            ("<key>date-received</key><integer>1516985072</integer>", (None, Some(1_516_985_072))),
            ("<key>date-received</key><real>-0.5</real>", (None, Some(-1))),
            ("<key>date-received</key><date>2018-01-26T21:01:18Z</date>", (None, Some(1_517_000_478))),
            (
                "<key>subject</key><string>&lt;key&gt;flags&amp;</string><!-- <key>flags</key> --><key>a</key><true/>\
                 <key>b</key><dict><key>flags</key><integer>1</integer><key>c</key><array><false/></array></dict>\
                 <key>d</key><string></string><key>flags</key><integer>2</integer>",
                (Some(2), None),
            ),
        ] {
            assert_eq!(parsed(dict), Ok(want), "{dict}");
        }
    }

    #[test]
    fn a_fault_is_named_and_what_is_before_it_counts() {
        for (dict, words) in [
            ("<key>flags</key><integer>many</integer>", "not a number"),
            ("<key>flags</key><array><integer>1</integer></array>", "not a number"),
            ("<key>flags</key><integer>184467440737095516160</integer>", "not a number"),
            ("<key>date-received</key><date>2018-01-26</date>", "not a number"),
            ("<key>date-received</key><data>MQ==</data>", "not a number"),
            ("<key>date-received</key><real>nan</real>", "not a number"),
            ("<integer>1</integer>", "without a key"),
            ("<key>flags</key>", "without a value"),
            ("<key>flags</key><integer>1<b/></integer>", "does not end"),
            ("<![CDATA[x]]>", "does not write"),
        ] {
            let reason = parsed(dict).unwrap_err();
            assert!(reason.contains(words), "{dict}: {reason}");
        }
        let text = b"<?xml version=\"1.0\"?><plist><dict><key>flags</key><integer>1</integer></dict></plist>";
        let end = text.len() - b"</plist>".len();
        let known = text.len() - b"</dict></plist>".len();
        for length in 0..text.len() {
            let Plist { flags, fault, end: list_end, .. } = Plist::parse(&text[..length]);
            assert_eq!((flags.is_some(), fault.is_none()), (length >= known, length >= end), "{length}");
            assert_eq!(list_end, length);
        }
        for (more, has_end) in [("", true), ("more", true), ("12\nSubject: x\n", true), ("more", false)] {
            let list = if has_end { &text[..] } else { &text[..end] };
            let found = Plist::parse(&[list, more.as_bytes()].concat());
            assert_eq!((found.end, found.fault), (list.len(), None), "{more}");
        }
    }
}
