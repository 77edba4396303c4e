#![no_main]

// The first byte says where the wire is cut, the next three how it is divided.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, wire)) = data.split_first_chunk::<4>() else { return };
    let cuts: Vec<usize> = head[1..].iter().cycle().take(64).map(|&b| usize::from(b)).collect();
    mailferry::promises::lmtp_command(wire);
    mailferry::promises::lmtp_data(wire, &cuts);
    mailferry::promises::lmtp_session(wire, &cuts, usize::from(head[0]).min(wire.len()));
});
