//! Reports as a page: one HTML file without scripts, which loads nothing.
//!
//! Names, subjects and lines of mail are data of others. [`text::Shown`] is how they get into a page.

mod accounts;
mod chart;
mod document;
mod run;
mod shared;
mod style;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use accounts::accounts_page;
pub(crate) use run::run_page;
