//! Extended headers of pax: records such as `27 path=a/b/c/d/e/f/g/h/i\n`.

/// A part of a sparse member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SparsePart {
    pub start: u64,
    pub length: u64,
}

/// The properties in extended headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub mtime: Option<i64>,
    /// The size of a sparse member with its holes.
    pub sparse_size: Option<u64>,
    pub sparse: Vec<SparsePart>,
    /// The map of a sparse member is before its data.
    pub sparse_in_data: bool,
    /// The name of a sparse member, whose `path` is another one.
    sparse_name: Option<Vec<u8>>,
    /// A start whose length follows.
    sparse_start: Option<u64>,
}

impl Extensions {
    /// Adds the records of an extended header. Invalid ones are left out, as tar leaves them out.
    pub(super) fn read(&mut self, mut records: &[u8]) {
        while let Some((key, value, rest)) = next_record(records) {
            self.set(key, value);
            records = rest;
        }
        if let Some(name) = self.sparse_name.take() {
            self.path = Some(name);
        }
    }

    /// Returns these properties with those of one member, which count more.
    pub(super) fn with(&self, own: Extensions) -> Extensions {
        Extensions {
            path: own.path.or_else(|| self.path.clone()),
            link: own.link.or_else(|| self.link.clone()),
            size: own.size.or(self.size),
            mtime: own.mtime.or(self.mtime),
            ..own
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        let number = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok());
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = number,
            b"mtime" => self.mtime = seconds(value),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = number,
            b"GNU.sparse.major" => self.sparse_in_data = number == Some(1),
            b"GNU.sparse.offset" => self.sparse_start = number,
            b"GNU.sparse.numbytes" => {
                let part = self.sparse_start.take().zip(number);
                self.sparse.extend(part.map(|(start, length)| SparsePart { start, length }));
            }
            b"GNU.sparse.map" => self.sparse = map(value),
            _ => {}
        }
    }
}

/// Returns the first record and the rest. The length counts the whole record, so a value may have newlines.
fn next_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|&b| b == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

/// Returns the seconds of a time such as `1234567890.25`.
fn seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let is_before = text.starts_with('-') && fraction.bytes().any(|b| b != b'0');
    if is_before { seconds.checked_sub(1) } else { Some(seconds) }
}

fn map(value: &[u8]) -> Vec<SparsePart> {
    let numbers = value.split(|&b| b == b',');
    let numbers: Vec<u64> = numbers.map_while(|n| std::str::from_utf8(n).ok()?.parse().ok()).collect();
    numbers.chunks_exact(2).map(|pair| SparsePart { start: pair[0], length: pair[1] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_bytes() {
        let mut found = Extensions::default();
        found.read(b"12 path=a\nb\n20 mtime=-1.5000000\n9 size=7\n30 path");
        assert_eq!((found.path.as_deref(), found.mtime, found.size), (Some(&b"a\nb"[..]), Some(-2), Some(7)));
        // The second before it has no number.
        found.read(b"32 mtime=-9223372036854775808.5\n");
        assert_eq!(found.mtime, None);
        found.read(b"22 GNU.sparse.name=x\n\n26 GNU.sparse.map=0,5,9,1\n\xff");
        assert_eq!(found.path.as_deref(), Some(&b"x\n"[..]));
        let parts = [SparsePart { start: 0, length: 5 }, SparsePart { start: 9, length: 1 }];
        assert_eq!(found.sparse, parts);
    }
}
