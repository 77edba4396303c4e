#![no_main]

// The first lines are the sender, two recipients and the reason; a NUL in the reason is a line end.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(5, |&b| b == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (sender, recipients, reason, original) = (part(), [part(), part()], part(), part());
    let reason: Vec<u8> = reason.iter().map(|&b| if b == 0 { b'\n' } else { b }).collect();
    mailferry::promises::written_bounce(sender, &recipients, &reason, original);
});
