# just --list

# An optimised binary in target/release
build:
    cargo build --release --locked

# README's test command
test:
    cargo test --locked

# The lists of findings in man/ and docs/, and completions/
lists:
    UPDATE=1 cargo test --locked --test generated

# The output in README.md and docs/
transcripts:
    UPDATE=1 cargo test --locked --test readme

fmt:
    cargo fmt

# Fuzz targets, all or those named, for this many seconds each
fuzz seconds="60" *targets:
    fuzz/run {{seconds}} {{targets}}

# What must pass in every commit
quick:
    .ci/quick

# Everything that must pass before work is submitted
ci:
    .ci/run

# .ci/run and all samples: hours
full:
    .ci/full
