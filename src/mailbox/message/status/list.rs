//! Lists of keywords and labels in header fields.

use std::borrow::Cow;

/// Splits a list of keywords at its commas, or at its blanks if there is no comma. Dovecot, UW-IMAP and Thunderbird
/// write blanks, and pad with blanks. OfflineIMAP and others write commas, and names with blanks.
pub(super) fn split_keywords(list: &str) -> Vec<String> {
    let by_comma = split(list, |c| c == ',');
    match by_comma.has_separator {
        true => by_comma.names,
        false => split(list, char::is_whitespace).names,
    }
}

/// Splits a list of labels at its commas.
pub(super) fn split_labels(list: &str) -> Vec<String> {
    split(list, |c| c == ',').names
}

/// Returns a list of keywords as a reader splits it: with blanks between them. A keyword with a comma needs quotes, and
/// then commas have to separate them.
pub(crate) fn join_keywords<'a>(keywords: impl Iterator<Item = Cow<'a, str>>) -> String {
    let keywords: Vec<Cow<'_, str>> = keywords.collect();
    if !keywords.iter().any(|keyword| keyword.contains(',')) {
        return keywords.join(" ");
    }
    // The last comma shows that there is a list even if there is one keyword.
    keywords.iter().map(|keyword| format!("\"{keyword}\",")).collect::<Vec<_>>().join(" ")
}

struct SplitList {
    names: Vec<String>,
    has_separator: bool,
}

/// Splits a list. A name that begins with a quote goes to the next single quote, and its own quotes are doubled. In
/// other names (`Kategorie: "Neuigkeiten"`) a quote is a quote, also one that is never closed.
fn split(list: &str, is_separator: impl Fn(char) -> bool) -> SplitList {
    let last_quote = list.rfind('"').unwrap_or(0);
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let (mut is_blank, mut has_separator) = (true, false);
    let mut rest = list.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' if quoted && rest.next_if(|(_, c)| *c == '"').is_some() => name.push('"'),
            '"' if quoted => quoted = false,
            '"' if is_blank && at < last_quote => (quoted, is_blank) = (true, false),
            c if !quoted && is_separator(c) => {
                has_separator = true;
                names.push(std::mem::take(&mut name));
                is_blank = true;
            }
            c => {
                name.push(c);
                is_blank &= c.is_whitespace();
            }
        }
    }
    names.push(name);
    let names = names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    SplitList { names, has_separator }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commas_separate_keywords_and_blanks_only_without_commas() {
        for (list, keywords) in [
            ("Work Home", &["Work", "Home"][..]),
            ("  Work   Home\t", &["Work", "Home"]),
            ("Work,My label,Home", &["Work", "My label", "Home"]),
            ("\"Project A\", \"b\"", &["Project A", "b"]),
            ("\"a, b\" c", &["a, b", "c"]),
            ("\"a, b\",c d", &["a, b", "c d"]),
            ("\"Project A\"", &["Project A"]),
            ("\"say \"\"hi\"\"\",b", &["say \"hi\"", "b"]),
            ("a\"b c\"d", &["a\"b", "c\"d"]),
            ("\"open, b", &["\"open", "b"]),
            ("My label,", &["My label"]),
            (",, ,", &[]),
            ("\"\"", &[]),
            ("", &[]),
        ] {
            assert_eq!(split_keywords(list), keywords, "{list}");
        }
    }

    proptest! {
        #[test]
        fn keywords_that_are_joined_are_split_again(keywords in proptest::collection::vec("[a-z$,._-]{0,6}[a-z]", 0..5)) {
            let joined = join_keywords(keywords.iter().map(Cow::from));
            prop_assert_eq!(split_keywords(&joined), keywords);
        }
    }
}
