//! Reading stdin: words, one a line.

use anyhow::{Context, Result};
use std::io::{self, BufRead};

/// Calls `each` with every line of stdin that is not empty, trimmed. A tab ends the word, so that the piped columns of
/// `mq ls` can be handed back as they are.
pub fn each_word(each: &mut dyn FnMut(&str)) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read stdin")?;
        let word = line.split('\t').next().unwrap_or_default().trim();
        if !word.is_empty() {
            each(word);
        }
    }
    Ok(())
}
