//! Reports for tests: with a text of the test's choice in each field that has data of others.

use super::*;

/// Returns a report of a conversion with every section.
pub(super) fn run(text: &str) -> RunReport {
    let path = |name: &str| format!("/home/ada/{text}{name}");
    let folder = |name: &str, written, skipped| FolderRow {
        folder: format!("{name}{text}"),
        found: written + skipped + 600,
        written,
        already_present: 300,
        duplicates: 200,
        skipped,
        not_selected: 100,
    };
    let years = (1998..=2026).filter(|year| *year != 2003).map(|year: i16| {
        let messages = (u64::try_from(year).unwrap() * 7919) % 2100;
        YearRow { year: Some(year), messages, bytes: messages * 5120 }
    });
    let example = |n: u64| FindingExample {
        path: Some(path("inbox.mbox")),
        offset: Some(n * 60_103),
        line: Some(n * 1301),
        message: format!("no blank line before this From_ line; it has a date and a header follows {text}"),
    };
    let finding = |code: &str, severity: &str, count, remedy: Option<&str>| FindingRow {
        code: code.to_owned(),
        severity: severity.to_owned(),
        count,
        remedy: remedy.map(|remedy| format!("{remedy}{text}")),
        examples: (1..=count.min(6)).map(example).collect(),
    };
    RunReport {
        command: "convert".to_owned(),
        version: "0.2.0".to_owned(),
        host: format!("mail.example.net{text}"),
        command_line: ["mailferry", "convert", "--report", "report.html", "inbox.mbox", text, "Maildir"]
            .map(str::to_owned)
            .to_vec(),
        start: "2026-11-30T16:39:02Z".to_owned(),
        end: "2026-11-30T16:39:21Z".to_owned(),
        seconds: 19.3,
        exit: 1,
        verdict: format!("41,231 messages found, 39,031 written; 31 of them are skipped{text}."),
        destination: Some(path("Maildir")),
        sources: vec![
            SourceRow {
                path: path("inbox.mbox"),
                format: "mboxrd".to_owned(),
                bytes: 200_033_902,
                messages: 39_031,
                blake3: Some("4f1c0d8b9a7e6d5c4b3a29180716f5e4d3c2b1a0998877665544332211ffeedd".to_owned()),
            },
            SourceRow {
                path: path("Sent"),
                format: "Maildir".to_owned(),
                bytes: 9_412_311,
                messages: 2200,
                blake3: None,
            },
        ],
        bytes: ByteRow {
            source: 209_446_213,
            messages: 207_012_004,
            from_lines: 1_991_310,
            quoting: 12_020,
            separators: 41_230,
            junk: 389_649,
            not_reached: 0,
        },
        folders: vec![
            folder("INBOX", 30_000, 31),
            folder("Archive/2019", 8000, 0),
            folder("Entwürfe", 1031, 0),
        ],
        years: years.chain([YearRow { year: None, messages: 17, bytes: 90_112 }]).collect(),
        date_origins: [("from", 38_000), ("received", 3000), ("date", 220), ("none", 11)]
            .map(|(name, messages)| CountRow { name: name.to_owned(), messages })
            .to_vec(),
        boundaries: vec![
            BoundaryRow {
                row: 1,
                rule: "a separator of the variant, after a blank line".to_owned(),
                separators: 38_990,
                not_separators: 0,
            },
            BoundaryRow {
                row: 7,
                rule: "no date, and no header follows".to_owned(),
                separators: 0,
                not_separators: 412,
            },
        ],
        doubtful: vec![DoubtfulLine {
            path: path("inbox.mbox"),
            offset: 10_201,
            row: 9,
            is_separator: false,
            before: vec!["Best regards,".to_owned(), format!("Ada{text}")],
            line: format!("From there we went to the sea{text} Thu Nov 12 2009"),
            after: vec!["Subject: not a header".to_owned(), String::new()],
        }],
        doubtful_left_out: 12_345,
        findings: vec![
            finding("mbox-junk", "error", 1, Some("look at the line that is reported")),
            finding(
                "mbox-no-blank-line",
                "warning",
                12_350,
                Some("check the boundary with inspect --boundaries"),
            ),
            finding("mbox-variant", "info", 1, None),
        ],
        sizes: [
            (1024, 220),
            (4096, 16_000),
            (16_384, 20_100),
            (65_536, 4000),
            (1_048_576, 880),
            (u64::MAX, 31),
        ]
        .map(|(below, messages)| SizeRow { below, messages, bytes: messages * below.min(3_000_000) / 2 })
        .to_vec(),
        largest: (0..10)
            .map(|n| LargeMessage {
                path: path("inbox.mbox"),
                offset: Some(n * 9_000_001),
                bytes: 31_000_000 - n * 2_000_000,
                received: (n != 3).then_some(1_258_000_000),
                from: format!("Grace Hopper <grace@example.net>{text}"),
                subject: format!("Photos of the compiler, part {n}{text}"),
            })
            .collect(),
        manifests: vec![ManifestRow {
            path: path("Maildir/mailferry.manifest"),
            blake3: "99887766554433224f1c0d8b9a7e6d5c4b3a29180716f5e4d3c2b1a011ffeedd".to_owned(),
        }],
        proof: Some(format!("mailferry verify {}", path("Maildir"))),
        redacted: false,
    }
}

/// Returns a report of accounts with every section.
pub(super) fn accounts(text: &str) -> AccountsReport {
    let row = |n: u64, outcome: &str| AccountRow {
        user: format!("user{n:04}{text}"),
        outcome: outcome.to_owned(),
        exit: (outcome != "missing").then_some(3),
        retry: n.is_multiple_of(2),
        messages: 200_000 / n,
        bytes: 40_000_000_000 / n,
        seconds: 4000.0 / n as f64,
        reason: Some(format!("/var/mail/user{n:04}: locked by another program; try again later{text}")),
    };
    let host = |name: &str, accounts| HostRow {
        host: format!("{name}{text}"),
        accounts,
        bytes: accounts * 48_000_000,
        seconds: accounts as f64 * 2.0,
    };
    AccountsReport {
        accounts: 2000,
        done: 1880,
        flawed: 20,
        failed: 80,
        failed_for_now: 60,
        interrupted: 4,
        missing: 15,
        unreadable: 1,
        not_listed: 3,
        messages_found: 9_000_100,
        in_place: 9_000_000,
        duplicates: 60,
        skipped: 40,
        not_selected: 0,
        bytes: run("").bytes,
        warnings: 12_350,
        errors: 41,
        start: Some("2026-11-30T22:00:00Z".to_owned()),
        end: Some("2026-12-01T04:12:40Z".to_owned()),
        seconds: 22_360.0,
        account_seconds: 88_000.0,
        bytes_per_second: Some(4_200_000.0),
        bytes_left: Some(8_000_000_000),
        sizes_unknown: 2,
        seconds_left: Some(1904.0),
        hosts: vec![host("node1", 1000), host("node2", 999)],
        not_done: (1..=120).map(|n| row(n, if n % 8 == 0 { "missing" } else { "failed" })).collect(),
        slowest: (1..=10).map(|n| row(n, "done")).collect(),
        largest: (1..=10).map(|n| row(n, "flawed")).collect(),
        findings: run(text)
            .findings
            .into_iter()
            .map(|row| FindingRow { examples: Vec::new(), ..row })
            .collect(),
        exit: 1,
        verdict: format!("1,880 of 2,000 accounts are done{text}."),
        redacted: false,
    }
}
