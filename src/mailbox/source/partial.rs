//! A `.partial.emlx` of Apple Mail, put together again: the attachments that it lacks are in files of their own.
//!
//! What is mapped is the complete `.emlx`, as if Apple Mail had kept the message in one piece.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use unicode_normalization::UnicodeNormalization;

use super::SpoolOptions;
use super::contents::Contents;
use super::mapped::{self, MappedFile};
use super::spool::Spool;
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::message::emlx::{self, MissingPart, PartEncoding};
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Error, Finding, Result, display_path, escape};

const SUFFIX: &[u8] = b".partial.emlx";
/// The characters of a base64 line, as mail programs write them. Apple Mail and most others write 76.
const WIDTHS: [usize; 4] = [76, 72, 64, 60];

/// A message that was put together.
pub(super) struct Assembled {
    /// The complete file; None if no part could be restored.
    pub(super) map: Option<MappedFile>,
    /// Parts that are missing, and parts that are not the bytes that were received.
    pub(super) findings: Vec<Finding>,
}

/// A part whose file was found.
struct Restored<'a> {
    part: &'a MissingPart,
    path: PathBuf,
    contents: Contents,
    form: Form,
}

/// How the file of a part becomes its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With this many characters per line.
    Base64(usize),
    QuotedPrintable,
    /// It is the body already.
    AsItIs,
}

/// Returns the number of a message in the name of its file, if parts of it are elsewhere.
fn message_number(path: &Path) -> Option<&OsStr> {
    let name = path.file_name()?.as_bytes();
    name.strip_suffix(SUFFIX).filter(|number| !number.is_empty()).map(OsStr::from_bytes)
}

/// Returns the directories in which the parts of a message may be, if the name of its file says that they are elsewhere.
pub(crate) fn part_directories(path: &Path) -> Vec<PathBuf> {
    let Some(number) = message_number(path) else { return Vec::new() };
    // The parent of a relative path may have no name.
    let real = files::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let place = PartFiles { directory: parent_of(&real), number };
    vec![place.attachments(), place.directory.to_owned()]
}

/// Puts a message together, if the name of its file says that parts of it are elsewhere.
pub(super) fn assemble(path: &Path, text: &[u8], spooling: &SpoolOptions<'_>) -> Result<Option<Assembled>> {
    let Some(number) = message_number(path) else { return Ok(None) };
    let Some(emlx) = emlx::parse(text) else { return Ok(None) };
    let message = &text[emlx.message.clone()];
    let parts = emlx::missing_parts(message);
    if parts.is_empty() {
        return Ok(None);
    }
    // The parent of a relative path may have no name.
    let real = files::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let place = PartFiles { directory: parent_of(&real), number };
    let (mut restored, mut findings) = (Vec::new(), Vec::new());
    for part in &parts {
        match place.load(part)? {
            Some(loaded) => {
                findings.extend(loaded.inexact().map(|reason| {
                    let message = format!(
                        "{}: {reason}; it is not byte for byte the part that was received",
                        part.title()
                    );
                    Finding::new(Code::EmlxPartEncoded, message)
                }));
                restored.push(loaded);
            }
            None => {
                let message = format!("{} is missing: the message is not complete", part.title());
                let hint = "open the message in Apple Mail, which loads it from the server, and run the command again";
                findings.push(Finding::new(Code::EmlxPartMissing, message).with_hint(hint));
            }
        }
    }
    if restored.is_empty() {
        return Ok(Some(Assembled { map: None, findings }));
    }
    let length = message.len() as u64 + restored.iter().map(|part| part.body_length()).sum::<u64>()
        - restored.iter().map(|part| part.part.field.len() as u64).sum::<u64>();
    let mut spool = Spool::new(spooling, 0)?;
    spool.write(format!("{length:<10}\n").as_bytes())?;
    let mut at = 0;
    for part in &restored {
        // The field stands for the body, and is not what was received.
        spool.write(&message[at..part.part.field.start])?;
        spool.write(&message[part.part.field.end..part.part.body])?;
        part.for_each(&mut |bytes| spool.write(bytes))?;
        part.contents.check_complete(&part.path)?;
        at = part.part.body;
    }
    spool.write(&message[at..])?;
    spool.write(&text[emlx.message.end..])?;
    Ok(Some(Assembled { map: spool.map()?, findings }))
}

/// Where the parts of a message are.
struct PartFiles<'a> {
    /// The directory of the message.
    directory: &'a Path,
    number: &'a OsStr,
}

impl PartFiles<'_> {
    /// Returns the directory with a directory for each part.
    fn attachments(&self) -> PathBuf {
        parent_of(self.directory).join("Attachments").join(self.number)
    }

    /// Loads the file of a part; None if there is none.
    fn load<'p>(&self, part: &'p MissingPart) -> Result<Option<Restored<'p>>> {
        let beside = self.attachments().join(&part.number);
        if let Some(path) = find_attachment(&beside, part) {
            let contents = load(&path)?;
            let form = match part.encoding {
                PartEncoding::Base64 => Form::Base64(line_width(contents.len() as u64, part.length)),
                PartEncoding::QuotedPrintable => Form::QuotedPrintable,
                PartEncoding::Identity => Form::AsItIs,
            };
            return Ok(Some(Restored { part, path, contents, form }));
        }
        // Older versions keep the encoded part beside the message.
        let mut name = self.number.to_owned();
        name.push(format!(".{}.emlxpart", part.number));
        let path = self.directory.join(name);
        match files::is_file(&path) {
            true => Ok(Some(Restored { part, contents: load(&path)?, path, form: Form::AsItIs })),
            false => Ok(None),
        }
    }
}

/// Finds the file of a part in its directory. It may have a name in the language of the user.
fn find_attachment(directory: &Path, part: &MissingPart) -> Option<PathBuf> {
    let entries = Dir::open(directory).ok()?.entries().ok()?;
    let is_file = |(name, kind): &(std::ffi::OsString, FileType)| {
        *kind == FileType::RegularFile && !name.as_bytes().starts_with(b".")
    };
    let mut names: Vec<_> = entries.into_iter().filter(is_file).map(|(name, _)| name).collect();
    names.sort();
    // macOS decomposes accents in names.
    let same = |name: &std::ffi::OsString| {
        let wanted = part.name.as_ref().map(|name| name.nfc().collect::<String>());
        name.to_str().map(|name| name.nfc().collect::<String>()) == wanted
    };
    let found = match &names[..] {
        [only] => Some(only),
        several => several.iter().find(|name| same(name)),
    };
    found.map(|name| directory.join(name))
}

fn load(path: &Path) -> Result<Contents> {
    let file = files::open(path).map_err(Error::io("open", path))?;
    let size = file.metadata().map_err(Error::io("look up", path))?.len();
    let mut contents = Contents::default();
    contents.load(&file, size, path)?;
    Ok(contents)
}

/// Returns the length of a base64 text without a final newline.
fn base64_length(bytes: u64, width: usize) -> u64 {
    let characters = bytes.div_ceil(3) * 4;
    characters + characters.div_ceil(width as u64).saturating_sub(1)
}

/// Returns the width of the lines that give the length, or that of most programs.
fn line_width(bytes: u64, length: Option<u64>) -> usize {
    let gives = |width: &usize| length == Some(base64_length(bytes, *width));
    WIDTHS.into_iter().find(gives).unwrap_or(WIDTHS[0])
}

impl MissingPart {
    /// Returns its number and name for a message.
    fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("part {} ({})", self.number, escape(name.as_bytes())),
            None => format!("part {}", self.number),
        }
    }
}

impl Restored<'_> {
    /// Returns the reason that the body may not be the one that was received.
    fn inexact(&self) -> Option<String> {
        let length = match self.form {
            Form::QuotedPrintable => return Some("its quoted-printable was encoded anew".into()),
            Form::Base64(width) => base64_length(self.contents.len() as u64, width),
            Form::AsItIs => self.contents.len() as u64,
        };
        match self.part.length {
            Some(counted) if counted == length => None,
            // The file may have the newline that ends the part.
            Some(counted)
                if self.form == Form::AsItIs && self.contents.ends_with(b"\n") && counted + 1 == length =>
            {
                None
            }
            Some(counted) => {
                let path = display_path(&self.path);
                Some(format!(
                    "{path} gives {}, and the header counts {counted}",
                    grouped_plural(length, "byte")
                ))
            }
            None => Some("its length in the header is not a number".into()),
        }
    }

    fn body_length(&self) -> u64 {
        let mut length = 0;
        match self.form {
            Form::Base64(width) => length = base64_length(self.contents.len() as u64, width) + 1,
            Form::AsItIs => length = self.contents.len() as u64,
            Form::QuotedPrintable => {
                let counted: Result<()> = self.for_each(&mut |bytes| {
                    length += bytes.len() as u64;
                    Ok(())
                });
                counted.unwrap_or_else(|_| unreachable!("counting does not fail"));
            }
        }
        length
    }

    /// Passes on the body.
    fn for_each(&self, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.form {
            Form::AsItIs => mapped::windows(&self.contents).try_for_each(put),
            Form::Base64(width) => {
                let mut out = String::new();
                // A whole number of lines at a time.
                let lines = 1024;
                for chunk in self.contents.chunks(width / 4 * 3 * lines) {
                    out.clear();
                    for line in chunk.chunks(width / 4 * 3) {
                        data_encoding::BASE64.encode_append(line, &mut out);
                        out.push('\n');
                    }
                    put(out.as_bytes())?;
                }
                if self.contents.is_empty() { put(b"\n") } else { Ok(()) }
            }
            Form::QuotedPrintable => {
                let mut out = Vec::new();
                for line in self.contents.split_inclusive(|&b| b == b'\n') {
                    out.clear();
                    encode_quoted_printable(line, &mut out);
                    put(&out)?;
                }
                Ok(())
            }
        }
    }
}

/// Encodes one line (RFC 2045 §6.7).
fn encode_quoted_printable(line: &[u8], out: &mut Vec<u8>) {
    const MOST: usize = 75;
    let (text, end) = match line {
        [text @ .., b'\r', b'\n'] => (text, &b"\r\n"[..]),
        [text @ .., b'\n'] => (text, &b"\n"[..]),
        text => (text, &b""[..]),
    };
    let mut column = 0;
    for (n, &b) in text.iter().enumerate() {
        let is_last = n + 1 == text.len();
        let is_plain = matches!(b, b'!'..=b'<' | b'>'..=b'~') || matches!(b, b' ' | b'\t') && !is_last;
        let width = if is_plain { 1 } else { 3 };
        if column + width > MOST {
            out.extend_from_slice(b"=\n");
            column = 0;
        }
        match is_plain {
            true => out.push(b),
            false => out.extend_from_slice(format!("={b:02X}").as_bytes()),
        }
        column += width;
    }
    out.extend_from_slice(end);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::Cancel;

    fn read(path: &Path) -> (Vec<u8>, Vec<&'static str>) {
        let temp = tempfile::tempdir().unwrap();
        let spooling =
            SpoolOptions { dir: temp.path(), limit: None, cancel: Cancel::never(), progress: &|_| () };
        let text = std::fs::read(path).unwrap();
        let assembled = assemble(path, &text, &spooling).unwrap().unwrap();
        let codes = assembled.findings.iter().map(|finding| finding.code.name()).collect();
        (assembled.map.map_or(text, |map| map.to_vec()), codes)
    }

    /// Writes a message with one part that is elsewhere, and returns its path.
    fn partial(directory: &Path, encoding: &str, length: usize) -> PathBuf {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: {encoding}\nContent-Type: a/b; \
             name=a.bin\nX-Apple-Content-Length: {length}\n\n\n--x--\n"
        );
        let path = directory.join("Messages/7.partial.emlx");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{}\n{message}<plist><dict></dict></plist>", message.len())).unwrap();
        path
    }

    /// Returns the whole file with this body.
    fn whole(encoding: &str, body: &str) -> Vec<u8> {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: {encoding}\nContent-Type: a/b; \
             name=a.bin\n\n{body}\n--x--\n"
        );
        format!("{:<10}\n{message}<plist><dict></dict></plist>", message.len()).into_bytes()
    }

    #[test]
    fn a_part_is_put_back_as_it_was_encoded() {
        let bytes: Vec<u8> = (0..200_u8).collect();
        let lines = |width: usize| -> String {
            let text = data_encoding::BASE64.encode(&bytes);
            text.as_bytes()
                .chunks(width)
                .map(|line| std::str::from_utf8(line).unwrap().to_owned() + "\n")
                .collect()
        };
        for (encoding, content, body, length, codes) in [
            ("base64", &bytes[..], lines(76), lines(76).len() - 1, &[][..]),
            ("BASE64", &bytes, lines(64), lines(64).len() - 1, &[]),
            ("base64", &bytes, lines(76), 5, &["emlx-part-encoded"]),
            ("7bit", b"plain text", "plain text".into(), 10, &[]),
            ("7bit", b"plain text", "plain text".into(), 11, &["emlx-part-encoded"]),
            (
                "quoted-printable",
                "caf\u{e9} \n".as_bytes(),
                "caf=C3=A9=20\n".into(),
                13,
                &["emlx-part-encoded"],
            ),
        ] {
            let temp = tempfile::tempdir().unwrap();
            let path = partial(temp.path(), encoding, length);
            assert_eq!(read(&path), (std::fs::read(&path).unwrap(), vec!["emlx-part-missing"]));
            let part = temp.path().join("Attachments/7/1");
            std::fs::create_dir_all(&part).unwrap();
            std::fs::write(part.join("Mail-Anhang.bin"), content).unwrap();
            assert_eq!(read(&path), (whole(encoding, &body), codes.to_vec()), "{encoding}");
            // Of several files, the header names one.
            std::fs::write(part.join("other"), "x").unwrap();
            assert_eq!(read(&path).1, ["emlx-part-missing"]);
            std::fs::rename(part.join("Mail-Anhang.bin"), part.join("a.bin")).unwrap();
            assert_eq!(read(&path).0, whole(encoding, &body));
        }
    }

    #[test]
    fn an_encoded_part_beside_the_message_is_put_back_unchanged() {
        let temp = tempfile::tempdir().unwrap();
        let path = partial(temp.path(), "base64", 8);
        std::fs::write(path.with_file_name("7.1.emlxpart"), "AAAA\nAA=\n").unwrap();
        assert_eq!(read(&path), (whole("base64", "AAAA\nAA=\n"), vec![]));
    }

    proptest! {
        #[test]
        fn quoted_printable_decodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            bytes.split_inclusive(|&b| b == b'\n').for_each(|line| encode_quoted_printable(line, &mut out));
            prop_assert!(out.split(|&b| b == b'\n').all(|line| line.len() <= 77));
            let (mut decoded, mut rest) = (Vec::new(), &out[..]);
            while let Some((&b, after)) = rest.split_first() {
                match (b, after) {
                    (b'=', [b'\n', more @ ..]) => rest = more,
                    (b'=', [high, low, more @ ..]) => {
                        let digits = [*high, *low];
                        decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                        rest = more;
                    }
                    _ => { decoded.push(b); rest = after; }
                }
            }
            prop_assert_eq!(decoded, bytes);
        }
    }
}
