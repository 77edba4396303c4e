//! The mailferry command.

fn main() -> std::process::ExitCode {
    mailferry::cli::main()
}
