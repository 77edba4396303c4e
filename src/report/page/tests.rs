use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::samples;
use super::style::{POLICY, STYLE};
use super::{accounts_page, run_page};

#[test]
fn the_policy_has_the_hash_of_the_style() {
    let hash = format!("'sha256-{}'", BASE64.encode(&Sha256::digest(STYLE)));
    assert!(POLICY.contains(&hash), "style.rs must have {hash}");
}

#[test]
fn a_page_has_each_section_once() {
    for page in [run_page(&samples::run("")), accounts_page(&samples::accounts(""))] {
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"));
        assert!(page.ends_with("</footer></body></html>"));
        for link in page.split("href=\"#").skip(1) {
            let id = link.split('"').next().unwrap();
            assert_eq!(page.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
        }
    }
}
