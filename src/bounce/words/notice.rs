//! The words of a server, without the message that it returns.

use super::phrases;
use crate::bounce::mime::{Part, Parts};

/// How much of a text is searched. No server writes more about a message.
const MAX_LENGTH: usize = 256 << 10;

/// The text of a report.
#[derive(Debug)]
pub(super) struct Notice {
    /// Without white space at their ends.
    pub(super) lines: Vec<String>,
    /// All lines in one, with single blanks and ASCII letters in lower case. It begins with a blank.
    pub(super) folded: String,
    /// The offset of each line in `folded`.
    starts: Vec<usize>,
    /// What follows the words: the returned message or its header.
    pub(super) rest: String,
    /// A line says that the returned message follows, or its header does.
    pub(super) has_rest: bool,
}

impl Notice {
    /// Returns the words of a message: its first text.
    pub(super) fn of(parts: &Parts<'_>) -> Notice {
        let is_text =
            |part: &&Part<'_>| part.content_type().is_missing() || part.content_type().is("text/plain");
        let is_blank = |part: &&Part<'_>| part.body.trim_ascii().is_empty();
        let plain = parts.leaves.iter().filter(|part| !is_blank(part)).find(is_text);
        match plain.or_else(|| parts.leaves.iter().find(|part| part.content_type().is("text/html"))) {
            Some(part) if part.content_type().is("text/html") => {
                Notice::new(&without_tags(cut(&part.text())))
            }
            Some(part) => Notice::new(&part.text()),
            None => Notice::new(""),
        }
    }

    pub(super) fn new(text: &str) -> Notice {
        let text = cut(text);
        let mut notice = Notice {
            lines: Vec::new(),
            folded: " ".to_owned(),
            starts: Vec::new(),
            rest: String::new(),
            has_rest: false,
        };
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let is_header = begins_header(line);
            if is_header || is_end(line) {
                notice.rest = text[if is_header { start } else { at }..].trim_start_matches('\n').to_owned();
                notice.has_rest = true;
                break;
            }
            notice.push(line.trim_end());
        }
        notice
    }

    fn push(&mut self, line: &str) {
        self.starts.push(self.folded.len());
        for word in line.split_whitespace() {
            self.folded.push_str(word);
            self.folded.push(' ');
        }
        let start = *self.starts.last().unwrap_or(&0);
        if let Some(added) = self.folded.get_mut(start..) {
            added.make_ascii_lowercase();
        }
        self.lines.push(line.to_owned());
    }

    /// Returns the line at an offset of `folded`.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    pub(super) fn has(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.folded.contains(phrase))
    }

    /// Returns the line on which the words about a failure begin.
    pub(super) fn failure_line(&self) -> Option<usize> {
        let first = |phrases: &[&str]| phrases.iter().filter_map(|phrase| self.folded.find(phrase)).min();
        let offset = first(phrases::FAILURE).or_else(|| first(phrases::REASON))?;
        Some(self.line_at(offset))
    }

    /// Returns the lines from one on, folded into one.
    pub(super) fn fold(&self, lines: std::ops::Range<usize>) -> String {
        let words = self.lines[lines].iter().flat_map(|line| line.split_whitespace());
        words.collect::<Vec<_>>().join(" ")
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=MAX_LENGTH.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// Reports whether a line ends the words.
fn is_end(line: &str) -> bool {
    let folded = line.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    // A sentence about the original is longer.
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| folded.contains(phrase));
    folded.len() < 100 && has(phrases::END) && !has(phrases::FAILURE)
}

/// Reports whether the header of the returned message begins on this line.
fn begins_header(line: &str) -> bool {
    let name = line.split(':').next().filter(|name| name.len() < line.len());
    name.is_some_and(|name| {
        ["Received", "Return-Path", "Delivered-To", "DKIM-Signature"]
            .iter()
            .any(|one| one.eq_ignore_ascii_case(name))
    })
}

/// Returns the text of HTML.
fn without_tags(html: &str) -> String {
    const BREAKS: [&str; 8] = ["br", "p", "/p", "div", "/div", "tr", "li", "pre"];
    const TEXTS: [(&str, &str); 6] =
        [("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&quot;", "\""), ("&#64;", "@"), ("&amp;", "&")];
    // Some text is declared as HTML.
    let is_html = memchr::memchr_iter(b'<', html.as_bytes()).any(|at| {
        html.as_bytes()[at + 1..].first().is_some_and(|b| matches!(b, b'/' | b'b' | b'B' | b'p' | b'P'))
    });
    let html = if is_html { html.replace('\n', " ") } else { html.to_owned() };
    let (mut text, mut rest) = (String::with_capacity(html.len()), &html[..]);
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        let tag = &rest[open + 1..];
        let end = tag.find('>').unwrap_or(tag.len());
        let name = tag[..end]
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_ascii_lowercase();
        if BREAKS.contains(&&name[..]) {
            text.push('\n');
        } else if name.contains('@') {
            // An address that was not escaped.
            text.extend(["<", &tag[..end], ">"]);
        }
        rest = tag.get(end + 1..).unwrap_or_default();
        // Rules for the layout are not text.
        if matches!(&name[..], "style" | "script" | "head") {
            let end = rest.find(&format!("</{name}")).unwrap_or(rest.len());
            rest = &rest[end..];
        }
    }
    text.push_str(rest);
    TEXTS.iter().fold(text, |text, (entity, plain)| text.replace(entity, plain))
}
