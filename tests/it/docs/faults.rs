//! `tests/faults` says what shows that mq stands each fault: what it names is there, and nothing is left out.
#![allow(clippy::disallowed_methods)] // a test reads the sources

use crate::man::repository;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// How many points there are.
const POINTS: usize = 38;

/// One fault, and what is said of it.
#[derive(Debug, Default)]
struct Fault {
    /// `None` in the last section.
    point: Option<usize>,
    text: String,
    tests: Vec<String>,
    batteries: Vec<String>,
    mutants: Vec<String>,
    /// Why it can't be tested here, or how far.
    because: String,
}

fn faults() -> Vec<Fault> {
    let text = fs::read_to_string(repository("tests/faults")).unwrap();
    let mut faults: Vec<Fault> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line_of = format!("tests/faults:{}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(said) = line.strip_prefix("    ") else {
            let (point, text) = line.split_once(' ').expect(&line_of);
            let point = point.parse().ok();
            assert!(point.is_some() || line.starts_with("none "), "{line_of}");
            faults.push(Fault { point, text: text.trim().to_string(), ..Fault::default() });
            continue;
        };
        let fault = faults.last_mut().expect(&line_of);
        let (kind, what) = said.trim_start().split_once(' ').expect(&line_of);
        match kind {
            "test" | "long" => fault.tests.push(format!("{kind} {what}")),
            "battery" => fault.batteries.push(what.to_string()),
            "mutants" => fault.mutants.extend(what.split(' ').map(str::to_string)),
            "because" => fault.because = what.to_string(),
            _ => panic!("{line_of}"),
        }
    }
    faults
}

/// The source of a test by its path, from its attributes on; of a test of `src` too.
fn source(path: &str) -> Option<(String, usize)> {
    let mut parts: Vec<&str> = path.split("::").map(|part| part.trim_start_matches("r#")).collect();
    let name = parts.pop()?;
    let inner = parts.last() == Some(&"tests") && parts.first() != Some(&"support");
    if inner {
        parts.pop();
    }
    let below = parts.join("/");
    let top = if inner { "src" } else { "tests/it" };
    let text = [format!("{top}/{below}.rs"), format!("{top}/{below}/mod.rs")]
        .iter()
        .find_map(|file| fs::read_to_string(repository(file)).ok())?;
    let at = text.find(&format!("fn {name}() {{"))?;
    Some((text, at))
}

/// Whether there is such a test, and whether it is `#[ignore]`d.
fn looked_up(path: &str) -> Option<bool> {
    let (text, at) = source(path)?;
    let attributes: Vec<&str> =
        text[..at].trim_end().lines().rev().take_while(|line| !line.trim().is_empty()).collect();
    attributes
        .iter()
        .any(|line| line.trim() == "#[test]")
        .then(|| attributes.iter().any(|line| line.contains("#[ignore")))
}

fn mutants() -> BTreeSet<String> {
    let entries = fs::read_dir(repository("tests/mutants")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".patch").map(str::to_string)).collect()
}

#[test]
fn every_point_has_a_test_or_says_why_not() {
    let faults = faults();
    let points: Vec<usize> = faults.iter().filter_map(|fault| fault.point).collect();
    assert!(points.is_sorted(), "{points:?}");
    assert_eq!(points.iter().copied().collect::<BTreeSet<_>>(), (1..=POINTS).collect());
    for fault in &faults {
        let shown = !fault.tests.is_empty() || !fault.batteries.is_empty() || !fault.because.is_empty();
        assert!(shown || fault.point.is_none(), "nothing shows it: {} {}", fault.point.unwrap_or(0), fault.text);
    }
}

#[test]
fn every_test_and_battery_that_is_named_is_there() {
    for fault in faults() {
        for test in &fault.tests {
            let (kind, path) = test.split_once(' ').unwrap();
            let ignored = looked_up(path).unwrap_or_else(|| panic!("no test {path}"));
            assert_eq!(ignored, kind == "long", "{path}: `long` is for tests that are ignored");
        }
        for battery in &fault.batteries {
            let mut words = battery.split(' ');
            let file = words.next().unwrap();
            let text = fs::read_to_string(repository(file)).unwrap_or_else(|_| panic!("no battery {file}"));
            // A section of it, or an option, stands in its text, or in that of what it imports.
            let more = fs::read_to_string(repository("tests/battery/broken.py")).unwrap();
            for word in words {
                assert!(text.contains(word) || more.contains(word), "no {word} in {file}");
            }
        }
    }
}

#[test]
fn every_mutant_stands_at_a_fault_that_its_test_shows() {
    let mut left = mutants();
    for fault in faults() {
        for name in &fault.mutants {
            let path = repository(&format!("tests/mutants/{name}.patch"));
            let patch = fs::read_to_string(path).unwrap_or_else(|_| panic!("no mutant {name}"));
            let catches =
                |test: &String| patch.contains(&format!("\n# caught by: {}\n", test.split_once(' ').unwrap().1));
            let caught = fault.point.is_none() || fault.tests.iter().any(catches);
            assert!(caught, "{name} is caught by none of the tests at {:?} {}", fault.point, fault.text);
            left.remove(name);
        }
    }
    assert_eq!(left, BTreeSet::new(), "at no fault, nor in the last section");
}

/// What mq.5 lists of them is what their patches say.
#[test]
fn the_manual_names_what_catches_a_mutant() {
    let manual = fs::read_to_string(repository("man/mq.5")).unwrap().replace("\\:", "");
    let (_, list) =
        manual.split_once("what catches each:\n.Bl -tag -width 2n -compact\n.It ").expect("the list of mutants");
    let (list, _) = list.split_once("\n.El\n").unwrap();
    let mut listed = 0;
    for entry in list.split("\n.It ") {
        let (name, tests) = entry.split_once('\n').unwrap();
        let patch = fs::read_to_string(repository(&format!("tests/mutants/{name}.patch"))).unwrap();
        let catching: Vec<&str> = patch.lines().filter_map(|line| line.strip_prefix("# caught by: ")).collect();
        let said: Vec<&str> =
            tests.lines().map(|line| line.trim_start_matches(".Li ").trim_end_matches(" ,")).collect();
        assert_eq!(said, catching, "{name}");
        listed += 1;
    }
    assert!(listed >= 25, "{listed}");
}

/// A change of what stands around a protection is seen here, and not first in the zoo or in the battery of broken builds.
#[test]
fn every_mutant_applies() {
    if Command::new("patch").arg("--version").output().is_err() {
        println!("skipped: every_mutant_applies: patch(1) is not here");
        return;
    }
    for name in mutants() {
        let patch = fs::File::open(repository(&format!("tests/mutants/{name}.patch"))).unwrap();
        let mut command = Command::new("patch");
        command.args(["--dry-run", "--force", "-p1", "-d"]).arg(repository("")).stdin(patch);
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stdout));
    }
}
