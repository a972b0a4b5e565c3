//! One binary for all targets of `src/fuzz.rs`; `$MQ_FUZZ_TARGET` says which.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("MQ_FUZZ_TARGET").unwrap_or_default();
    match mq::fuzz::targets().find(|(name, _)| *name == wanted) {
        Some((_, target)) => target,
        None => {
            let names: Vec<&str> = mq::fuzz::targets().map(|(name, _)| name).collect();
            eprintln!("MQ_FUZZ_TARGET is none of {}", names.join(" "));
            std::process::exit(2);
        }
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
