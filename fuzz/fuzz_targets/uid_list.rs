#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailferry::promises::uid_list(data));
