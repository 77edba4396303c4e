use std::collections::BTreeMap;

use data_encoding::BASE64;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::style::{POLICY, STYLE};
use super::text::is_hidden;
use super::{accounts_page, run_page};
use crate::report::samples;
use crate::report::{AccountRow, FolderRow, RunReport};

fn pages(text: &str) -> [String; 2] {
    [run_page(&samples::run(text)), accounts_page(&samples::accounts(text))]
}

/// Returns the tags of a page, with their attributes.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|tag| &tag[..tag.find('>').expect("an end of the tag")]).collect()
}

#[test]
fn the_policy_has_the_hash_of_the_style() {
    let hash = format!("'sha256-{}'", BASE64.encode(&Sha256::digest(STYLE)));
    assert!(POLICY.contains(&hash), "style.rs must have {hash}");
    for page in pages("") {
        assert_eq!(page.matches(&format!("<style>{STYLE}</style>")).count(), 1);
    }
}

#[test]
fn a_page_has_each_section_once() {
    for page in pages("") {
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"));
        assert!(page.ends_with("</footer></body></html>"));
        let links: Vec<&str> =
            page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() >= 9, "{links:?}");
        for id in links {
            assert_eq!(page.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
        }
    }
}

#[test]
fn every_tag_is_closed_and_every_id_is_unique() {
    for page in pages("<") {
        let (mut open, mut ids) = (Vec::new(), BTreeMap::new());
        for tag in tags(&page) {
            let name = tag.split(' ').next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if ["!DOCTYPE", "meta"].contains(&name) => {}
                None => open.push(name),
            }
            if let Some(id) = tag.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                *ids.entry(id).or_insert(0) += 1;
            }
        }
        assert_eq!(open, [""; 0]);
        assert!(ids.len() > 10 && ids.values().all(|count| *count == 1), "{ids:?}");
        // An id that a chart names as its text alternative is there.
        for names in page.split("aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(names.split(' ').all(|id| ids.contains_key(id)), "{names}");
        }
    }
}

#[test]
fn a_page_needs_nothing_that_its_policy_forbids() {
    for page in pages("") {
        for tag in tags(&page) {
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            assert!(
                !["script", "link", "img", "iframe", "object", "form", "base", "use", "image"]
                    .contains(&name),
                "{tag}"
            );
            for attribute in [" style=", " src=", " on", " xlink:href=", " srcdoc="] {
                assert!(!format!(" {attributes}").contains(attribute), "{tag}");
            }
            assert!(!attributes.contains("href=") || attributes.starts_with("href=\"#"), "{tag}");
        }
        assert!(!page.contains("://") && !STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}

/// Characters that could end a text, an attribute or a name, or change how a line looks.
const SPECIAL: [char; 16] = [
    '<', '>', '&', '"', '\'', '/', '-', '!', '\0', '\n', '\u{1b}', '\u{85}', '\u{202e}', '\u{2066}',
    '\u{5d0}', '\u{200f}',
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_of_others_changes_the_page(
        text in prop::collection::vec(prop_oneof![prop::sample::select(&SPECIAL[..]), any::<char>()], 1..40),
    ) {
        let text: String = text.into_iter().collect();
        // Characters that are not visible are in spans.
        let others = |page: &str| -> Vec<String> {
            tags(page).into_iter().filter(|tag| !tag.contains("span")).map(str::to_owned).collect()
        };
        for (page, plain) in pages(&text).iter().zip(pages("x")) {
            prop_assert_eq!(others(page), others(&plain));
            prop_assert!(page.chars().all(|c| c == '\n' || !is_hidden(c)));
        }
    }
}

#[test]
fn each_name_is_isolated_from_what_is_around_it() {
    let text = "\u{5d0}mark";
    for page in pages(text) {
        let all = page.matches(text).count();
        let isolated: usize = page
            .split("<bdi>")
            .skip(1)
            .map(|rest| rest.split("</bdi>").next().unwrap().matches(text).count())
            .sum();
        assert!(all > 20 && isolated == all, "{isolated} of {all}");
    }
}

/// Returns the rows of numbers of each table with a foot, the foot last.
fn tables_with_a_foot(page: &str) -> Vec<Vec<Vec<u64>>> {
    let cells = |row: &str| -> Vec<u64> {
        let cells = row.split("<td class=\"number\">").skip(1).filter_map(|cell| cell.split('<').next());
        cells.filter_map(|cell| cell.replace(',', "").parse().ok()).collect()
    };
    page.split("<table>")
        .skip(1)
        .map(|table| table.split("</table>").next().unwrap())
        .filter(|table| table.contains("<tfoot>"))
        .map(|table| table.split("<tr>").map(cells).filter(|row| !row.is_empty()).collect())
        .collect()
}

#[test]
fn the_last_row_of_a_table_is_the_sum_of_the_others() {
    let tables: Vec<_> = pages("").iter().flat_map(|page| tables_with_a_foot(page)).collect();
    assert_eq!(tables.len(), 7);
    for mut rows in tables {
        let foot = rows.pop().unwrap();
        assert!(!foot.is_empty() && rows.len() > 2);
        for (column, total) in foot.into_iter().enumerate() {
            assert_eq!(rows.iter().map(|row| row[column]).sum::<u64>(), total, "{rows:?}");
        }
    }
}

#[test]
fn bytes_that_do_not_add_up_are_reported() {
    let mut report = samples::run("");
    let alarm = "The parts add up to 209,446,213 bytes, but the sources have 209,446,214 bytes.";
    assert!(run_page(&report).contains("The parts add up to their size: 209,446,213 bytes."));
    assert!(!run_page(&report).contains(alarm));
    report.bytes.source += 1;
    assert!(run_page(&report).contains(alarm));
}

#[test]
fn what_is_left_out_is_counted() {
    let mut report = samples::run("");
    report.folders = (0..100_000)
        .map(|n| FolderRow { folder: format!("f{n}"), found: 2, written: 2, ..FolderRow::default() })
        .collect();
    report.sources = vec![report.sources[0].clone(); 50_000];
    report.doubtful = vec![report.doubtful[0].clone(); 20_000];
    let example = report.findings[1].examples[0].clone();
    report.findings[1].examples = vec![example; 400_000];
    report.findings[1].count = 400_000;
    let long = "x".repeat(40_000_000);
    report.findings[0].examples[0].message = long;
    let page = run_page(&report);
    assert!(page.len() < 300_000, "{}", page.len());
    for notice in [
        "…, and 99,800 more; --report FILE.json lists all.",
        "…, and 49,800 more; --report FILE.json lists all.",
        "…, and 32,295 more; mailferry inspect --boundaries lists all.",
        "…, and 399,995 more; mailferry convert --json lists all.",
        "… (39,999,600 more characters)",
        ">All 100,000 folders</th><td class=\"number\">200,000</td>",
    ] {
        assert!(page.contains(notice), "{notice}");
    }
    let mut report = samples::accounts("");
    report.not_done = vec![AccountRow { user: "ada".to_owned(), ..AccountRow::default() }; 100_000];
    let page = accounts_page(&report);
    assert!(page.len() < 300_000, "{}", page.len());
    assert!(page.contains("…, and 99,500 more; mailferry report --json lists all."));
}

#[test]
fn a_report_without_anything_is_a_page() {
    let page = run_page(&RunReport::default());
    assert!(page.contains("There are no findings."));
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn the_verdict_comes_with_the_exit_code_in_words() {
    for (exit, words) in [
        (
            0,
            "<div class=\"verdict good\"><p><strong><bdi>All there.</bdi></strong></p><p>Exit code 0: done; nothing is lost, nothing is damaged.</p>",
        ),
        (
            4,
            "<div class=\"verdict bad\"><p><strong><bdi>All there.</bdi></strong></p><p>Exit code 4: interrupted; the same command continues.</p>",
        ),
    ] {
        let page = run_page(&RunReport { exit, verdict: "All there.".to_owned(), ..RunReport::default() });
        assert!(page.contains(words), "{page}");
    }
}

#[test]
fn a_redacted_report_has_nothing_of_its_users() {
    let secret = "Zq9";
    let mut report = samples::run(secret);
    let numbers = (report.bytes, report.years.clone(), report.sizes.clone());
    report.redact();
    let json = serde_json::to_string(&report).unwrap();
    for word in [
        secret,
        "ada",
        "Ada",
        "Grace",
        "example.net",
        "Entwürfe",
        "Archive",
        "inbox",
        "compiler",
        "sea",
        "report.html",
    ] {
        assert!(!json.contains(word) && !run_page(&report).contains(word), "{word}: {json}");
    }
    assert_eq!(numbers, (report.bytes, report.years.clone(), report.sizes.clone()));
    assert_eq!(report.sources[0].path, "source 1");
    assert_eq!(report.largest[0].path, "source 1");
    assert_eq!(report.findings[1].examples[1].path.as_deref(), Some("source 1"));
    assert_eq!(report.findings[1].examples[1].offset, Some(120_206));
    assert_eq!(report.sources[0].blake3, samples::run("").sources[0].blake3);
    assert!(
        run_page(&report)
            .contains("Names, addresses, subjects and lines of mail are left out of this report.")
    );
}

#[test]
fn time_is_left_only_while_accounts_are_missing() {
    let mut report = samples::accounts("");
    assert!(accounts_page(&report).contains("<dt>Time left</dt><dd>about 32 min</dd>"));
    report.missing = 0;
    let page = accounts_page(&report);
    assert!(!page.contains("Time left") && !page.contains("missing accounts"));
}

/// Returns the relative luminance of a colour, as WCAG 2 defines it.
fn luminance(colour: &str) -> f64 {
    let value = u32::from_str_radix(colour.trim_start_matches('#'), 16).expect("a colour of six digits");
    let channel = |shift: u32| {
        let part = f64::from(value >> shift & 255) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
}

/// Returns the colours that a rule sets.
fn colours(rule: &str) -> BTreeMap<&str, &str> {
    let body = rule.split('}').next().unwrap();
    let lines = body.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": "));
    lines.map(|(name, value)| (name, value.trim_end_matches(';'))).collect()
}

#[test]
fn every_colour_has_enough_contrast_in_both_themes() {
    let mut rules = STYLE.split(":root {").skip(1).map(colours).filter(|colours| !colours.is_empty());
    let (light, dark) = (rules.next().unwrap(), rules.next().unwrap());
    assert!(rules.next().is_none());
    assert!(light.len() == 15 && light.keys().eq(dark.keys()));
    for theme in [light, dark] {
        // The rules between rows are decoration.
        for (name, colour) in theme.iter().filter(|(name, _)| !["page", "panel", "rule"].contains(name)) {
            for ground in ["page", "panel"] {
                let [a, b] = [luminance(colour), luminance(theme[ground])];
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{name} {colour} on {ground} {}: {contrast:.2}", theme[ground]);
            }
        }
    }
}

#[test]
fn the_style_names_no_colour_but_the_variables() {
    let rules = STYLE.lines().filter(|line| !line.trim().starts_with("--"));
    assert!(rules.clone().all(|line| !line.contains('#') && !line.contains("rgb")), "{STYLE}");
    // Every class of a page is in the style.
    for page in pages("\0") {
        let classes = page.split(" class=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for class in classes.flat_map(|classes| classes.split(' ')) {
            assert!(STYLE.contains(&format!(".{class}")), "{class}");
        }
    }
}
