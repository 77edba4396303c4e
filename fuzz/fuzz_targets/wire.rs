#![no_main]

// The first three bytes say how the wire is divided.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, wire)) = data.split_first_chunk::<3>() else { return };
    let cuts: Vec<usize> = head.iter().cycle().take(64).map(|&b| usize::from(b)).collect();
    mailferry::promises::netstring(wire, &cuts);
    mailferry::promises::smtp_reply(wire, &cuts);
    mailferry::promises::stuffing(wire, &cuts);
});
