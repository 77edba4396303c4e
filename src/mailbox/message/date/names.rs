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

/// Zones with one meaning in mail, and their minutes east of UTC.
///
/// The American ones are those of RFC 822. Ambiguous ones are omitted, and so have an unknown offset: IST (India,
/// Ireland, Israel), AST (Atlantic, Arabia), and the military letters, which RFC 822 reversed and which RFC 5322
/// section 4.3 tells readers to ignore.
pub(super) const ZONES: [(&str, i32); 44] = [
    ("UT", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("ADT", -180),
    ("NST", -210),
    ("NDT", -150),
    ("WET", 0),
    ("WEST", 60),
    ("WETDST", 60),
    ("BST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("CETDST", 120),
    ("MET", 60),
    ("MEST", 120),
    ("METDST", 120),
    ("MEZ", 60),
    ("MESZ", 120),
    ("EET", 120),
    ("EEST", 180),
    ("EETDST", 180),
    ("SAST", 120),
    ("MSK", 180),
    ("MSD", 240),
    ("HKT", 480),
    ("SGT", 480),
    ("JST", 540),
    ("KST", 540),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
];

pub(super) fn is_english_weekday(word: &[u8]) -> bool {
    WEEKDAYS.iter().any(|name| is_name_or_abbreviation(word, name))
}

pub(super) fn is_name_or_abbreviation(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
        || word.eq_ignore_ascii_case(&name.as_bytes()[..3])
        || (name == "September" && word.eq_ignore_ascii_case(b"Sept"))
}
