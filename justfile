# just --list

# An optimised binary in target/release
build:
    cargo build --release --locked

# README's test command
test:
    cargo test --locked

fmt:
    cargo fmt

# Man pages and completions from the command line's own description
generate:
    cargo run --locked -- generate .

# Every fuzz target, or one, for so many seconds
fuzz seconds="60" *targets:
    fuzz/run {{seconds}} {{targets}}

# What has to be green before a commit is pushed
ci:
    .ci/run

# The long campaigns
full:
    .ci/full
