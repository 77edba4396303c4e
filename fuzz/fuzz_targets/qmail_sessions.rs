#![no_main]

// The first byte says where the wire is cut, the next three how it is divided. The rest is a wire, and also the
// message, sender and recipients of a well-formed one, divided by 0xff.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, wire)) = data.split_first_chunk::<4>() else { return };
    let cuts: Vec<usize> = head[1..].iter().cycle().take(64).map(|&b| usize::from(b)).collect();
    mailferry::promises::qmail_sessions(wire, &cuts, usize::from(head[0]).min(wire.len()));
    let parts: Vec<&[u8]> = wire.split(|&b| b == 0xff).collect();
    let [message, sender, recipients @ ..] = &parts[..] else { return };
    mailferry::promises::qmail_message(message, sender, recipients, &cuts);
});
