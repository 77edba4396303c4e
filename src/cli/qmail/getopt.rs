//! Options of qmail's programs, as getopt(3) reads them.

/// A command line as getopt(3) parses it: no operands before options.
#[derive(Debug)]
pub(super) struct ParsedWords {
    pub options: Vec<(u8, Vec<u8>)>,
    pub operands: Vec<Vec<u8>>,
}

/// Parses `words`. In `letters` a `:` follows an option with an argument, and a `?` one whose argument is optional and in
/// the same word.
///
/// # Errors
/// A line for standard error, about an option that is unknown or lacks its argument.
pub(super) fn getopt(name: &str, words: Vec<Vec<u8>>, letters: &[u8]) -> Result<ParsedWords, Vec<u8>> {
    let wrong =
        |what: &str, letter: u8| [format!("{name}: {what} -- ").as_bytes(), &[letter], b"\n"].concat();
    let mut options = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with(b"-") && word.len() > 1) {
        if word == b"--" {
            break;
        }
        let mut rest = &word[1..];
        while let Some((&letter, after)) = rest.split_first() {
            rest = after;
            let known = letters.iter().position(|&known| known == letter && !b":?".contains(&letter));
            let at = known.ok_or_else(|| wrong("illegal option", letter))?;
            let argument = match letters.get(at + 1) {
                Some(b':' | b'?') if !rest.is_empty() => std::mem::take(&mut rest).to_vec(),
                Some(b':') => words.next().ok_or_else(|| wrong("option requires an argument", letter))?,
                _ => Vec::new(),
            };
            options.push((letter, argument));
        }
    }
    Ok(ParsedWords { options, operands: words.collect() })
}
