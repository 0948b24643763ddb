#![no_main]
//! The JSON reader: whatever it takes is printed, and settles.

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    if let Ok(wire) = fuzz::to_wire(json) {
        fuzz::settles(&fuzz::to_json(&wire).expect("what was read can be printed"));
    }
});
