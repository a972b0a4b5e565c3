//! `README.md`: every command in it works.

use super::examples::{Example, Kind, try_all};
use super::shell::{installed, skipped};
use crate::man::repository;

/// The fenced blocks. `<!-- WORDS -->` before one says what it is where its language does not.
fn examples() -> Vec<Example> {
    let text = std::fs::read_to_string(repository("README.md")).unwrap();
    let (mut examples, mut section, mut said) = (Vec::new(), String::new(), None);
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_string();
        } else if line == "<!-- setup" {
            let script: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "-->").collect();
            let place = format!("README.md:{}", number + 1);
            examples.push(Example { place, section: section.clone(), kind: Kind::Setup, text: script.join("\n") });
        } else if let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            said = Some(comment.to_string());
        } else if let Some(language) = line.strip_prefix("```") {
            let said = said.take();
            let kind = match (said.as_deref(), language) {
                // What installs and what tests is run by .ci/run, which reads it from here.
                (Some("run by .ci/run"), "sh") => Kind::Shown,
                (Some(said), _) => Kind::parse(said).unwrap_or_else(|| panic!("README.md:{number}: {said:?}")),
                (None, "sh") => Kind::Run,
                (None, "console") => Kind::Console,
                (None, "text") => Kind::Shown,
                _ => panic!("README.md:{}: a block of {language:?}", number + 1),
            };
            let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let text = format!("{}\n", body.join("\n"));
            examples.push(Example { place: format!("README.md:{}", number + 1), section: section.clone(), kind, text });
        }
    }
    examples
}

#[test]
fn every_command_of_the_readme_works() {
    if !installed("jq") {
        return skipped("README.md", "no jq here, which its examples use");
    }
    let examples = examples();
    assert!(examples.len() > 3);
    try_all(&examples);
}
