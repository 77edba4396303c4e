//! The mechanisms of SASL that a server offers.

/// The ways to log in that a server offers.
#[derive(Debug, Default)]
pub(super) struct Mechanisms {
    pub(super) plain: bool,
    pub(super) login: bool,
    /// All of them, for an error.
    pub(super) names: Vec<u8>,
}

impl Mechanisms {
    /// Adds those of a line of the reply to EHLO. There may be several lines.
    pub(super) fn add<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>) {
        for word in words.filter(|word| !word.is_empty()) {
            self.plain |= word.eq_ignore_ascii_case(b"PLAIN");
            self.login |= word.eq_ignore_ascii_case(b"LOGIN");
            if !self.names.is_empty() {
                self.names.push(b' ');
            }
            self.names.extend_from_slice(word);
        }
    }
}
