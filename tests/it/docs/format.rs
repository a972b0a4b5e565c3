//! `man/mq.5`: its tables are the code's, and what it says to do by hand works on a queue.

use super::examples::Kind;
use super::mdoc::Page;
use super::shell::{Place, installed, skipped};
use mq::queue::name::{Attempts, BUCKET_SIZE, ClaimedName, DIRS, Lease, Name, PRIORITIES, State};
use mq::queue::{FORMAT, HEADER_MAX, HISTORY_MAX, Outcome, PACK_MOST, STDERR_MAX, Trouble};

fn page() -> Page {
    Page::read("mq.5")
}

fn first_cells(first: &str) -> Vec<String> {
    page().table(first).into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn the_states_are_those_of_the_code() {
    let rows = page().table("state");
    let mut states: Vec<&str> = rows.iter().map(|row| row[0].split(',').next().unwrap()).collect();
    states.dedup();
    let words = State::ALL.map(State::word);
    assert_eq!(states[0], "writing");
    assert_eq!(&states[1..], words);
    // Each stands in a directory of its own, and there are no others.
    let mut places: Vec<&str> = rows.iter().map(|row| row[1].split('/').next().unwrap()).collect();
    places.dedup();
    assert_eq!(places, DIRS);
}

#[test]
fn the_words_are_those_of_the_code() {
    assert_eq!(first_cells("outcome"), Outcome::ALL.map(Outcome::word));
    assert_eq!(first_cells("word"), Trouble::ALL.map(Trouble::word));
    assert_eq!(first_cells("sync"), ["send", "all", "none"]);
    let said = mq::queue::key("sync").unwrap().value_name;
    assert_eq!(said.split('|').collect::<Vec<_>>(), first_cells("sync"));
}

#[test]
fn the_limits_are_those_of_the_code() {
    let rows = page().table("limit");
    let value = |limit: &str| -> u64 {
        let row = rows.iter().find(|row| row[0] == limit).unwrap_or_else(|| panic!("no limit {limit:?}"));
        let (number, unit) = row[1].split_once(' ').unwrap_or((&row[1], ""));
        number.parse::<u64>().unwrap() * if unit == "KiB" { 1024 } else { 1 }
    };
    let name = "1764000000000001-1764000000000000-4-00001-g0123456789abcdef-t000000600000-abcdefghijklmnopqrstuvwxyz";
    assert!(ClaimedName::parse(name).is_some());
    for (limit, code) in [
        ("header line", HEADER_MAX as u64),
        ("history", HISTORY_MAX),
        ("stderr tail", STDERR_MAX as u64),
        ("bucket", u64::from(BUCKET_SIZE)),
        ("pack", u64::from(PACK_MOST)),
        ("priorities", u64::from(PRIORITIES)),
        ("attempts", u64::from(Attempts::MAX)),
        ("timed lease", u64::try_from(Lease::LONGEST.as_millis()).unwrap()),
        ("file name", name.len() as u64),
        ("id", 16),
    ] {
        assert_eq!(value(limit), code, "{limit}");
    }
    assert!(page().text().contains(&format!("This page describes format {FORMAT}.")));
}

/// The names in the tree are names, but for the tokens that are cut short.
#[test]
fn the_tree_shows_names_that_the_code_reads() {
    let examples = page().examples();
    let tree = examples.iter().find(|example| example.section == "THE TREE").unwrap();
    let mut names = 0;
    let mut dir = "";
    for line in tree.text.lines() {
        let name = line.trim();
        if line.starts_with("  ") && !line.starts_with("   ") {
            dir = name;
        }
        if name.len() < 41 {
            continue;
        }
        names += 1;
        match dir {
            "claimed/" => assert!(ClaimedName::parse(&name.replace("...", &"a".repeat(21))).is_some(), "{name}"),
            "delayed/" => assert!(Name::parse_delayed(name).is_some(), "{name}"),
            _ => assert!(Name::parse(name.trim_end_matches(".why")).is_some(), "{name}"),
        }
    }
    assert!(names > 6);
    for dir in DIRS {
        assert!(tree.text.contains(&format!("\n  {dir}/\n")), "{dir}");
    }
}

/// The header fields of the page are those of a file that mq wrote.
#[test]
fn the_fields_are_those_of_a_message() {
    if !installed("jq") {
        return skipped("man/mq.5", "no jq here, which its examples use");
    }
    let place = Place::new();
    let table = page().table("field");
    // A message of a group has no time of its own.
    for (sent, file, without) in [("--delay 1h", "delayed/*/*", "group"), ("--group a", "groups/*/*", "due_us")] {
        let output = place.bash(&format!(
            "mq create ./jobs 2> /dev/null
            mq send ./jobs -q -H A=1 --content-type text/plain --ttl 1d {sent} x
            head -n 1 jobs/{file} | jq -r 'keys_unsorted[]'"
        ));
        let found = String::from_utf8(output.stdout).unwrap();
        let told = table.iter().map(|row| row[0].as_str()).filter(|field| *field != without);
        assert_eq!(found.lines().collect::<Vec<_>>(), told.collect::<Vec<_>>());
    }
}

#[test]
fn what_is_done_by_hand_works() {
    if !installed("jq") {
        return skipped("man/mq.5", "no jq here, which its examples use");
    }
    let examples = page().examples();
    let by_hand: Vec<&str> = examples.iter().filter(|e| e.kind == Kind::Run).map(|e| e.text.as_str()).collect();
    let [list, read, check, redrive, expire, pause, remove, make] = by_hand.as_slice() else {
        panic!("{} examples by hand", by_hand.len())
    };
    let place = Place::new();
    let run = |script: &str| {
        let output = place.bash(script);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {script}\n{text}", output.status);
        text
    };
    run("mq create ./jobs
        mq send ./jobs -q 'to be dead'
        mq dead \"$(mq claim ./jobs)\" --reason 'no paper'
        mq send ./jobs -q 'to be claimed'
        mq claim ./jobs --lease 10m > receipt
        seq 2 | mq send ./jobs --lines");
    assert_eq!(run(list).lines().filter(|line| line.len() == 41).count(), 2);
    let told = run(&format!("{read}\n{check}"));
    assert!(told.contains("to be dead\n") && told.contains("\"no paper\""), "{told}");
    let sums: Vec<&str> = told.lines().rev().take(2).collect();
    assert_eq!(sums[0], sums[1], "{told}");
    run(&format!("{read}\n{redrive}"));
    assert_eq!(run("mq ls ./jobs --state ready --json | jq -r .attempts"), "0\n0\n0\n");
    run(expire);
    assert_eq!(run("for _ in 1 2 3 4; do mq cat \"$(mq claim ./jobs)\"; done"), "to be dead\nto be claimed\n1\n2\n");
    assert_eq!(run("code=0; mq ack - < receipt 2> /dev/null || code=$?; echo $code"), "6\n");
    let (stop, go) = pause.split_once('\n').unwrap();
    assert_eq!(run(&format!("{stop}\ncode=0; mq claim ./jobs 2> /dev/null || code=$?; echo $code\n{go}")), "7\n");
    assert_eq!(run("code=0; mq claim ./jobs || code=$?; echo $code"), "1\n");
    run("mq send ./jobs -q 'to be removed'");
    run(remove);
    assert_eq!(run("mq ls ./jobs --state ready --ids || mq fsck ./jobs"), "");
    run(make);
    assert_eq!(run("mq send ./other -q x; mq cat \"$(mq claim ./other)\"; mq fsck ./other"), "x\n");
}
