//! Usage errors of clap in mailferry's form: the option first.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::ui::print_error;

/// Prints an invalid command line, and where to read more. Help and version are no errors, and are printed as they are.
pub(super) fn print(error: &clap::Error, command: Option<&str>) {
    match describe(error) {
        Some(text) => print_error(&text, Some(&see_help(command))),
        // A reader that closes its pipe is not an error.
        None => drop(error.print()),
    }
}

fn see_help(command: Option<&str>) -> String {
    let command = command.map(|command| format!("{command} ")).unwrap_or_default();
    format!("see mailferry {command}--help")
}

/// Returns what is wrong with a command line; None if nothing is.
fn describe(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" and ")),
        _ => None,
    };
    let list = |kind| match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    };
    // `--eol <EOL>`
    let name = |text: String| text.split(" <").next().unwrap_or_default().to_owned();
    let option = || text(ContextKind::InvalidArg).map(name).unwrap_or_default();
    let did_you_mean = |kind| match &list(kind)[..] {
        [] => String::new(),
        similar => format!("; did you mean {}?", similar.join(" or ")),
    };
    Some(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument => match option() {
            option if option.starts_with('-') => {
                format!("{option}: unknown option{}", did_you_mean(ContextKind::SuggestedArg))
            }
            word => format!("{word}: one argument too many"),
        },
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("{word}: unknown command{}", did_you_mean(ContextKind::SuggestedSubcommand))
        }
        ErrorKind::InvalidValue => {
            let values = list(ContextKind::ValidValue);
            let values = match &values[..] {
                [] => String::new(),
                values => format!("; known are {}", values.join(", ")),
            };
            match text(ContextKind::InvalidValue).filter(|value| !value.is_empty()) {
                Some(value) => format!("{}: unknown value {value}{values}", option()),
                None => format!("{}: its value is missing{values}", option()),
            }
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            format!("{}: invalid value {value}{why}", option())
        }
        ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg).map(name) {
            Some(other) if other == option() => format!("{other}: may be given once"),
            Some(other) => format!("{}: cannot be used with {other}", option()),
            None => format!("{}: cannot be used with the other options", option()),
        },
        ErrorKind::MissingRequiredArgument => {
            let missing = list(ContextKind::InvalidArg).into_iter().map(|arg| arg.replace(['<', '>'], ""));
            format!("{}: missing", missing.collect::<Vec<_>>().join(" and "))
        }
        _ => {
            let rendered = error.to_string();
            let first = rendered.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_usage_error_names_the_option_first() {
        for (words, expected) in [
            ("convert --folow a b", "--folow: unknown option; did you mean --follow?"),
            ("convert --eol x a b", "--eol: unknown value x; known are keep, lf, crlf"),
            ("convert --jobs", "--jobs: its value is missing"),
            (
                "convert --mode 9 a b",
                "--mode: invalid value 9: octal, owner rw, no execute bits, such as 640",
            ),
            ("convert --append --force a b", "--append: cannot be used with --force"),
            ("convert --source 1 a b", "--exact: missing"),
            ("verify", "MAILBOX...: missing"),
            ("inspect a 1 2", "2: one argument too many"),
            ("convrt a b", "convrt: unknown command; did you mean convert?"),
        ] {
            let words = ["mailferry"].into_iter().chain(words.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(describe(&error).as_deref(), Some(expected));
        }
        assert_eq!(describe(&Cli::try_parse_from(["mailferry", "--help"]).unwrap_err()), None);
    }
}
