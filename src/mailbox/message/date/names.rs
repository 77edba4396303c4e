//! The names of months, weekdays and zones.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

/// The words that can be the name of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Names in any language, with or without accents.
    Known,
    /// Names in any language, with their accents.
    Exact,
    /// Any word.
    Any,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Minutes east of UTC, and the names of zones that mean nothing else in mail.
///
/// The American ones are those of RFC 822. Ambiguous ones are omitted, and so have an unknown offset: IST (India,
/// Ireland, Israel), AST (Atlantic, Arabia), and the military letters, which RFC 822 reversed and which RFC 5322
/// section 4.3 tells readers to ignore.
pub(super) const ZONES: [(i32, &[&str]); 21] = [
    (0, &["UT", "UTC", "GMT", "Z", "WET"]),
    (-300, &["EST", "CDT"]),
    (-240, &["EDT"]),
    (-360, &["CST", "MDT"]),
    (-420, &["MST", "PDT"]),
    (-480, &["PST", "AKDT"]),
    (-540, &["AKST"]),
    (-600, &["HST"]),
    (-180, &["ADT"]),
    (-210, &["NST"]),
    (-150, &["NDT"]),
    (60, &["WEST", "WETDST", "BST", "CET", "MET", "MEZ"]),
    (120, &["CEST", "CETDST", "MEST", "METDST", "MESZ", "EET", "SAST"]),
    (180, &["EEST", "EETDST", "MSK"]),
    (240, &["MSD"]),
    (480, &["HKT", "SGT"]),
    (540, &["JST", "KST"]),
    (600, &["AEST"]),
    (660, &["AEDT"]),
    (720, &["NZST"]),
    (780, &["NZDT"]),
];

/// The months or weekdays that a word can mean. Bit 0 is January, or Monday.
pub(super) type Bits = u16;

/// Returns the English month that a word is: its first three letters, all of them, or `Sept`.
pub(super) fn english_month(word: &[u8]) -> Option<Bits> {
    const STARTS: [u32; 12] = starts(MONTHS);
    english(word, &MONTHS, &STARTS)
}

pub(super) fn english_weekday(word: &[u8]) -> Option<Bits> {
    const STARTS: [u32; 7] = starts(WEEKDAYS);
    english(word, &WEEKDAYS, &STARTS)
}

/// Finds a word by its first three letters. Each date of each message has some words, so this must be fast.
fn english(word: &[u8], names: &[&str], starts: &[u32]) -> Option<Bits> {
    let [a, b, c, rest @ ..] = word else { return None };
    let start = start([*a, *b, *c]);
    let n = starts.iter().position(|&other| other == start)?;
    let is_whole = || rest.eq_ignore_ascii_case(&names[n].as_bytes()[3..]);
    let is_sept = || names[n] == "September" && rest.eq_ignore_ascii_case(b"t");
    (rest.is_empty() || is_whole() || is_sept()).then_some(1 << n)
}

const fn start(letters: [u8; 3]) -> u32 {
    let [a, b, c] = letters;
    u32::from_be_bytes([0, a.to_ascii_lowercase(), b.to_ascii_lowercase(), c.to_ascii_lowercase()])
}

const fn starts<const N: usize>(names: [&str; N]) -> [u32; N] {
    let (mut starts, mut n) = ([0; N], 0);
    while n < N {
        let name = names[n].as_bytes();
        starts[n] = start([name[0], name[1], name[2]]);
        n += 1;
    }
    starts
}

/// Returns the months that a word means in any language but English. A few words are different months in two languages.
pub(super) fn foreign_months(word: &[u8], words: Words) -> Bits {
    look_up(word, words).months
}

/// Returns the weekdays that a word means in any language but English.
pub(super) fn foreign_weekdays(word: &[u8], words: Words) -> Bits {
    look_up(word, words).weekdays
}

/// Reports whether a word means the month with the number after it, in Vietnamese.
pub(super) fn is_vietnamese_month(word: &[u8]) -> bool {
    [&b"th"[..], b"thg", b"thang", "tháng".as_bytes()].iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// Reports whether a word joins the parts of a date: `3 de enero`, `2005 г.`, `um 10:00 Uhr`.
pub(super) fn is_filler(word: &[u8]) -> bool {
    const FILLERS: [&str; 51] = [
        "a", "à", "ai", "alle", "as", "às", "at", "d", "de", "del", "den", "di", "dia", "e", "g", "gada",
        "h", "in", "jam", "kell", "kello", "kl", "klo", "la", "las", "le", "m", "nap", "o", "of", "om",
        "ore", "på", "saat", "the", "u", "uhr", "um", "năm", "ngày", "lúc", "viz", "mis", "ta", "в", "г",
        "года", "о", "р", "року", "у",
    ];
    !word.is_empty() && FILLERS.iter().any(|filler| filler.as_bytes().eq_ignore_ascii_case(word))
}

/// Returns true for the second half of a day and false for the first.
pub(super) fn half_day(word: &[u8]) -> Option<bool> {
    const NAMES: [(&str, bool); 16] = [
        ("am", false),
        ("pm", true),
        ("a.m", false),
        ("p.m", true),
        ("午前", false),
        ("午後", true),
        ("上午", false),
        ("下午", true),
        ("오전", false),
        ("오후", true),
        ("π.μ", false),
        ("μ.μ", true),
        ("πμ", false),
        ("μμ", true),
        ("ص", false),
        ("م", true),
    ];
    let found = NAMES.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))?;
    Some(found.1)
}

/// The meanings of a word.
#[derive(Debug, Default, Clone, Copy)]
struct Meanings {
    months: Bits,
    weekdays: Bits,
}

const LANGUAGES: &str = include_str!("languages.txt");

/// The meanings of names, folded and with accents.
static NAMES: LazyLock<HashMap<String, Meanings>> = LazyLock::new(|| {
    let mut names: HashMap<String, Meanings> = HashMap::new();
    for (_, months, weekdays) in languages() {
        let keys = |name| [fold(name), in_lower_case(name)];
        for (n, month) in months.enumerate() {
            month.flat_map(keys).for_each(|key| names.entry(key).or_default().months |= 1 << n);
        }
        for (n, weekday) in weekdays.enumerate() {
            weekday.flat_map(keys).for_each(|key| names.entry(key).or_default().weekdays |= 1 << n);
        }
    }
    names
});

/// Returns the name, the months and the weekdays of each language. A month or weekday has several names.
pub(super) fn languages() -> impl Iterator<Item = (&'static str, Names, Names)> {
    let mut lines = LANGUAGES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    std::iter::from_fn(move || {
        let names: fn(&'static str) -> Names =
            |line| line.split(", ").map(|name| name.trim_start_matches('-').split_whitespace());
        Some((lines.next()?, names(lines.next()?), names(lines.next()?)))
    })
}

pub(super) type Names = std::iter::Map<
    std::str::Split<'static, &'static str>,
    fn(&'static str) -> std::str::SplitWhitespace<'static>,
>;

fn look_up(word: &[u8], words: Words) -> Meanings {
    /// Longer words are no names.
    const MAX_NAME: usize = 64;
    let text = std::str::from_utf8(word).ok().filter(|_| word.len() <= MAX_NAME);
    let Some(text) = text else { return Meanings::default() };
    let name = if words == Words::Exact { in_lower_case(text) } else { fold(text) };
    // Catalan writes `d'abril`, and some of its months are English.
    let name = name.strip_prefix("d'").unwrap_or(&name);
    let english = || Meanings { months: english_month(name.as_bytes()).unwrap_or(0), weekdays: 0 };
    NAMES.get(name).copied().unwrap_or_else(english)
}

fn in_lower_case(word: &str) -> String {
    word.trim_end_matches('.').replace(['’', 'ʼ', '׳'], "'").to_lowercase()
}

/// Returns a word in lower case, without accents and without a final point.
fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    for letter in in_lower_case(word).chars() {
        match letter {
            'ł' => folded.push('l'),
            'ø' => folded.push('o'),
            'đ' => folded.push('d'),
            'ı' => folded.push('i'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            // Joins letters in Persian.
            '\u{200c}' => {}
            _ if letter.is_ascii() => folded.push(letter),
            _ => folded.extend(std::iter::once(letter).nfd().filter(|&part| !is_accent(part))),
        }
    }
    folded
}

/// Reports whether a combining mark only changes its letter. In Thai and other scripts marks are letters.
fn is_accent(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36f}' | '\u{653}'..='\u{655}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_twelve_months_and_seven_weekdays() {
        let mut count = 0;
        for (language, months, weekdays) in languages() {
            assert_eq!((months.count(), weekdays.count()), (12, 7), "{language}");
            count += 1;
        }
        assert_eq!(count, 53);
    }

    #[test]
    fn few_words_mean_two_months() {
        let mut several: Vec<_> = NAMES
            .iter()
            .filter(|(_, meanings)| meanings.months.count_ones() > 1)
            .map(|(name, _)| &**name)
            .collect();
        several.sort();
        assert_eq!(several, ["lip", "lis", "listopad", "listopada", "mae", "srp"]);
    }

    #[test]
    fn names_are_folded() {
        for (word, folded) in [
            ("Mär.", "mar"),
            ("MÄRZ", "marz"),
            ("Ma\u{308}rz", "marz"),
            ("İyul", "iyul"),
            ("Kasım", "kasim"),
            ("czwartek", "czwartek"),
            ("Środa", "sroda"),
            ("Μαΐ", "μαι"),
            ("май", "маи"),
            ("มี.ค.", "มี.ค"),
            ("أكتوبر", "اكتوبر"),
        ] {
            assert_eq!(fold(word), folded, "{word}");
        }
        assert_eq!(foreign_months("août".as_bytes(), Words::Known), 1 << 7);
        assert_eq!(foreign_months(b"aout", Words::Known), 1 << 7);
        assert_eq!(foreign_months(b"ao\xfbt", Words::Known), 0);
        assert_eq!(foreign_weekdays("Δευ".as_bytes(), Words::Known), 1);
    }
}
