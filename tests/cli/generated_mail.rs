//! Mailboxes that this test makes up, and whose correct conversion it therefore knows: all variants, line ends, prose,
//! dates, flags, languages and stores.
//!
//! A mailbox is the result of a seed. If one fails, the test makes it smaller, and prints the seed, the reason and the
//! smallest mailbox that still fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::support::*;

/// A generator of numbers (SplitMix64).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Mboxo,
    Mboxrd,
    Mboxcl,
    Mboxcl2,
    Mmdf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eol {
    Lf,
    Crlf,
    /// Of an old Mac. Messages get LF.
    Cr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Bzip2,
    Zstd,
}

impl Compression {
    fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Compression::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(bytes).unwrap();
                gzip.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                bzip2.write_all(bytes).unwrap();
                bzip2.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    /// One mbox.
    File,
    /// A directory of mboxes, some in directories.
    Tree,
    /// A mail folder of Thunderbird, with `.sbd` and `.msf`.
    Thunderbird,
    Maildir,
    /// A Maildir of Thunderbird, with the flags in the headers.
    ThunderbirdMaildir,
    Mh,
    /// A directory of `.eml` files.
    Eml,
}

impl Store {
    fn is_mbox(self) -> bool {
        matches!(self, Store::File | Store::Tree | Store::Thunderbird)
    }

    fn is_maildir(self) -> bool {
        matches!(self, Store::Maildir | Store::ThunderbirdMaildir)
    }
}

/// The correct flags of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// In ASCII order.
    flags: &'static str,
    /// In lower case.
    keywords: &'static [&'static str],
    /// The message is in cur/.
    old: bool,
}

/// A message, as the program that stored it had it.
#[derive(Debug, Clone)]
struct Mail {
    number: usize,
    /// The name of its folder in a tree.
    folder: usize,
    epoch: i64,
    /// The number of a spelling of the From_ line.
    date: usize,
    /// Fields with flags.
    fields: &'static str,
    state: State,
    /// Without line ends.
    body: Vec<Vec<u8>>,
    subject: &'static str,
    content_type: &'static str,
}

#[derive(Debug, Clone)]
struct Mailbox {
    variant: Variant,
    eol: Eol,
    /// One mbox is compressed.
    compression: Option<Compression>,
    /// Its writer leaves From_ lines in bodies unquoted that no reader mistakes for separators.
    is_sloppy: bool,
    store: Store,
    mails: Vec<Mail>,
}

/// Fields and their meaning.
type Flagging = (&'static str, State);

const fn state(flags: &'static str, keywords: &'static [&'static str], old: bool) -> State {
    State { flags, keywords, old }
}

/// The flags of the header that any program writes, but Gmail.
const FLAGS: [Flagging; 24] = [
    ("", state("", &[], false)),
    ("Status: O\n", state("", &[], true)),
    ("Status: RO\n", state("S", &[], true)),
    ("Status: U\n", state("", &[], false)),
    ("Status: RO\nX-Status: A\n", state("RS", &[], true)),
    ("Status: RO\nX-Status: AFT\n", state("DFRS", &[], true)),
    ("Status: O\nX-Status: D\nX-Keywords:                 \n", state("T", &[], true)),
    ("X-Status: F\n", state("F", &[], true)),
    ("Status: RO\nX-Keywords: Work NonJunk        \n", state("S", &["nonjunk", "work"], true)),
    ("Status: RO\nX-Keywords: My label,Home\n", state("S", &["home", "my_label"], true)),
    ("X-Keywords: \"Project A\", \"b\"\n", state("", &["b", "project_a"], true)),
    ("X-Mozilla-Status: 0000\nX-Mozilla-Status2: 00000000\n", state("", &[], false)),
    ("X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00800000\n", state("S", &[], true)),
    ("X-Mozilla-Status: 1007\nX-Mozilla-Keys: $label1 Work   \n", state("FPRS", &["$label1", "work"], true)),
    ("X-Mozilla-Status: 0009\nX-Mozilla-Status2: 00000000\n", state("ST", &[], true)),
    ("X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00200000\nX-Mozilla-Keys: \n", state("ST", &[], true)),
    ("Status: RO\nX-Status: RT\nX-KMail-EncryptionState: N\n", state("S", &[], true)),
    ("Status: RO\nX-Status: RAFG\nX-KMail-SignatureState: N\n", state("FPRS", &[], true)),
    ("Status: RO\nX-Status: UT\nX-KMail-EncryptionState: \n", state("", &[], true)),
    ("Status: R\nX-Status: N\nX-KMail-EncryptionState: \n", state("", &[], false)),
    ("Status: RO\nX-Status: RP\n", state("S", &["$junk"], true)),
    ("X-Evolution: 00000007-0010\n", state("S", &[], true)),
    ("X-Evolution: 00000008-0093\n", state("RST", &["$junk"], true)),
    ("X-UID: 7\nStatus: RO\n", state("S", &[], true)),
];

/// Gmail's labels. All messages of a mailbox have those of one language.
const LABELS: [&[Flagging]; 6] = [
    &[
        ("X-Gmail-Labels: Inbox,Unread\n", state("", &[], true)),
        ("X-Gmail-Labels: Inbox,Opened,Starred\n", state("FS", &[], true)),
        ("X-Gmail-Labels: Archived,\"Work, urgent\",Category Updates\n", state("S", &["work,_urgent"], true)),
        ("X-Gmail-Labels: Spam,Unread\n", state("", &["$junk"], true)),
        ("X-Gmail-Labels: Trash,Opened\n", state("ST", &[], true)),
        ("X-GM-THRID: 1\n", state("S", &[], true)),
    ],
    &[
        ("X-Gmail-Labels: Posteingang,Ungelesen\n", state("", &[], true)),
        ("X-Gmail-Labels: =?UTF-8?Q?Ge=C3=B6ffnet,Entw=C3=BCrfe?=\n", state("DS", &[], true)),
        ("X-Gmail-Labels: =?UTF-8?Q?Archiviert,Kategorie:_=22Soziale_Medien=22?=\n", state("S", &[], true)),
    ],
    &[
        ("X-Gmail-Labels: =?UTF-8?Q?Bo=C3=AEte_de_r=C3=A9ception,Non_lus?=\n", state("", &[], true)),
        (
            "X-Gmail-Labels: =?UTF-8?Q?Messages_archiv=C3=A9s,Ouvert,Cat=C3=A9?=\n =?UTF-8?Q?gorie=C2=A0:_E-mails_personnels?=\n",
            state("S", &[], true),
        ),
        ("X-Gmail-Labels: Corbeille\n", state("ST", &[], true)),
    ],
    &[
        ("X-Gmail-Labels: =?utf-8?B?5Y+X5L+h44OI44Os44KkLOacquiqrQ==?=\n", state("", &[], true)),
        ("X-Gmail-Labels: =?utf-8?B?5Y+X5L+h44OI44Os44Kk?=\n", state("S", &[], true)),
    ],
    &[
        ("X-Gmail-Labels: =?UTF-8?Q?Innboks,Ulest?=\n", state("", &[], true)),
        ("X-Gmail-Labels: =?UTF-8?Q?=C3=85pnet,Reise?=\n", state("S", &["reise"], true)),
    ],
    &[
        // Swahili: not known.
        ("X-Gmail-Labels: Kikasha,Haijasomwa\n", state("", &["haijasomwa", "kikasha"], true)),
        ("X-Gmail-Labels: Kikasha,Familia\n", state("", &["familia", "kikasha"], true)),
    ],
];

/// Flags that Thunderbird writes into a Maildir.
const MOZILLA_FLAGS: [Flagging; 4] = [
    ("X-Mozilla-Status: 0000\nX-Mozilla-Status2: 00000000\n", state("", &[], true)),
    (
        "X-Mozilla-Status: 0005\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1 \n",
        state("FS", &["$label1"], true),
    ),
    ("X-Mozilla-Status: 1009\nX-Mozilla-Status2: 00000000\n", state("PST", &[], true)),
    ("X-Mozilla-Status: 0002\nX-Mozilla-Keys: two words,b\n", state("R", &["b", "two_words"], true)),
];

/// Flags in the name of a file.
const NAME_FLAGS: [Flagging; 4] = [
    ("", state("", &[], true)),
    ("", state("S", &[], true)),
    ("", state("FRS", &[], true)),
    ("", state("DT", &[], true)),
];

const SUBJECTS: [&str; 10] = [
    "plain",
    "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=",
    "=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=",
    "=?UTF-8?B?5pel5pys6A==?=\n =?UTF-8?B?qp4=?=",
    "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
    "=?KOI8-R?B?8NLJ18XU?=",
    "=?utf-8?B?SsO8cmdlbg?=",
    "Re: From here to there",
    "=?big5?B?p0Gmbg==?=",
    "",
];

/// Lines of a body that are as dangerous as real ones. Each is a paragraph.
const PROSE: [&[&str]; 12] = [
    &["Hello,", "", "how are you?"],
    &["From here on it is downhill."],
    &["From the desk of Ada:", "nothing"],
    &["> From joe@example.org Mon Jan  3 10:00:00 2005", "> Subject: quoted"],
    &["| From nobody", "+From: x", "-From joe Mon Jan  3 10:00:00 2005"],
    // A quoted mailbox, without a header after the line.
    &["From joe@example.org Mon Jan  3 10:00:00 2005", "is how each message begins."],
    // git format-patch.
    &[
        "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001",
        "From: Ada <ada@example.org>",
        "Date: Mon, 3 Jan 2005 10:00:00 +0000",
        "Subject: [PATCH] mail: read it",
        "",
        "---",
        "diff --git a/x b/x",
    ],
    &["Caf\u{e9}, \u{65e5}\u{672c}\u{8a9e}, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}"],
    &["", "", ""],
    &["Subject: not a header", "X-Number: none"],
    &["From"],
    &["fromage From the market", " From with a blank"],
];

/// A message within the message.
const NESTED: &[&str] = &[
    "--b1",
    "Content-Type: text/plain",
    "",
    "see below",
    "--b1",
    "Content-Type: message/rfc822",
    "",
    "From: Ada <ada@example.org>",
    "Subject: inner",
    "Status: RO",
    "",
    "inner text",
    "--b1--",
];

/// Spellings of From_ lines, and how many seconds their clock is ahead of UTC. `{d}` and so on are parts of the time.
const DATES: [(&str, i64); 28] = [
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {wday} {mon} {d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {wday} {mon} {0d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} {y} +0000", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} +0000 {y}", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} GMT {y}", 0),
    ("From - {wday} {mon} {0d} {h}:{m}:{s} {y}", 0),
    ("From \"Ada L\"@example.org {wday} {mon} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada at example.org {wday} {mon} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {wday}, {d} {mon} {y} {h}:{m}:{s} +0000", 0),
    ("From ada {wday} {mon} {_d} {h}:{m}:{s} {y} remote from example", 0),
    ("From ada@example.org Mo {mon} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org lun {mon} {_d} {h}:{m}:{s} {y}", 0),
    ("From 1800000000000000001@xxx {wday} {mon} {0d} {h}:{m}:{s} +0000 {y}", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m} {y}", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} {yy}", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} {y} +0100", 3600),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} -0730 {y}", -27000),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} EST {y}", -18000),
    ("From ada@example.org {wday}, {0d} {mon} {y} {h}:{m}:{s} +0545", 20700),
    ("From ada@example.org {y}-{month}-{0d}T{h}:{m}:{s}Z", 0),
    ("From ada@example.org {wday} {mon} {_d} {h}:{m}:{s} {y}  ", 0),
    ("From  {wday} {mon} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {de} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {fr} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {es} {_d} {h}:{m}:{s} {y} +0100", 3600),
    ("From ada@example.org {ru} {_d} {h}:{m}:{s} {y}", 0),
    ("From ada@example.org {ja} {_d} {h}:{m}:{s} {y}", 0),
];

/// A weekday, from Monday, and a month in each language.
const LANGUAGES: [(&str, [&str; 7], [&str; 12]); 5] = [
    (
        "{de}",
        ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"],
        ["Jan", "Feb", "M\u{e4}r", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"],
    ),
    (
        "{fr}",
        ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."],
        [
            "janv.",
            "f\u{e9}vr.",
            "mars",
            "avril",
            "mai",
            "juin",
            "juil.",
            "ao\u{fb}t",
            "sept.",
            "oct.",
            "nov.",
            "d\u{e9}c.",
        ],
    ),
    (
        "{es}",
        ["lun", "mar", "mi\u{e9}", "jue", "vie", "s\u{e1}b", "dom"],
        ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
    ),
    (
        "{ru}",
        [
            "\u{41f}\u{43d}",
            "\u{412}\u{442}",
            "\u{421}\u{440}",
            "\u{427}\u{442}",
            "\u{41f}\u{442}",
            "\u{421}\u{431}",
            "\u{412}\u{441}",
        ],
        [
            "\u{44f}\u{43d}\u{432}",
            "\u{444}\u{435}\u{432}",
            "\u{43c}\u{430}\u{440}",
            "\u{430}\u{43f}\u{440}",
            "\u{43c}\u{430}\u{439}",
            "\u{438}\u{44e}\u{43d}",
            "\u{438}\u{44e}\u{43b}",
            "\u{430}\u{432}\u{433}",
            "\u{441}\u{435}\u{43d}",
            "\u{43e}\u{43a}\u{442}",
            "\u{43d}\u{43e}\u{44f}",
            "\u{434}\u{435}\u{43a}",
        ],
    ),
    (
        "{ja}",
        ["\u{6708}", "\u{706b}", "\u{6c34}", "\u{6728}", "\u{91d1}", "\u{571f}", "\u{65e5}"],
        [
            "1\u{6708}",
            "2\u{6708}",
            "3\u{6708}",
            "4\u{6708}",
            "5\u{6708}",
            "6\u{6708}",
            "7\u{6708}",
            "8\u{6708}",
            "9\u{6708}",
            "10\u{6708}",
            "11\u{6708}",
            "12\u{6708}",
        ],
    ),
];

const FOLDERS: [&str; 4] = ["work", "play", "lists/rust", "lists/mail"];

impl Mailbox {
    fn generate(seed: u64) -> Mailbox {
        let mut random = Random(seed);
        let variants = [Variant::Mboxo, Variant::Mboxrd, Variant::Mboxcl, Variant::Mboxcl2, Variant::Mmdf];
        let stores = [
            Store::File,
            Store::File,
            Store::File,
            Store::Tree,
            Store::Thunderbird,
            Store::Maildir,
            Store::ThunderbirdMaildir,
            Store::Mh,
            Store::Eml,
        ];
        let (variant, store) = (random.pick(&variants), random.pick(&stores));
        let eol = match random.below(10) {
            0..6 => Eol::Lf,
            6..9 => Eol::Crlf,
            _ if store == Store::File && variant != Variant::Mmdf => Eol::Cr,
            _ => Eol::Lf,
        };
        let compressions = [Compression::Gzip, Compression::Bzip2, Compression::Zstd];
        let compression = random.pick(&compressions);
        let compression = (random.chance(15) && store == Store::File).then_some(compression);
        let is_sloppy = random.chance(30) && matches!(variant, Variant::Mboxo | Variant::Mboxrd);
        let labels = random.chance(25).then(|| random.pick(&LABELS));
        let mails = 1 + random.below(8);
        let mut mailbox = Mailbox { variant, eol, compression, is_sloppy, store, mails: Vec::new() };
        for number in 0..mails {
            let (fields, state) = match (store, labels) {
                (Store::ThunderbirdMaildir, _) => random.pick_flags(&MOZILLA_FLAGS),
                (Store::Maildir, _) => random.pick_flags(&NAME_FLAGS),
                (_, Some(labels)) => random.pick_flags(labels),
                // Dovecot writes X-UID, and does not quote: with lengths that is mboxcl2.
                (_, None) if variant == Variant::Mboxcl => random.pick_flags(&FLAGS[..FLAGS.len() - 1]),
                (_, None) => random.pick_flags(&FLAGS),
            };
            let is_nested = random.chance(15);
            let mut body: Vec<Vec<u8>> = Vec::new();
            if is_nested {
                body.extend(NESTED.iter().map(|line| line.as_bytes().to_vec()));
            }
            for _ in 0..random.below(5) {
                if is_nested {
                    break;
                }
                body.extend(random.pick(&PROSE).iter().map(|line| line.as_bytes().to_vec()));
                if random.chance(40) {
                    body.push(Vec::new());
                }
            }
            if !is_nested && variant == Variant::Mboxrd && store.is_mbox() && random.chance(25) {
                // Quoted lines among quoted ones, so that their depth shows the variant.
                body.extend(["> a", ">From b", "> c"].map(|line| line.as_bytes().to_vec()));
            }
            if random.chance(10) {
                body.push(b"caf\xe9 \xff".to_vec());
            }
            if random.chance(5) {
                body.push(vec![b'x'; 5000]);
            }
            mailbox.mails.push(Mail {
                number,
                folder: random.below(FOLDERS.len()),
                // Whole minutes: some spellings have no seconds.
                epoch: 1_000_000_020 + random.below(10_000_000) as i64 * 60,
                date: random.below(DATES.len()),
                fields,
                state,
                body,
                subject: random.pick(&SUBJECTS),
                content_type: if is_nested { "Content-Type: multipart/mixed; boundary=b1\n" } else { "" },
            });
        }
        mailbox
    }

    /// Returns smaller mailboxes.
    fn smaller(&self) -> Vec<Mailbox> {
        let mut all = Vec::new();
        for n in 0..self.mails.len() {
            if self.mails.len() > 1 {
                let mut without = self.clone();
                without.mails.remove(n);
                all.push(without);
            }
        }
        let mut change = |change: &dyn Fn(&mut Mailbox)| {
            let mut changed = self.clone();
            change(&mut changed);
            all.push(changed);
        };
        if self.eol != Eol::Lf {
            change(&|mailbox| mailbox.eol = Eol::Lf);
        }
        if self.compression.is_some() {
            change(&|mailbox| mailbox.compression = None);
        }
        for n in 0..self.mails.len() {
            let mail = &self.mails[n];
            if mail.body.len() > 1 {
                for line in 0..mail.body.len() {
                    change(&|mailbox| drop(mailbox.mails[n].body.remove(line)));
                }
            }
            if mail.date != 0 {
                change(&|mailbox| mailbox.mails[n].date = 0);
            }
            if mail.subject != "plain" {
                change(&|mailbox| mailbox.mails[n].subject = "plain");
            }
            if mail.folder != 0 {
                change(&|mailbox| mailbox.mails[n].folder = 0);
            }
        }
        all
    }

    fn eol(&self) -> &'static [u8] {
        match self.eol {
            Eol::Lf => b"\n",
            Eol::Crlf => b"\r\n",
            Eol::Cr => b"\r",
        }
    }

    /// Returns a text with the line ends of the mailbox.
    fn with_eol(&self, text: &str) -> Vec<u8> {
        text.replace('\n', std::str::from_utf8(self.eol()).unwrap()).into_bytes()
    }

    /// Returns the header without the empty line. `extra` are fields of the variant.
    fn header(&self, mail: &Mail, extra: &str) -> Vec<u8> {
        let date = if self.store.is_mbox() { String::new() } else { rfc822(mail.epoch) };
        self.with_eol(&format!(
            "X-Number: {}\nFrom: Ada <ada@example.org>\nMessage-ID: <{}@example.org>\n{date}{}{}Subject: {}\n{extra}",
            mail.number, mail.number, mail.fields, mail.content_type, mail.subject
        ))
    }

    fn body(&self, mail: &Mail) -> Vec<u8> {
        mail.body.iter().flat_map(|line| [line, self.eol()].concat()).collect()
    }

    /// Reports whether the writer puts a `>` before a line.
    fn quotes(&self, line: &[u8]) -> bool {
        let is_from = match self.variant {
            Variant::Mboxcl2 | Variant::Mmdf => false,
            Variant::Mboxo | Variant::Mboxcl => line.starts_with(b"From "),
            Variant::Mboxrd => line[line.iter().take_while(|&&b| b == b'>').count()..].starts_with(b"From "),
        };
        // A dated line could be a separator to a reader.
        let is_needed = line.starts_with(b">") || line.starts_with(b"From joe");
        is_from && (!self.is_sloppy || is_needed)
    }

    /// Returns the message as a Maildir should have it, and as it is in the mbox.
    fn message(&self, mail: &Mail) -> (Vec<u8>, Vec<u8>) {
        let quoted: Vec<u8> = mail
            .body
            .iter()
            .flat_map(|line| [if self.quotes(line) { &b">"[..] } else { b"" }, line, self.eol()].concat())
            .collect();
        let extra = match self.variant {
            Variant::Mboxcl | Variant::Mboxcl2 if self.store.is_mbox() => {
                format!("Content-Length: {}\n", quoted.len())
            }
            _ => String::new(),
        };
        let header = [self.header(mail, &extra), self.eol().to_vec()].concat();
        ([&header[..], &self.body(mail)].concat(), [&header[..], &quoted].concat())
    }

    fn mbox<'m>(&self, mails: impl Iterator<Item = &'m Mail>) -> Vec<u8> {
        let mut all = Vec::new();
        for mail in mails {
            let (pattern, offset) = DATES[mail.date];
            let from_line = self.with_eol(&(spell(pattern, mail.epoch + offset) + "\n"));
            let message = self.message(mail).1;
            let frame = [b"\x01\x01\x01\x01", self.eol()].concat();
            match self.variant {
                Variant::Mmdf => all.extend([&frame[..], &from_line, &message, &frame].concat()),
                _ => all.extend([&from_line[..], &message, self.eol()].concat()),
            }
        }
        all
    }

    /// Writes the mailbox and returns its path, and each mbox with the folder that it becomes.
    fn write(&self, root: &Path) -> (PathBuf, Vec<PathBuf>) {
        let source = root.join("source");
        let mut mboxes = Vec::new();
        let create = |path: &Path, bytes: &[u8]| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let dated = |path: &Path, mail: &Mail, bytes: &[u8]| {
            create(path, bytes);
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(mail.epoch as u64)).unwrap();
        };
        match self.store {
            Store::File => {
                let mbox = self.mbox(self.mails.iter());
                create(
                    &source,
                    &self.compression.map_or(mbox.clone(), |compression| compression.compress(&mbox)),
                );
                mboxes.push(source.clone());
            }
            Store::Tree | Store::Thunderbird => {
                for (n, folder) in FOLDERS.iter().enumerate() {
                    let mails: Vec<&Mail> = self.mails.iter().filter(|mail| mail.folder == n).collect();
                    if mails.is_empty() {
                        continue;
                    }
                    let path = match self.store {
                        Store::Thunderbird => source.join(folder.replace('/', ".sbd/")),
                        _ => source.join(folder),
                    };
                    create(&path, &self.mbox(mails.into_iter()));
                    if self.store == Store::Thunderbird {
                        let mut index = path.clone().into_os_string();
                        index.push(".msf");
                        create(Path::new(&index), b"// <!-- <mdb:mork:z v=\"1.4\"/> -->\n");
                    }
                    mboxes.push(path);
                }
            }
            Store::Maildir | Store::ThunderbirdMaildir => {
                for dir in ["cur", "new", "tmp"] {
                    fs::create_dir_all(source.join(dir)).unwrap();
                }
                for mail in &self.mails {
                    let name = match self.store {
                        Store::Maildir => {
                            format!("{}.M{}.host:2,{}", mail.epoch, mail.number, mail.state.flags)
                        }
                        _ => format!("number-{}@example.org.eml", mail.number),
                    };
                    dated(&source.join("cur").join(name), mail, &self.message(mail).0);
                }
            }
            Store::Mh => {
                self.mails.iter().for_each(|mail| {
                    dated(&source.join((mail.number + 1).to_string()), mail, &self.message(mail).0);
                });
            }
            Store::Eml => {
                self.mails.iter().for_each(|mail| {
                    dated(&source.join(format!("mail {}.eml", mail.number)), mail, &self.message(mail).0);
                });
            }
        }
        (source, mboxes)
    }

    /// Converts the mailbox in every way, and returns what is wrong.
    fn check(&self) -> Result<(), String> {
        let scratch = scratch();
        let (source, mboxes) = self.write(scratch.path());
        let maildir = scratch.path().join("Maildir");
        let before = tree(scratch.path());
        let mut to = OsString::from_vec(b"maildir:".to_vec());
        to.push(&maildir);
        // A Maildir has no lock.
        let lock = if self.store.is_maildir() { "--fsync=none" } else { "--lock=none" };
        let args = [lock.into(), source.clone().into(), to.clone()];
        let summary = converted(&args)?;
        ensure(count(&summary, "written") == self.mails.len() as u64, || {
            format!("{} of {} messages written", summary["written"], self.mails.len())
        })?;
        let folders = folders(&maildir);
        let found: Vec<Found> = folders.iter().flat_map(|folder| Found::all(folder)).collect();
        self.check_messages(&found)?;
        // The sources are unchanged, and the same command writes nothing.
        let unchanged = || tree(scratch.path()).into_iter().filter(|(path, _)| path.starts_with("source"));
        ensure(
            unchanged().eq(before.clone().into_iter().filter(|(path, _)| path.starts_with("source"))),
            || "the source was changed".into(),
        )?;
        let summary = converted(&args)?;
        ensure(count(&summary, "written") == 0, || format!("the second run wrote {}", summary["written"]))?;
        let again: Vec<Found> = folders.iter().flat_map(|folder| Found::all(folder)).collect();
        ensure(again == found, || "the second run changed messages".into())?;
        for folder in &folders {
            verified(&[folder.clone().into()])?;
        }
        verified(&[
            "--lock=none".into(),
            "--metadata".into(),
            "--against".into(),
            source.clone().into(),
            maildir.clone().into(),
        ])?;
        self.check_exact(scratch.path(), &folders, &mboxes)?;
        self.check_export(scratch.path(), &folders)
    }

    fn check_messages(&self, found: &[Found]) -> Result<(), String> {
        let numbers: BTreeSet<usize> = found.iter().map(|found| found.number).collect();
        let expected: BTreeSet<usize> = self.mails.iter().map(|mail| mail.number).collect();
        ensure(numbers == expected && found.len() == expected.len(), || {
            format!("there are the messages {numbers:?}, and should be {expected:?}")
        })?;
        for mail in &self.mails {
            let number = mail.number;
            let found = found.iter().find(|found| found.number == number).unwrap();
            let mut expected = self.message(mail).0;
            if self.eol == Eol::Cr {
                expected.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
            }
            ensure(found.bytes == expected, || {
                format!(
                    "message {number} is\n{}\nand should be\n{}",
                    found.bytes.escape_ascii(),
                    expected.escape_ascii()
                )
            })?;
            let keywords: Vec<&str> = found.keywords.iter().map(String::as_str).collect();
            let State { flags, keywords: wanted, old } = mail.state;
            ensure((&found.flags[..], &keywords[..], found.in_cur) == (flags, wanted, old), || {
                format!(
                    "message {number} has flags {:?} {keywords:?}, in cur: {}; it should have {flags:?} {wanted:?}, in cur: {old}",
                    found.flags, found.in_cur
                )
            })?;
            ensure(found.mtime == mail.epoch && found.epoch.is_none_or(|epoch| epoch == mail.epoch), || {
                format!(
                    "message {number} is of {:?} by its name, and {} by its mtime; it should be of {}",
                    found.epoch, found.mtime, mail.epoch
                )
            })?;
        }
        Ok(())
    }

    /// Restores each mbox byte for byte.
    fn check_exact(&self, root: &Path, folders: &[PathBuf], mboxes: &[PathBuf]) -> Result<(), String> {
        for mbox in mboxes {
            let expected = match self.store {
                Store::File => self.mbox(self.mails.iter()),
                _ => fs::read(mbox).unwrap(),
            };
            let number = Found::first_number(&expected);
            let has_it = |folder: &&PathBuf| Found::all(folder).iter().any(|found| found.number == number);
            let folder = folders.iter().find(has_it).unwrap();
            let back = root.join("exact");
            converted_quietly(&["--exact".into(), folder.into(), back.clone().into()])?;
            let got = fs::read(&back).unwrap();
            fs::remove_file(&back).unwrap();
            ensure(got == expected, || format!("--exact of {} has other bytes", mbox.display()))?;
        }
        Ok(())
    }

    /// Exports each folder, and converts it again.
    fn check_export(&self, root: &Path, folders: &[PathBuf]) -> Result<(), String> {
        for (n, folder) in folders.iter().enumerate() {
            let all = Found::all(folder);
            if all.is_empty() {
                continue;
            }
            let (back, again) = (root.join(format!("back{n}")), root.join(format!("again{n}")));
            let summary = converted(&[folder.into(), back.clone().into()])?;
            ensure(count(&summary, "written") == all.len() as u64, || "the export lacks messages".into())?;
            if self.store.is_mbox() {
                let order = Found::numbers(&fs::read(&back).unwrap());
                let mut expected: Vec<usize> = self.mails.iter().map(|mail| mail.number).collect();
                expected.retain(|number| all.iter().any(|found| found.number == *number));
                ensure(order == expected, || {
                    format!("the export has the order {order:?}, not {expected:?}")
                })?;
            }
            verified(&[
                "--lock=none".into(),
                "--metadata".into(),
                "--against".into(),
                folder.into(),
                back.clone().into(),
            ])?;
            let mut to = OsString::from("maildir:");
            to.push(&again);
            converted(&["--lock=none".into(), back.into(), to])?;
            let flags = |all: Vec<Found>| -> BTreeMap<usize, (String, Vec<String>, i64)> {
                all.into_iter()
                    .map(|found| (found.number, (found.flags, found.keywords, found.mtime)))
                    .collect()
            };
            let (got, expected) = (flags(Found::all(&again)), flags(all));
            ensure(got == expected, || format!("after the way there and back: {got:?}, not {expected:?}"))?;
        }
        Ok(())
    }
}

impl Random {
    fn pick_flags(&mut self, all: &[Flagging]) -> Flagging {
        all[self.below(all.len())].clone()
    }
}

/// A message in a Maildir.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    number: usize,
    bytes: Vec<u8>,
    flags: String,
    /// In lower case, sorted.
    keywords: Vec<String>,
    in_cur: bool,
    /// None in a name that mailferry did not give.
    epoch: Option<i64>,
    mtime: i64,
}

impl Found {
    fn all(maildir: &Path) -> Vec<Found> {
        let list = fs::read_to_string(maildir.join("dovecot-keywords")).unwrap_or_default();
        let names: BTreeMap<u8, String> = list
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(number, name)| (b'a' + number.parse::<u8>().unwrap(), name.to_ascii_lowercase()))
            .collect();
        let mut all = Vec::new();
        for subdir in ["new", "cur"] {
            for entry in fs::read_dir(maildir.join(subdir)).into_iter().flatten() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let (base, info) = name.split_once(":2,").unwrap_or((&name, ""));
                let (flags, letters): (String, String) = info.chars().partition(char::is_ascii_uppercase);
                let mut keywords: Vec<String> =
                    letters.bytes().map(|letter| names[&letter].clone()).collect();
                keywords.sort();
                let epoch = base.split_once('.').filter(|_| base.contains(".mailferry,S="));
                let modified = entry.metadata().unwrap().modified().unwrap();
                let bytes = fs::read(entry.path()).unwrap();
                all.push(Found {
                    number: Found::first_number(&bytes),
                    bytes,
                    flags,
                    keywords,
                    in_cur: subdir == "cur",
                    epoch: epoch.map(|(epoch, _)| epoch.parse().unwrap()),
                    mtime: modified.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64,
                });
            }
        }
        all.sort_by_key(|found| found.number);
        all
    }

    /// Returns the numbers of the messages of a text, in order.
    fn numbers(text: &[u8]) -> Vec<usize> {
        let lines =
            text.split(|&b| b == b'\n' || b == b'\r').filter_map(|line| line.strip_prefix(b"X-Number: "));
        lines.filter_map(|number| std::str::from_utf8(number).unwrap().trim().parse().ok()).collect()
    }

    fn first_number(text: &[u8]) -> usize {
        Found::numbers(text).first().copied().unwrap_or(usize::MAX)
    }
}

/// Returns a Maildir and its folders.
fn folders(maildir: &Path) -> Vec<PathBuf> {
    let names = names(maildir).into_iter().filter(|name| maildir.join(name).join("cur").is_dir());
    [maildir.to_owned()].into_iter().chain(names.map(|name| maildir.join(name))).collect()
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn succeeds(command: &str, args: &[OsString]) -> Result<Run, String> {
    let mut all = mailferry([command, "--json"]);
    all.args(args);
    let run = run(all);
    ensure(run.code == Some(0), || {
        let errors = run
            .text()
            .lines()
            .filter(|line| line.contains(r#""severity":"error""#))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        format!("{command} {args:?} exits with {:?}: {}{}", run.code, errors.join("\n"), run.stderr)
    })?;
    Ok(run)
}

fn converted(args: &[OsString]) -> Result<Value, String> {
    Ok(succeeds("convert", args)?.summary())
}

fn converted_quietly(args: &[OsString]) -> Result<(), String> {
    succeeds("convert", args).map(drop)
}

fn verified(args: &[OsString]) -> Result<(), String> {
    succeeds("verify", args).map(drop)
}

/// Returns the parts of a UTC time: `2005-01-03T10:00:00`, the weekday and the month.
fn spell(pattern: &str, epoch: i64) -> String {
    let date = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(epoch).unwrap());
    let part = |format: &str| date.strftime(format).to_string();
    let (weekday, month) = (date.weekday().to_monday_zero_offset() as usize, date.month() as usize - 1);
    let translated = LANGUAGES.iter().fold(pattern.to_owned(), |text, (language, weekdays, months)| {
        text.replace(language, &format!("{} {}", weekdays[weekday], months[month]))
    });
    translated
        .replace("{wday}", &part("%a"))
        .replace("{mon}", &part("%b"))
        .replace("{_d}", &part("%e"))
        .replace("{0d}", &part("%d"))
        .replace("{d}", part("%e").trim())
        .replace("{h}", &part("%H"))
        .replace("{m}", &part("%M"))
        .replace("{s}", &part("%S"))
        .replace("{y}", &part("%Y"))
        .replace("{yy}", &part("%y"))
        .replace("{month}", &part("%m"))
}

fn rfc822(epoch: i64) -> String {
    spell("Date: {wday}, {d} {mon} {y} {h}:{m}:{s} +0000\n", epoch)
}

/// Returns the smallest mailbox that fails, and why.
fn smallest(mut mailbox: Mailbox, mut why: String) -> (Mailbox, String) {
    // Each round makes it smaller.
    'smaller: for _ in 0..60 {
        for smaller in mailbox.smaller() {
            if let Err(other) = smaller.check() {
                (mailbox, why) = (smaller, other);
                continue 'smaller;
            }
        }
        break;
    }
    (mailbox, why)
}

/// Returns the files of a mailbox to print.
fn shown(mailbox: &Mailbox) -> String {
    let scratch = scratch();
    let (source, _) = mailbox.write(scratch.path());
    let files = if source.is_file() {
        vec![source]
    } else {
        paths(&source).iter().map(|path| source.join(path)).collect()
    };
    let files = files.iter().filter(|path| path.is_file());
    let show = |path: &PathBuf| {
        let text = fs::read(path).unwrap().escape_ascii().to_string().replace("\\n", "\\n\n");
        format!("--- {}\n{text}", path.strip_prefix(scratch.path()).unwrap().display())
    };
    files.map(show).collect::<Vec<_>>().join("\n")
}

/// The first seed, and how many follow. MAILFERRY_SEED repeats one.
fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = std::env::var("MAILFERRY_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return seed..seed + 1;
    }
    0..samples(20, 60, 2000)
}

#[test]
fn any_mailbox_is_converted_with_all_that_it_has() {
    let mut failures = Vec::new();
    for seed in seeds() {
        let mailbox = Mailbox::generate(seed);
        let Err(why) = mailbox.check() else { continue };
        let (mailbox, why) = smallest(mailbox, why);
        let Mailbox { store, variant, eol, compression, .. } = mailbox;
        let files = shown(&mailbox);
        failures.push(format!(
            "MAILFERRY_SEED={seed}: {why}\n{store:?}, {variant:?}, {eol:?}, {compression:?}\n{files}"
        ));
        if failures.len() == 5 {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
