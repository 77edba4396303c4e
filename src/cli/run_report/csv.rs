//! The folders of a report as comma-separated values (RFC 4180).

use crate::report::FolderRow;

/// Returns a line with the names of the columns, and a line for each folder.
pub(super) fn write(folders: &[FolderRow]) -> String {
    let mut out = "folder,found,written,already_present,duplicates,skipped,not_selected\r\n".to_owned();
    for row in folders {
        let FolderRow { folder, found, written, already_present, duplicates, skipped, not_selected } = row;
        let folder = field(folder);
        out.push_str(&format!(
            "{folder},{found},{written},{already_present},{duplicates},{skipped},{not_selected}\r\n"
        ));
    }
    out
}

/// Quotes text where needed. A spreadsheet would take some beginnings for a formula, and a stranger may have named the
/// folder: an apostrophe before them makes it text.
fn field(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_field_and_no_formula() {
        for (name, expected) in [
            ("Sent Items", "Sent Items"),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("-1,2", "\"'-1,2\""),
            ("", ""),
        ] {
            assert_eq!(field(name), expected);
        }
    }
}
