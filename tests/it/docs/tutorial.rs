//! `man/mq.7`: the tutorial does what it says. And of both hand-written pages, what is copied from the screen is what was
//! meant.

use super::examples::{Kind, try_all};
use super::mdoc::Page;
use super::shell::{Place, installed, skipped};
use crate::man::repository;

#[test]
fn every_example_of_the_tutorial_works() {
    if !installed("jq") {
        return skipped("man/mq.7", "no jq here, which its examples use");
    }
    let examples = Page::read("mq.7").examples();
    let unsaid: Vec<&str> = examples.iter().filter(|e| e.kind == Kind::Unsaid).map(|e| e.place.as_str()).collect();
    assert!(unsaid.is_empty(), "nothing says how to try {unsaid:?}");
    try_all(&examples);
}

#[test]
fn a_page_is_rendered_as_it_was_written() {
    let place = Place::new();
    let renderers: [(&str, &[&str]); 2] =
        [("mandoc", &["-T", "utf8", "-O", "width=80"]), ("groff", &["-ww", "-mdoc", "-t", "-k", "-Tutf8", "-P-cbou"])];
    for (renderer, options) in renderers {
        if !installed(renderer) {
            skipped("rendering man/mq.5 and man/mq.7", &format!("no {renderer} here"));
            continue;
        }
        for name in ["mq.5", "mq.7"] {
            let output = place.command(renderer).args(options).arg(repository("man").join(name)).output().unwrap();
            let complaints = String::from_utf8(output.stderr).unwrap();
            assert!(!complaints.contains("wider than line width"), "{name}: {renderer} says {complaints}");
            let shown = String::from_utf8(output.stdout).unwrap();
            let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
            for example in Page::read(name).examples().iter().filter(|example| example.kind != Kind::Setup) {
                for line in example.text.lines().filter(|line| !line.contains('\t')) {
                    assert!(
                        shown.iter().any(|shown| shown.trim_start() == line.trim()),
                        "{}: {renderer} makes something else of {line:?}",
                        example.place
                    );
                }
            }
        }
    }
}
