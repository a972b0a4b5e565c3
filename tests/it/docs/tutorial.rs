//! `man/mq.7`: the tutorial does what it says.

use super::examples::{Kind, try_all};
use super::mdoc::Page;
use super::shell::{installed, skipped};

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
