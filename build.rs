//! Names the commit and the day of the build for `--version`, links the unwinder into the binary instead of loading
//! it from libgcc_s.so.1, and places the functions that a delivery runs next to each other.
//!
//! The same source gives the same bytes: the day is that of the commit. A release tarball has no git, so whoever packs
//! it sets MAILFERRY_COMMIT and SOURCE_DATE_EPOCH. Debug builds have no commit: each commit would build the whole
//! package again.
//!
//! A delivery is a process of its own. Loading that library, which only a panic uses, took a sixth of its time.
//! The linker finds a libgcc_s.so of ours first, which refers to the static unwinder. The argument reaches
//! mailferry's own binary alone. The feature `static-unwinder` turns it on; nothing changes where the
//! compiler has no static unwinder.
//!
//! The functions of a delivery were all over the binary, and the page faults for them took a fifth of its time.
//! build/delivery-order.txt lists them; benches/order.py writes it. A linker that does not take the script for that
//! orders nothing.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    name_the_commit();
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let is_on = env::var_os("CARGO_FEATURE_STATIC_UNWINDER").is_some();
    let is_gnu = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_gnu || is_static || variable("HOST") != variable("TARGET") {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    if variable("PROFILE") == "release" {
        order_functions(&out);
    }
    if !is_on || !has_static_unwinder() {
        return;
    }
    fs::write(out.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n").expect("OUT_DIR is writable");
    println!("cargo:rustc-link-arg-bins=-L{}", out.display());
}

/// Sets MAILFERRY_VERSION, as `0.1.0 (1a2b3c4d5 2026-11-30)`.
fn name_the_commit() {
    for variable in ["MAILFERRY_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let of_git =
        || (env::var("PROFILE").is_ok_and(|profile| profile == "release")).then(commit_of_git).flatten();
    let named = env::var("MAILFERRY_COMMIT").ok().map(|commit| {
        let epoch = env::var("SOURCE_DATE_EPOCH").ok().and_then(|epoch| epoch.parse().ok());
        epoch.map_or(commit.clone(), |epoch| format!("{commit} {}", day(epoch)))
    });
    let version = match named.or_else(of_git) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=MAILFERRY_VERSION={version}");
}

/// Returns the commit and its day, if this directory is the top of a git checkout.
fn commit_of_git() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|run| run.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = env::var_os("CARGO_MANIFEST_DIR")?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(here).ok()? {
        return None;
    }
    // It changes with each commit and checkout.
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["-c", "core.abbrev=9", "log", "-1", "--format=%h %cs"])
}

/// Returns the day of a time in seconds since 1970, in UTC.
fn day(epoch: i64) -> String {
    // Days from 0000-03-01, as in H. Hinnant's "chrono-compatible low-level date algorithms".
    let days = epoch.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reports whether the linker has libgcc_eh.a: the compiler prints its path, or the bare name without one.
fn has_static_unwinder() -> bool {
    let printed = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    printed.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
}

/// Has the functions of a delivery linked into one section, in front of all others.
fn order_functions(out: &Path) {
    const LIST: &str = "build/delivery-order.txt";
    println!("cargo:rerun-if-changed={LIST}");
    let names = fs::read_to_string(LIST).expect("it is part of the package");
    let inputs: String =
        names.lines().map(|name| format!("    *(.text.{name} .text.unlikely.{name})\n")).collect();
    let script = out.join("delivery-order.ld");
    let text = format!("SECTIONS {{\n  .text.delivery : {{\n{inputs}  }}\n}}\nINSERT BEFORE .text;\n");
    fs::write(&script, text).expect("OUT_DIR is writable");
    let argument = format!("-Wl,-T,{}", script.display());
    if links_with(out, &argument) {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

/// Reports whether this build's linker takes an argument, by linking a program and running it.
fn links_with(out: &Path, argument: &str) -> bool {
    let (source, program) = (out.join("probe.rs"), out.join("probe"));
    fs::write(&source, "fn main() {}\n").expect("OUT_DIR is writable");
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets it"));
    rustc.arg(&source).arg("-o").arg(&program).arg(format!("-Clink-arg={argument}"));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.output().is_ok_and(|rustc| rustc.status.success())
        && Command::new(&program).current_dir(out).output().is_ok_and(|probe| probe.status.success())
}
