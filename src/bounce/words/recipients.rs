//! The recipients that words name. Several forms are usual; the most certain one that occurs is taken.

use super::notice::Notice;
use super::phrases;

/// How often one phrase may name an address. The limits keep the time linear.
const MAX_PHRASES: usize = 500;
/// More recipients are not read.
const MAX_MENTIONS: usize = 10_000;
/// The words about one recipient have no more lines.
const MAX_LINES: usize = 100;

/// An address in the words, and where the words about it are.
#[derive(Debug)]
pub(super) struct Mention {
    pub(super) address: String,
    pub(super) origin: Option<Expansion>,
    pub(super) line: usize,
    /// Text after the address on its line.
    pub(super) tail: String,
}

/// The address that another one was made from.
#[derive(Debug, Clone)]
pub(super) enum Expansion {
    /// sendmail's `(expanded from: <address>)`: a recipient of the message, too.
    Alias(String),
    /// Exim's `(generated from address)`.
    Redirection(String),
}

/// The form in which addresses are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `<address>:` begins a line, as qmail and Postfix write it.
    Bracketed,
    /// A list of lines, each with one address.
    Listed,
    /// The address follows a phrase such as `unable to deliver to`.
    Inline,
    /// The address begins a paragraph.
    Leading,
    /// `550 <address>... reason`, as old versions of sendmail write it.
    Transcript,
    /// The server quotes its `RCPT TO:<address>`, or fields of the message.
    Command,
    /// The address is anywhere in the words, and the returned message was sent to it.
    Known,
    /// The address is in a line about a failure.
    Mentioned,
}

/// Returns the addresses of the most certain form that occurs. `sent_to` are the recipients of the returned message, and
/// `others` are addresses of the server itself.
pub(super) fn find(notice: &Notice, sent_to: &[String], others: &[String]) -> Option<(Form, Vec<Mention>)> {
    const FORMS: [Form; 8] = [
        Form::Bracketed,
        Form::Listed,
        Form::Inline,
        Form::Leading,
        Form::Transcript,
        Form::Command,
        Form::Known,
        Form::Mentioned,
    ];
    let is_other = |mention: &Mention| has_address(others, &mention.address);
    let find = |form: Form| match form {
        Form::Bracketed => bracketed(notice),
        Form::Listed => listed(notice),
        Form::Inline => inline(notice, phrases::BEFORE_ADDRESS),
        Form::Leading => leading(notice),
        Form::Transcript => transcript(notice),
        Form::Command => inline(notice, &["rcpt to", "recipient:", " to:"]),
        Form::Known => known(notice, sent_to),
        Form::Mentioned => mentioned(notice),
    };
    let found = FORMS.into_iter().map(|form| {
        let mut mentions = unique(find(form));
        mentions.retain(|mention| !is_other(mention));
        (form, mentions)
    });
    found.into_iter().find(|(_, mentions)| !mentions.is_empty())
}

/// Compares without case: the local part of an address that a server rewrote may have another one.
pub(super) fn has_address(addresses: &[String], address: &str) -> bool {
    addresses.iter().any(|known| known.eq_ignore_ascii_case(address))
}

fn unique(mentions: Vec<Mention>) -> Vec<Mention> {
    let mut seen = std::collections::HashSet::new();
    let unique = mentions.into_iter().filter(|mention| seen.insert(mention.address.to_lowercase()));
    unique.take(MAX_MENTIONS).collect()
}

fn mention(address: &str, line: usize, tail: &str) -> Mention {
    let tail = tail.trim_start_matches(|c: char| c.is_whitespace() || ":.,;>)'\"".contains(c));
    Mention { address: address.to_owned(), origin: None, line, tail: tail.to_owned() }
}

fn bracketed(notice: &Notice) -> Vec<Mention> {
    let lines = notice.lines.iter().enumerate();
    let found = lines.filter_map(|(n, line)| {
        let (address, tail) = line.trim_start().strip_prefix('<')?.split_once(">:")?;
        // qmail does not quote: there may be blanks.
        let is_address = address.contains('@') && !address.contains(['<', '>']);
        is_address.then(|| mention(address, n, tail))
    });
    found.collect()
}

/// The first line with nothing but an address after the words about a failure begins the list. Lines with the same
/// indentation continue it.
fn listed(notice: &Notice) -> Vec<Mention> {
    let start = notice.failure_line().unwrap_or(0);
    let after = listed_from(notice, start);
    // `Your message to: ADDRESS has not been delivered`
    if after.is_empty() { listed_from(notice, 0) } else { after }
}

fn listed_from(notice: &Notice, start: usize) -> Vec<Mention> {
    let mut mentions: Vec<Mention> = Vec::new();
    let (mut indent, mut previous) = (None, start);
    for (n, line) in notice.lines.iter().enumerate().skip(start) {
        if line.is_empty() {
            continue;
        }
        let before = std::mem::replace(&mut previous, n);
        let (depth, text) = without_bullet(line);
        if let Some(origin) = origin(text) {
            match mentions.last_mut() {
                Some(last) => last.origin = Some(origin),
                // Exim hides addresses that a redirection made.
                None => mentions.push(mention(origin.address(), n, "")),
            }
            continue;
        }
        let Some((address, tail)) = item(text).filter(|(_, tail)| is_end_of_item(tail)) else { continue };
        let is_contact = || {
            let folded = notice.fold(before..n).to_ascii_lowercase();
            let sentence = folded.rsplit(". ").next().unwrap_or_default();
            let has = |phrases: &[&str]| phrases.iter().any(|phrase| sentence.contains(phrase));
            has(phrases::CONTACT) && !has(phrases::FAILURE)
        };
        if *indent.get_or_insert(depth) == depth && !(mentions.is_empty() && is_contact()) {
            mentions.push(mention(address, n, tail.trim_start_matches(':')));
        } else if mentions.is_empty() {
            indent = None;
        }
    }
    mentions
}

/// Splits off the address at the start of an item, which may be in quotes.
fn item(text: &str) -> Option<(&str, &str)> {
    address_at(text).or_else(|| {
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (address, tail) = address_at(&text[1..])?;
        Some((address, tail.strip_prefix(quote)?))
    })
}

/// Reports whether nothing but a remark follows an address.
fn is_end_of_item(tail: &str) -> bool {
    let tail = tail.trim();
    matches!(tail, "" | ":" | "." | "," | ";")
        || tail.starts_with("...")
        || ["(", "[", "<", ":["].iter().any(|start| tail.starts_with(start))
            && tail.ends_with([')', ']', '>'])
}

/// Parses the remark about the origin of the address above it.
fn origin(text: &str) -> Option<Expansion> {
    let address = |start| {
        let rest = text.strip_prefix(start)?;
        address_at(rest.trim_start()).map(|(address, _)| address.to_owned())
    };
    let redirection = || address("(generated from").map(Expansion::Redirection);
    address("(expanded from:").map(Expansion::Alias).or_else(redirection)
}

impl Expansion {
    pub(super) fn address(&self) -> &str {
        match self {
            Expansion::Alias(address) | Expansion::Redirection(address) => address,
        }
    }
}

fn inline(notice: &Notice, phrases: &[&str]) -> Vec<Mention> {
    let mut found: Vec<(usize, Mention)> = Vec::new();
    for phrase in phrases {
        for (at, _) in notice.folded.match_indices(phrase).take(MAX_PHRASES) {
            let after = at + phrase.len();
            let rest = &notice.folded[after..];
            let skipped = rest.len() - rest.trim_start_matches([' ', ':', '\'', '"', '*']).len();
            if phrase.ends_with(' ') && rest.starts_with(':') {
                continue;
            }
            let Some((folded, _)) = address_at(&rest[skipped..]) else { continue };
            // In `folded` it is in lower case.
            let line = notice.line_at(after + skipped);
            let Some((address, tail)) = find_in_line(&notice.lines[line], folded) else { continue };
            found.push((after + skipped, mention(address, line, tail)));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, mention)| mention).collect()
}

/// Returns an address as a line has it, and the text after it.
fn find_in_line<'a>(line: &'a str, folded: &str) -> Option<(&'a str, &'a str)> {
    let at = line.to_ascii_lowercase().find(folded)?;
    let end = at + folded.len();
    Some((&line[at..end], line[end..].trim_start_matches('>')))
}

/// An address with words after it begins a paragraph, or a line after such a line.
fn leading(notice: &Notice) -> Vec<Mention> {
    let Some(start) = notice.failure_line() else { return Vec::new() };
    let mut mentions = Vec::new();
    for n in start + 1..notice.lines.len() {
        let is_first = notice.lines[n - 1].is_empty()
            || mentions.last().is_some_and(|last: &Mention| last.line + 1 == n);
        if let Some((address, tail)) = address_at(without_bullet(&notice.lines[n]).1).filter(|_| is_first) {
            mentions.push(mention(address, n, tail));
        }
    }
    mentions
}

fn transcript(notice: &Notice) -> Vec<Mention> {
    let lines = notice.lines.iter().enumerate();
    let found = lines.filter_map(|(n, line)| {
        let (code, rest) = line.split_once(' ')?;
        let is_code =
            code.len() == 3 && code.starts_with(['4', '5']) && code.bytes().all(|b| b.is_ascii_digit());
        let (address, tail) = address_at(rest)?;
        let reason = tail.strip_prefix("...")?;
        is_code.then(|| mention(address, n, reason))
    });
    found.collect()
}

fn known(notice: &Notice, sent_to: &[String]) -> Vec<Mention> {
    let all = notice.lines.iter().enumerate().flat_map(|(n, line)| all_in(line).map(move |found| (n, found)));
    let known = all.filter(|(_, (address, _))| has_address(sent_to, address));
    known.map(|(n, (address, tail))| mention(address, n, tail)).collect()
}

/// An address in the words about a failure, unless it is one to write to.
fn mentioned(notice: &Notice) -> Vec<Mention> {
    let mut mentions = Vec::new();
    for (n, line) in notice.lines.iter().enumerate().filter(|(_, line)| line.contains('@')) {
        let folded = line.to_ascii_lowercase();
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| folded.contains(phrase));
        if (has(phrases::FAILURE) || has(phrases::REASON)) && !has(phrases::CONTACT) {
            let is_sender = |address: &str| line.contains(&format!("from {address}"));
            let mut all = all_in(line).take(100).filter(|(address, _)| !is_sender(address));
            mentions.extend(all.next().map(|(address, tail)| mention(address, n, tail)));
        }
    }
    mentions
}

/// Returns all addresses in a line, with the text after each.
fn all_in(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_break = |c: char| c.is_whitespace() || matches!(c, '<' | '(' | '[' | ':' | ',' | ';' | '"' | '\'');
    let mut at = 0;
    line.split_inclusive(is_break).filter_map(move |word| {
        let rest = &line[at..];
        at += word.len();
        address_at(rest)
    })
}

/// Returns the indentation of a line, and its text without the mark of a list.
fn without_bullet(line: &str) -> (usize, &str) {
    let text = line.trim_start();
    let indent = line.len() - text.len();
    let item = text.trim_start_matches(['*', '-', '•', '·', '>']);
    (indent, item.trim_start())
}

/// Splits off the address at the start of a text, which may be in angle brackets.
pub(super) fn address_at(text: &str) -> Option<(&str, &str)> {
    let (text, is_bracketed) = text.strip_prefix('<').map_or((text, false), |rest| (rest, true));
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let at = local_part_length(text)?;
    let host = text[at..].strip_prefix('@')?;
    let length =
        host.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))).unwrap_or(host.len());
    let host = host[..length].trim_end_matches(['.', '-']);
    if host.is_empty() || host.starts_with('.') {
        return None;
    }
    let (address, tail) = text.split_at(at + 1 + host.len());
    match (is_bracketed, tail.strip_prefix('>')) {
        (true, Some(tail)) => Some((address, tail)),
        (true, None) => None,
        (false, _) => Some((address, tail)),
    }
}

/// Returns the length of a local part, quoted or not.
fn local_part_length(text: &str) -> Option<usize> {
    if text.starts_with('"') {
        let mut is_escaped = true;
        let end = text.bytes().take(320).position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        return Some(end? + 1);
    }
    let is_atom = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || "!#$%&*+-/=?^_`{|}~.'".contains(c),
        false => !c.is_whitespace() && !"、。「」『』（）【】＜＞：，；".contains(c),
    };
    let length = text.char_indices().take(320).find(|(_, c)| !is_atom(*c)).map(|(at, _)| at)?;
    (length > 0).then_some(length)
}

/// Returns the words about each recipient, folded.
pub(super) fn reasons(notice: &Notice, form: Form, mentions: &[Mention]) -> Vec<String> {
    let end_of = |n: usize| {
        let next = mentions[n + 1..].iter().find(|next| next.line > mentions[n].line);
        next.map_or(notice.lines.len(), |next| next.line)
    };
    let reason = |n: usize| {
        let Mention { line, tail, .. } = &mentions[n];
        let (first, end) = match form {
            // The sentence has the address in it.
            Form::Inline | Form::Command | Form::Known | Form::Mentioned => (&notice.lines[*line], end_of(n)),
            _ => (tail, end_of(n)),
        };
        let mut reason = Reason { text: String::new(), is_indented: form == Form::Listed };
        reason.push(first);
        let depth = without_bullet(&notice.lines[*line]).0;
        let mut is_new = false;
        for next in notice.lines[line + 1..end.max(line + 1)].iter().take(MAX_LINES) {
            if origin(next.trim()).is_some() {
                continue;
            }
            let is_deeper = without_bullet(next).0 > depth;
            if next.is_empty() {
                is_new = true;
            } else if is_new && !(is_deeper && reason.is_indented) && reason.is_complete() {
                break;
            } else {
                reason.push(next);
                is_new = false;
            }
        }
        reason.text
    };
    (0..mentions.len()).map(reason).collect()
}

/// Words about a recipient while they are collected.
struct Reason {
    text: String,
    /// Indented paragraphs belong to it.
    is_indented: bool,
}

impl Reason {
    /// Appends a line, up to what a reader needs.
    fn push(&mut self, line: &str) {
        const LONGEST: usize = 2_000;
        for word in line.split_whitespace() {
            if self.text.len() + word.len() > LONGEST {
                return;
            }
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.push_str(word);
        }
    }

    /// Reports whether the next paragraph is about something else: a colon announces it, and a few words say nothing.
    fn is_complete(&self) -> bool {
        !self.text.ends_with(':') && self.text.chars().filter(|c| c.is_alphanumeric()).count() > 3
    }
}
