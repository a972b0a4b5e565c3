//! What the completions offer, asked for in each shell as a person would: with words typed and Tab pressed.

use super::completions::{bash, fish, zsh};
use crate::docs::shell::{Place, installed, skipped};

/// A place with two queues and a message in one of them, and the completion files.
fn place() -> Place {
    let place = Place::new();
    place.write("mq.bash", &bash());
    place.write("_mq", &zsh());
    place.write("mq.fish", &fish());
    let made = place.bash("mq create mails; mq create jobs; mq send jobs x; mq create ./spool");
    assert!(made.status.success(), "{made:?}");
    place
}

/// Each line: what was typed, and what is offered at its end. ID is the id of the one message.
const OFFERS: [(&str, &str); 14] = [
    ("mq work ", "jobs mails"),
    ("mq work j", "jobs"),
    ("mq send m", "mails"),
    ("mq work -j 4 m", "mails"),
    ("mq config jobs max_a", "max_attempts"),
    ("mq config jobs --unset back", "backoff"),
    ("mq cat jobs ", "ID"),
    ("mq ls jobs --state de", "delayed dead"),
    ("mq ls jobs --outcome tim", "timeout"),
    ("mq dlq redrive m", "mails"),
    ("mq dlq redrive jobs --to m", "mails"),
    ("mq stats jobs ma", "mails"),
    ("mq help exit", "exit-codes"),
    ("mq --root / ls ", ""),
];

fn wanted(offered: &str, place: &Place) -> Vec<String> {
    let id = place.bash("mq ls jobs --ids");
    let id = String::from_utf8(id.stdout).unwrap();
    let mut wanted: Vec<String> = offered.split_whitespace().map(|word| word.replace("ID", id.trim())).collect();
    wanted.sort();
    wanted
}

#[test]
fn bash_offers_what_there_is() {
    let place = place();
    for (typed, offered) in
        OFFERS.into_iter().chain([("mq ls jobs --state ready,d", "ready,delayed ready,dead ready,done ready,damaged")])
    {
        // As readline does it: the words, the one at hand, the one before it.
        let script = format!(
            r#"source ./mq.bash
            typed={typed:?}
            read -ra COMP_WORDS <<< "$typed"
            [[ $typed = *' ' ]] && COMP_WORDS+=('')
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMP_LINE=$typed COMP_POINT=${{#typed}}
            _mq_complete mq "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
            printf '%s\n' "${{COMPREPLY[@]}}""#
        );
        let output = place.bash(&script);
        let mut found: Vec<String> =
            String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_string).collect();
        found.sort();
        if typed.contains("--root") {
            assert!(!found.iter().any(|word| word == "jobs"), "{typed:?}: another root's queues: {found:?}");
            continue;
        }
        assert_eq!(found, wanted(offered, &place), "{typed:?}");
    }
    // What clap knows is still there.
    let output = place.bash(
        "source ./mq.bash; COMP_WORDS=(mq send --li) COMP_CWORD=2; _mq_complete mq --li send; echo \"${COMPREPLY[@]}\"",
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--lines\n");
}

#[test]
fn fish_offers_what_there_is() {
    if !installed("fish") {
        return skipped("completions/mq.fish", "no fish here");
    }
    let place = place();
    for (typed, offered) in OFFERS {
        if typed.contains("--root") {
            continue;
        }
        let script = format!("source ./mq.fish; complete -C '{typed}'");
        let output = place.command("fish").args(["--no-config", "-c", &script]).output().unwrap();
        assert!(output.stderr.is_empty(), "{typed:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut found: Vec<String> =
            text.lines().filter_map(|line| Some(line.split('\t').next()?.to_string())).collect();
        found.sort();
        assert_eq!(found, wanted(offered, &place), "{typed:?}");
    }
}

#[test]
fn zsh_offers_what_there_is() {
    if !installed("zsh") {
        return skipped("completions/_mq", "no zsh here");
    }
    let place = place();
    let checked = place.command("zsh").args(["-f", "-n", "_mq"]).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    // compadd is where every offer passes; a widget that calls the completion without a terminal is started by zpty.
    place.write("offers.zsh", ZSH);
    for (typed, offered) in OFFERS {
        if typed.contains("--root") {
            continue;
        }
        let output = place.command("zsh").args(["-f", "offers.zsh", typed]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Where a place may be left out, zsh offers what may stand at the next one as well.
        for word in wanted(offered, &place) {
            assert!(text.lines().any(|line| line == word), "{typed:?}: no {word:?} in {text:?}");
        }
    }
}

/// Types its argument into an interactive zsh, presses Tab, and prints the words that `_mq_ask` added and that fit.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
expect() { local text; zpty -r -m z text "*$1*" || exit 1 }
zpty -w z "PS1= ; fpath=($PWD \$fpath); autoload -U compinit; compinit -u -D; zstyle ':completion:*' verbose no"
zpty -w z 'compadd() { local -a hits; builtin compadd -O hits "$@"; print -rl -- "${hits[@]/#/OFFER:}" >> $HOME/offers; builtin compadd "$@" }'
zpty -w z 'print READY$((1 + 1))'
expect READY2
zpty -n -w z "$1"$'\t'
for _ in {1..100}; do [ -e $HOME/offers ] && break; sleep 0.05; done
zpty -n -w z $'\C-u'
zpty -w z 'print DONE$((1 + 1))'
expect DONE2
zpty -d z
[ -e $HOME/offers ] && sed -n 's/^OFFER://p' $HOME/offers && rm $HOME/offers
"#;
