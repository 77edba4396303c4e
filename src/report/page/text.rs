//! Text of others made inert, and numbers, times and commands as text.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, Render, html};

use crate::mailbox::text::grouped;

/// More characters of a text are left out.
const MAX_CHARACTERS: usize = 400;
/// More characters of a command are left out.
const MAX_COMMAND: usize = 10_000;

/// Text of others: a name, a subject, a line of mail. It cannot change the direction or the look of what is around it.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl Render for Shown<'_> {
    fn render(&self) -> Markup {
        inert(self.0, MAX_CHARACTERS)
    }
}

/// Shows a command, which is longer than a name.
pub(super) fn command(text: &str) -> Markup {
    html! { code { (inert(text, MAX_COMMAND)) } }
}

fn inert(text: &str, limit: usize) -> Markup {
    let end = text.char_indices().nth(limit).map_or(text.len(), |(at, _)| at);
    let (shown, rest) = text.split_at(end);
    html! {
        bdi {
            @for (plain, hidden) in pieces(shown) {
                (plain)
                @if let Some(hidden) = hidden { span.hidden { "‹U+" (format!("{:04X}", u32::from(hidden))) "›" } }
            }
        }
        @if !rest.is_empty() {
            span.muted { "… (" (grouped(rest.chars().count() as u64)) " more characters)" }
        }
    }
}

/// Splits a text after each character that is not visible.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<char>)> {
    text.split_inclusive(is_hidden).map(|piece| match piece.chars().next_back() {
        Some(last) if is_hidden(last) => (&piece[..piece.len() - last.len_utf8()], Some(last)),
        _ => (piece, None),
    })
}

/// Reports whether a character is a control character, a mark of writing direction, or else invisible. The joiners of
/// scripts and emoji, and variation selectors, are not: words need them.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Formats the words of a command for a shell.
pub(super) fn command_line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,=:@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Formats a share of a whole, as `12.5 %`. What is not zero is not shown as zero, and not all is not shown as all.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let percent = part as f64 / whole as f64 * 100.0;
    match () {
        () if part > 0 && percent < 0.05 => "< 0.1 %".to_owned(),
        () if part < whole && percent >= 99.95 => "> 99.9 %".to_owned(),
        () => format!("{percent:.1} %"),
    }
}

/// Shows a time of RFC 3339 in UTC. Other text is shown unchanged.
pub(super) fn time(text: &str) -> Markup {
    match text.parse::<Timestamp>() {
        Ok(time) => {
            let shown = TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
            html! { time datetime=(time.to_string()) { (shown) } }
        }
        Err(_) => html! { (Shown(text)) },
    }
}

/// Formats seconds since 1970 as a day in UTC.
pub(super) fn day(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).map(|time| TimeZone::UTC.to_datetime(time));
    time.map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_invisible_is_shown() {
        let shown = |text: &str| Shown(text).render().into_string();
        assert_eq!(shown("Entwürfe <b>&\""), "<bdi>Entwürfe &lt;b&gt;&amp;&quot;</bdi>");
        let hidden = |code: &str| format!("<span class=\"hidden\">‹U+{code}›</span>");
        assert_eq!(shown("gpj.\u{202e}exe"), format!("<bdi>gpj.{}exe</bdi>", hidden("202E")));
        assert_eq!(
            shown("\0\x1b[2J\n"),
            format!("<bdi>{}{}[2J{}</bdi>", hidden("0000"), hidden("001B"), hidden("000A"))
        );
        assert_eq!(shown("\u{e0041}\u{feff}"), format!("<bdi>{}{}</bdi>", hidden("E0041"), hidden("FEFF")));
        // Persian and emoji need their joiners.
        assert_eq!(shown("می\u{200c}خواهم 👩\u{200d}💻"), "<bdi>می\u{200c}خواهم 👩\u{200d}💻</bdi>");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let shown = Shown(&"ä".repeat(12_345)).render().into_string();
        assert!(shown.ends_with("<span class=\"muted\">… (11,945 more characters)</span>"), "{shown}");
        assert_eq!(shown.matches('ä').count(), MAX_CHARACTERS);
        let words = vec!["x".to_owned(); 6000];
        let shown = command(&command_line(&words)).into_string();
        assert!(shown.ends_with("… (1,999 more characters)</span></code>"), "{shown}");
    }

    #[test]
    fn a_share_is_zero_or_all_only_where_it_is_exactly_that() {
        let shares = [(0, 7), (1, 1_000_000), (1, 3), (999_999, 1_000_000), (7, 7), (0, 0)];
        let want = ["0.0 %", "< 0.1 %", "33.3 %", "> 99.9 %", "100.0 %", ""];
        assert_eq!(shares.map(|(part, whole)| share(part, whole)), want);
    }

    #[test]
    fn times_and_commands_are_plain() {
        assert_eq!(
            time("2026-11-30T16:39:02Z").into_string(),
            "<time datetime=\"2026-11-30T16:39:02Z\">2026-11-30 16:39:02 UTC</time>"
        );
        assert_eq!(time("<now>").into_string(), "<bdi>&lt;now&gt;</bdi>");
        assert_eq!([0, -1].map(day), ["1970-01-01", "1969-12-31"]);
        let words = ["convert", "--since=2001", "Old Mail", "it's", ""].map(str::to_owned);
        assert_eq!(command_line(&words), r"convert --since=2001 'Old Mail' 'it'\''s' ''");
    }
}
