//! The names of months, weekdays and zones.

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

pub(super) fn is_english_weekday(word: &[u8]) -> bool {
    WEEKDAYS.iter().any(|name| is_name_or_abbreviation(word, name))
}

pub(super) fn is_name_or_abbreviation(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
        || word.eq_ignore_ascii_case(&name.as_bytes()[..3])
        || (name == "September" && word.eq_ignore_ascii_case(b"Sept"))
}
