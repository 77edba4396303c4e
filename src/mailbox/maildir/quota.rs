//! The quota of a Maildir++: the file `maildirsize`.

/// The sums of a maildirsize: bytes and messages. The first line is the quota. The error is the number of
/// a line that says something else.
pub fn sums(text: &[u8]) -> Result<(i64, i64), usize> {
    let (mut bytes, mut count) = (0i64, 0i64);
    for (n, line) in text.split(|&b| b == b'\n').enumerate().skip(1) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut numbers = line
            .split(|b| b.is_ascii_whitespace())
            .filter(|w| !w.is_empty())
            .map(|word| std::str::from_utf8(word).ok().and_then(|w| w.parse::<i64>().ok()));
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(b)), Some(Some(c)), None) => {
                (bytes, count) = (bytes.saturating_add(b), count.saturating_add(c));
            }
            _ => return Err(n + 1),
        }
    }
    Ok((bytes, count))
}

#[cfg(test)]
mod tests {
    use super::sums;

    #[test]
    fn a_maildirsize_is_added_up() {
        assert_eq!(sums(b"1000S,10C\n100 2\n-50 -1\n\n"), Ok((50, 1)));
        assert_eq!(sums(b"1000S"), Ok((0, 0)));
        assert_eq!(sums(b"0S\n1 2\nx 3\n"), Err(3));
        assert_eq!(sums(b"0S\n1 2 3\n"), Err(2));
    }
}
