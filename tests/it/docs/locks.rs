//! The fuzzer has a lock file of its own, and builds with `--locked`: what mq depends on stands in both.

use crate::man::repository;

/// What a lock file says that mq depends on.
fn dependencies(lock: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(lock)).unwrap();
    let (_, mq) = text.split_once("name = \"mq\"\n").expect("mq in the lock file");
    let (_, list) = mq.split_once("dependencies = [\n").expect("its dependencies");
    list.lines().take_while(|line| *line != "]").map(str::to_string).collect()
}

#[test]
fn the_fuzzers_lock_file_knows_what_mq_depends_on() {
    // Not what the tests alone need: a package that is depended on is built without it.
    let tests_alone = ["assert_cmd", "clap_complete", "clap_mangen"];
    let mut ours = dependencies("Cargo.lock");
    ours.retain(|line| !tests_alone.iter().any(|name| line.contains(name)));
    assert!(ours.len() > 5);
    assert_eq!(dependencies("tests/fuzz/Cargo.lock"), ours, "run: cargo update --workspace in tests/fuzz");
}
