//! The manifest: a record of conversions, and their proof. JSON Lines in `mailferry.manifest`, one *section* per
//! source. It is only ever appended to. mailferry-manifest(5) defines it.
//!
//! A section has a header line, a line per message, a line per gap that is not the usual separator, and a footer with
//! the byte counts and the BLAKE3 hash of its lines. Adjacent messages that were not selected share a line. A section
//! without its footer is *open*: its run was killed. The bytes after the last complete line of an open section are torn,
//! and ignored. A closed section with a wrong hash is damage, and so is a line that resembles a line of a manifest and is
//! not one.
//!
//! The section of a Maildir ([`SectionHeader::is_maildir`]) lists messages that are files there, too. They are
//! identified by name: its header has neither a size nor a hash. A later section of the same path lists only new
//! messages.

mod byte_counts;
pub(crate) mod folders;
mod format;
mod location;
mod read;
mod source_name;
mod write;

pub(crate) use byte_counts::ByteCounts;
pub(crate) use folders::{FolderList, FolderState};
pub(crate) use format::{
    Bytes, BytesRef, Digest, FolderRecord, Gap, LEAD, MessageRecord, SectionFooter, SectionHeader,
    SourceState, UnselectedRange, VERSION, to_line,
};
pub(crate) use location::{FILE_NAME, ManifestFile, ManifestLocation, ManifestLock, ManifestText};
pub(crate) use read::{DividedSection, Manifest, MessageName, Outline, Section, looks_like_manifest, parse};
pub(crate) use source_name::{is_end_of_name, source_name};
pub(crate) use write::ManifestAppender;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::mailbox::error::Result;

    fn header() -> SectionHeader {
        SectionHeader {
            section: VERSION,
            program: "mailferry test".into(),
            source: Bytes(b"in\xffbox".to_vec()),
            size: 10,
            blake3: Digest::of(b"whole"),
            lead: 10,
            lead_blake3: Digest::of(b"whole"),
            variant: "mboxrd".into(),
            evidence: "named".into(),
            separator: Bytes(b"\n".to_vec()),
            eol: "keep".into(),
            deleted: Some("skip".into()),
            ..SectionHeader::default()
        }
    }

    fn message(at: u64) -> MessageRecord {
        MessageRecord {
            at,
            len: 3,
            from: Bytes(b"From a Mon\n".to_vec()),
            name: Bytes(b"1.x.mailferry,S=3,W=4".to_vec()),
            source: Digest::of(b"abc"),
            quotes: vec![1, 2],
            stripped: vec![(1, Bytes(b"Status: \xff\n".to_vec()))],
            date: "from".into(),
            flags: "S".into(),
            keywords: vec!["Work".into()],
            folders: vec![vec![], vec!["A".into(), "Ä".into()]],
            ..MessageRecord::default()
        }
    }

    fn footer() -> SectionFooter {
        SectionFooter {
            closes: 1,
            messages: 1,
            mail: 1,
            not_selected: 0,
            bytes: ByteCounts { messages: 3, junk: 7, ..ByteCounts::default() },
            end: Digest::of(b""),
        }
    }

    /// A section without and with its footer.
    fn section() -> (Vec<u8>, Vec<u8>) {
        let open = [to_line(&header()), to_line(&Gap::new("junk", 0, b"\0x")), to_line(&message(7))].concat();
        let closed = [&open[..], &to_line(&footer().seal(blake3::Hasher::new().update(&open)))].concat();
        (open, closed)
    }

    fn sections(text: &[u8]) -> Result<Vec<Section>> {
        parse(text, Path::new("m"))?.sections.iter().map(Outline::read).collect()
    }

    #[test]
    fn written_sections_are_read_back() {
        let (open, closed) = section();
        let hash = parse(&closed, Path::new("m")).unwrap().hash;
        let second = SectionHeader { previous: hash, ..header() };
        let text = [&closed, &to_line(&second), &open[to_line(&header()).len()..]].concat();
        let got = sections(&text).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!((&got[0].header, &got[1].header), (&header(), &second));
        assert_eq!(got[0].messages, [message(7)]);
        assert_eq!(got[0].gaps[0].bytes().unwrap(), b"\0x");
        assert!(got[0].footer.is_some() && got[1].footer.is_none());
        assert_eq!(got[1].messages, [message(7)]);
    }

    #[test]
    fn a_torn_end_is_passed_over_and_a_changed_line_refused() {
        let (_, closed) = section();
        for cut in 0..closed.len() {
            let got = sections(&closed[..cut]).unwrap();
            assert!(got.iter().all(|s| s.footer.is_none()), "cut at {cut}");
        }
        for at in 0..closed.len() - 1 {
            let mut changed = closed.clone();
            changed[at] ^= 1;
            assert!(sections(&changed).is_err(), "a flip at byte {at} was not noticed");
        }
    }
}
