//! Links the unwinder into the binary instead of loading it from libgcc_s.so.1.
//!
//! A delivery is a process of its own. Loading that library, which only a panic uses, took a sixth of its time.
//! The linker finds a libgcc_s.so of ours first, which refers to the static unwinder. The argument reaches
//! mailferry's own binary alone. The feature `static-unwinder` turns it on; nothing changes where the
//! compiler has no static unwinder.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let is_on = env::var_os("CARGO_FEATURE_STATIC_UNWINDER").is_some();
    let is_gnu = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_on || !is_gnu || is_static || variable("HOST") != variable("TARGET") || !has_static_unwinder() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n").expect("OUT_DIR is writable");
    println!("cargo:rustc-link-arg-bins=-L{}", out.display());
}

/// Reports whether the linker has libgcc_eh.a: the compiler prints its path, or the bare name without one.
fn has_static_unwinder() -> bool {
    let printed = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    printed.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
}
