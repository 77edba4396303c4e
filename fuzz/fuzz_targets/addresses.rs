#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    mailferry::promises::addresses(data);
    mailferry::promises::injected(data);
});
