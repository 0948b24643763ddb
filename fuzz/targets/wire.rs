#![no_main]
//! The wire reader: whatever it prints settles.

libfuzzer_sys::fuzz_target!(|wire: &[u8]| {
    if let Ok(text) = fuzz::to_json(wire) {
        fuzz::settles(&text);
    }
});
