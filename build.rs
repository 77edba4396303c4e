//! Links the unwinder into the binary where it would be loaded from libgcc_s.so.1.
//!
//! A delivery is a process of its own and takes about as long as it takes to start one. Loading this library,
//! which is there for panics alone, was a sixth of that: it asks for the processor's features as it begins,
//! which is slow in a virtual machine. The linker takes what it is told to take for the library; where a
//! static one is not at hand nothing changes.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let said = |name: &str| env::var(name).unwrap_or_default();
    let is_gnu = said("CARGO_CFG_TARGET_OS") == "linux" && said("CARGO_CFG_TARGET_ENV") == "gnu";
    let is_static = said("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_gnu || is_static || said("HOST") != said("TARGET") || !has_static_unwinder() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n").expect("it is there to be written to");
    println!("cargo:rustc-link-search=native={}", out.display());
}

/// The compiler that links gives the path of the file, or its bare name where it has none.
fn has_static_unwinder() -> bool {
    let asked = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_absolute())
}
