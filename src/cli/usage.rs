//! Usage errors of clap in mailferry's form: the option first.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::ui::print_error;
use crate::mailbox::escape;
use crate::transport::next_hop::redact;

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
    // `--eol <EOL>`, `<SHELL>`, `[N[-M]]`
    let name = |text: String| {
        let name = text.split(" <").next().unwrap_or_default();
        let bare = [('<', '>'), ('[', ']')]
            .iter()
            .find_map(|&(open, close)| name.strip_prefix(open)?.strip_suffix(close));
        bare.unwrap_or(name).to_owned()
    };
    let option = || text(ContextKind::InvalidArg).map(name).unwrap_or_default();
    let similar = |kind| {
        let mut words = list(kind);
        // Every command has --help, which is similar to little.
        words.retain(|word| word != "--help");
        match &words[..] {
            [] => String::new(),
            [word] => format!("; a similar one is {word}"),
            words => format!("; similar ones are {}", words.join(", ")),
        }
    };
    let given_value = text(ContextKind::InvalidValue)
        .filter(|value| !value.is_empty())
        .map(|value| escape(&redact(value.as_bytes())));
    Some(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument => match option() {
            option if option.starts_with('-') => {
                format!("{option}: unknown option{}", similar(ContextKind::SuggestedArg))
            }
            word => format!("{word}: one argument too many"),
        },
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("{word}: unknown command{}", similar(ContextKind::SuggestedSubcommand))
        }
        ErrorKind::InvalidValue => {
            let values = list(ContextKind::ValidValue);
            let values = match &values[..] {
                [] => String::new(),
                values => format!("; known are {}", values.join(", ")),
            };
            match given_value {
                Some(value) => format!("{}: unknown value {value}{values}", option()),
                None => format!("{}: its value is missing{values}", option()),
            }
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
            match given_value {
                Some(value) => format!("{}: invalid value {value}{why}", option()),
                None => format!("{}: its value is missing{why}", option()),
            }
        }
        ErrorKind::TooManyValues => format!("{}: takes no value", option()),
        ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg).map(name) {
            Some(other) if other == option() => format!("{other}: may be given once"),
            Some(other) => format!("{}: cannot be used with {other}", option()),
            None => format!("{}: cannot be used with the other options", option()),
        },
        ErrorKind::MissingRequiredArgument => {
            let missing = list(ContextKind::InvalidArg).into_iter();
            // A group of options of which one is enough is `--a|--b <B>`.
            let missing = missing.map(|arg| arg.replace(['<', '>'], "").replace('|', " or "));
            let missing = missing.collect::<Vec<_>>().join(" and ");
            match missing.starts_with('-') {
                true => format!("{missing}: missing; another option needs it"),
                false => format!("{missing}: missing"),
            }
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
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_usage_error_names_the_option_first() {
        for (words, expected) in [
            ("convert --folow a b", "--folow: unknown option; a similar one is --follow"),
            ("convert --eol x a b", "--eol: unknown value x; known are keep, lf, crlf"),
            ("convert --jobs", "--jobs: its value is missing"),
            (
                "convert --mode 9 a b",
                "--mode: invalid value 9: octal, owner rw, no execute bits, such as 640",
            ),
            ("convert --append --force a b", "--append: cannot be used with --force"),
            ("convert --source 1 a b", "--exact: missing; another option needs it"),
            ("verify", "MAILBOX...: missing"),
            ("convert --jobs 0 a b", "--jobs: invalid value 0: a number from 1 to 512"),
            ("convert --jobs= a b", "--jobs: its value is missing: a number from 1 to 512"),
            (
                "convert --from-zone Mars a b",
                "--from-zone: invalid value Mars: a name such as Europe/Berlin, an offset such as +0100, or UTC",
            ),
            ("convert --follow=x a b", "--follow: takes no value"),
            ("inspect a x", "N[-M]: invalid value x: a message or a range, such as 17, 17-20 or 17-"),
            ("inspect a 1 2", "2: one argument too many"),
            ("convrt a b", "convrt: unknown command; a similar one is convert"),
        ] {
            let words = ["mailferry"].into_iter().chain(words.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(describe(&error).as_deref(), Some(expected));
        }
        assert_eq!(describe(&Cli::try_parse_from(["mailferry", "--help"]).unwrap_err()), None);
    }

    /// The phrases of libraries are about types and parsers, and name no right value.
    #[test]
    fn a_wrong_value_of_any_option_is_explained_in_our_words() {
        let values = [
            "",
            "Mars",
            "-1",
            "0",
            "é€",
            "a\nb",
            "+25:00",
            "99999999999999999999999",
            "7",
            "999",
            "a//b",
            "a..b=",
            "smtp://",
        ];
        let foreign =
            ["digit", "target type", "..=", "pars", "'", "`", "\"", "<", "invalid value :", "\n", "::"];
        for command in Cli::command().get_subcommands() {
            let options = command.get_arguments().filter(|arg| arg.get_action().takes_values());
            for (option, value) in options.flat_map(|option| values.map(|value| (option, value))) {
                let Some(name) = option.get_long() else { continue };
                let words = ["mailferry", command.get_name(), &format!("--{name}={value}"), "a"];
                let Err(error) = Cli::try_parse_from(words) else { continue };
                let text = describe(&error).unwrap();
                let own = text.replace("'Sent Items=Sent'", "");
                assert!(foreign.iter().all(|phrase| !own.contains(phrase)), "{words:?}: {text}");
                let about_others = [": missing", "cannot be used with", "one argument too many"];
                let is_about_another = about_others.iter().any(|phrase| text.contains(phrase));
                assert!(is_about_another || text.starts_with(&format!("--{name}: ")), "{words:?}: {text}");
            }
        }
    }
}
