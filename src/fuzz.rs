//! What a fuzzer calls: each target reads bytes of a stranger's choice as mq would, and panics where a promise about that does
//! not hold. Only there for the tests, and with `--cfg fuzzing`.

/// A name, and what takes the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub fn targets() -> impl Iterator<Item = Target> {
    crate::queue::fuzz::TARGETS.into_iter().chain(crate::cli::fuzz::TARGETS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // the corpus is no file of a queue

    use super::*;
    use std::path::Path;

    #[test]
    fn the_corpus_is_read_as_it_should_be() {
        for (name, target) in targets() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
            let mut entries = 0;
            for entry in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                // Named in the output of the test, where one panics.
                println!("{}", path.display());
                target(&bytes);
                // And some of what a fuzzer would make of it.
                for at in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
                    target(&bytes[..at]);
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 1 << (at % 8);
                    target(&bytes);
                }
                entries += 1;
            }
            assert!(entries > 0, "no corpus for {name}");
        }
    }
}
