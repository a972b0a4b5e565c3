//! `completions/`: what clap_complete makes of the commands, and on top of it what only mq knows: queues, ids, states,
//! outcomes and settings, asked for with the hidden `mq complete`.

use super::same_as_committed;
use clap::{Arg, Command, CommandFactory};
use clap_complete::{Generator, generate, shells};
use mq::cli::Cli;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn completions_are_as_the_commands_say() {
    same_as_committed("completions/mq.bash", &bash());
    same_as_committed("completions/_mq", &zsh());
    same_as_committed("completions/mq.fish", &fish());
}

/// What `mq complete` is asked for at an option's value or at a positional, by the name it has in the definitions.
fn asked(name: &str) -> Option<&'static str> {
    Some(match name {
        "queue" | "from" | "to" => "queues",
        "id" => "ids",
        "key" | "unset" => "settings",
        "state" => "states",
        "outcome" => "outcomes",
        "about" => "topics",
        _ => return None,
    })
}

fn cli() -> Command {
    let mut cli = Cli::command();
    cli.build();
    cli
}

/// Every command that a person may type, by its words: `dlq ls`.
fn commands(of: &Command, words: &str, into: &mut BTreeMap<String, Command>) {
    for command in of.get_subcommands().filter(|command| !command.is_hide_set()) {
        for name in std::iter::once(command.get_name()).chain(command.get_visible_aliases()) {
            let words = format!("{words} {name}").trim().to_string();
            commands(command, &words, into);
            into.insert(words, command.clone());
        }
    }
}

fn all() -> BTreeMap<String, Command> {
    let mut all = BTreeMap::new();
    commands(&cli(), "", &mut all);
    all
}

fn takes_next_word(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.takes_values()) && !arg.is_require_equals_set() && !arg.is_positional()
}

fn flags(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    short.into_iter().chain(arg.get_long().map(|long| format!("--{long}"))).collect()
}

/// Options whose value is the next word, and those of them whose values mq knows.
fn options() -> (BTreeSet<String>, BTreeMap<String, &'static str>) {
    let (mut valued, mut known, mut bare) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let all = all();
    for arg in all.values().chain([&cli()]).flat_map(|command| command.get_arguments()) {
        for flag in flags(arg) {
            if !takes_next_word(arg) {
                bare.insert(flag);
                continue;
            }
            if let Some(what) = asked(arg.get_id().as_str()) {
                known.insert(flag.clone(), what);
            }
            valued.insert(flag);
        }
    }
    let both: Vec<_> = valued.intersection(&bare).collect();
    assert!(both.is_empty(), "the same flag with and without a value: {both:?}");
    (valued, known)
}

/// What stands at each place of a command: what to ask for, `bash zsh fish`, `command` for one to run, or nothing known.
fn places(command: &Command) -> Vec<String> {
    let positionals = command.get_positionals();
    positionals
        .map(|arg| {
            let many = if arg.get_num_args().is_some_and(|range| range.max_values() > 1) { "+" } else { "" };
            let what = match asked(arg.get_id().as_str()) {
                Some(what) => what.to_string(),
                None if arg.is_last_set() || arg.get_id() == "command" => "command".to_string(),
                None => "-".to_string(),
            };
            format!("{what}{many}")
        })
        .collect()
}

fn generated(shell: impl Generator) -> String {
    let mut bytes = Vec::new();
    generate(shell, &mut Cli::command(), "mq", &mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn join<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

const MADE: &str = "# Made from the clap definitions by tests/it/man/completions.rs: MQ_BLESS=1 cargo test\n";

pub(super) fn bash() -> String {
    let (valued, known) = options();
    let generated = generated(shells::Bash);
    let (generated, _) = generated.split_once("\nif [[ \"${BASH_VERSINFO[0]}\" -eq 4").unwrap();
    let mut at = String::new();
    for (words, command) in all() {
        let places = places(&command);
        if !places.is_empty() {
            at.push_str(&format!("        '{words}') places=({}) ;;\n", places.join(" ")));
        }
    }
    let mut after = String::new();
    for what in known.values().collect::<BTreeSet<_>>() {
        let flags: Vec<&str> =
            known.iter().filter(|(_, found)| found == &what).map(|(flag, _)| flag.as_str()).collect();
        after.push_str(&format!("        {}) _mq_ask {what} ;;\n", flags.join("|")));
    }
    let two: BTreeSet<String> =
        all().into_iter().filter(|(_, c)| c.has_subcommands()).map(|(words, _)| words).collect();
    format!(
        r#"{MADE}{generated}
# What only mq knows: the queues there are, their messages, states and settings.
_mq_ask() {{
    local words list=''
    words=$(command mq "${{_mq_root[@]}}" complete "$@" 2>/dev/null) || words=''
    case $cur in
        *,*) list=${{cur%,*}},; [[ $1 = states || $1 = outcomes ]] || list='' ;;
    esac
    while IFS= read -r word; do
        [[ -n $word && $word = "${{cur#"$list"}}"* ]] && COMPREPLY+=("$list$word")
    done <<< "$words"
    case $1,$cur in
        # A queue may be said by its path, too.
        queues,*/* | queues,.*)
            compopt -o filenames 2>/dev/null
            mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -d -- "$cur")
            ;;
    esac
    return 0
}}

_mq_complete() {{
    local cur=$2 prev=$3 word command='' skip='' at=0 place last queue='' places=() word_at=0
    local -a _mq_root=()
    COMPREPLY=()
    # The shell makes a word of the = between an option and its value.
    if [[ $cur = = ]]; then cur=''; elif [[ $prev = = ]]; then prev=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    for ((word_at = 1; word_at < COMP_CWORD; word_at++)); do
        word=${{COMP_WORDS[word_at]}}
        if [[ -n $skip ]]; then
            [[ $word = = ]] && continue
            [[ $skip = --root ]] && _mq_root=(--root "$word")
            skip=''
            continue
        fi
        case $word in
            --)
                [[ $command = work ]] || return 0
                # What follows is a command with its own completions, where bash-completion is there to find them.
                if declare -F _command_offset >/dev/null; then
                    _command_offset $((word_at + 1))
                else
                    mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
                fi
                return 0
                ;;
            -*) [[ ' {valued} ' = *" $word "* ]] && skip=$word ;;
            *)
                case $command in
                    '' | {two}) command=${{command:+$command }}$word ;;
                    *) at=$((at + 1)); [[ $at = 1 ]] && queue=$word ;;
                esac
                ;;
        esac
    done
    case $prev in
{after}        *)
            case $command in
{at}            esac
            place=${{places[at]:-}}
            # The last place may be for many.
            last=${{places[${{#places[@]}} ? ${{#places[@]}} - 1 : 0]:-}}
            if [[ -z $place && $last = *+ ]]; then place=$last; fi
            if [[ $cur != -* && -z $skip ]]; then
                case ${{place%+}} in
                    queues | settings | topics) _mq_ask "${{place%+}}"; [[ $place = topics ]] && _mq_ask commands; return 0 ;;
                    ids) _mq_ask ids "$queue"; return 0 ;;
                esac
            fi
            _mq "$@"
            ;;
    esac
}}

if [[ "${{BASH_VERSINFO[0]}}" -eq 4 && "${{BASH_VERSINFO[1]}}" -ge 4 || "${{BASH_VERSINFO[0]}}" -gt 4 ]]; then
    complete -F _mq_complete -o nosort -o bashdefault -o default mq
else
    complete -F _mq_complete -o bashdefault -o default mq
fi
"#,
        valued = join(&valued),
        two = two.iter().map(|words| format!("'{words}'")).collect::<Vec<_>>().join(" | "),
        at = at.replace("        '", "                '"),
    )
}

/// In zsh each value and place names the function that completes it.
pub(super) fn zsh() -> String {
    let (_, known) = options();
    let generated = generated(shells::Zsh);
    let mut text = String::new();
    for line in generated.lines() {
        let asked = asked_by_zsh(line, &known);
        match (asked, line.strip_suffix(":_default' \\")) {
            (Some(what), Some(start)) => text.push_str(&format!("{start}:_mq_{what}' \\\n")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    let functions = ["queues", "settings", "states", "outcomes"].map(|what| {
        let list = if matches!(what, "states" | "outcomes") { "compset -P '*,'; " } else { "" };
        let paths = if what == "queues" { "; [[ $PREFIX = (*/*|.*) ]] && _path_files -/" } else { "" };
        format!("(( $+functions[_mq_{what}] )) ||\n_mq_{what}() {{ {list}_mq_ask {what}{paths} }}\n")
    });
    let ours = format!(
        r#"
# What only mq knows: the queues there are, their messages, states and settings.
(( $+functions[_mq_ask] )) ||
_mq_ask() {{
    local -a found root
    [[ -n ${{opt_args[--root]}} ]] && root=(--root ${{(Q)opt_args[--root]}})
    found=(${{(f)"$(command mq $root complete "$@" 2>/dev/null)"}})
    compadd -a found
}}
{}(( $+functions[_mq_ids] )) ||
_mq_ids() {{ _mq_ask ids ${{(Q)${{words[2,-1]:#-*}}[1]}} }}
(( $+functions[_mq_topics] )) ||
_mq_topics() {{ _mq_ask topics; _mq_ask commands }}
"#,
        functions.concat()
    );
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "#compdef mq");
    format!("{first}\n{MADE}{ours}{rest}")
}

fn asked_by_zsh(line: &str, known: &BTreeMap<String, &'static str>) -> Option<&'static str> {
    let spec = line.strip_prefix('\'')?;
    if let Some((flag, _)) = spec.find("--").map(|at| &spec[at..]).and_then(|spec| spec.split_once('=')) {
        return known.get(flag).copied();
    }
    let (name, _) = spec.trim_start_matches(['*', ':']).split_once(" -- ")?;
    asked(name)
}

pub(super) fn fish() -> String {
    let (valued, known) = options();
    let generated = generated(shells::Fish);
    let mut text = String::new();
    for line in generated.lines() {
        let flag =
            line.split_once(" -l ").and_then(|(_, rest)| rest.split_once(' ')).map(|(name, _)| format!("--{name}"));
        let what = flag.and_then(|flag| known.get(&flag));
        match what.filter(|_| line.ends_with(" -r")) {
            Some(what) => text.push_str(&format!("{line} -f -a \"(__mq_ask {what})\"\n")),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    let two: BTreeSet<String> =
        all().into_iter().filter(|(_, c)| c.has_subcommands()).map(|(words, _)| words).collect();
    let mut at = String::new();
    for (words, command) in all() {
        for (place, what) in places(&command).iter().enumerate() {
            let (what, many) = what.strip_suffix('+').map_or((what.as_str(), ""), |what| (what, "+"));
            let ask = match what {
                "-" | "command" => continue,
                "topics" => "__mq_ask topics; __mq_ask commands",
                "ids" => "__mq_ask ids (__mq_queue)",
                what => &format!("__mq_ask {what}"),
            };
            at.push_str(&format!("complete -c mq -n \"__mq_at '{words}' {}{many}\" -f -a \"({ask})\"\n", place + 1));
        }
    }
    format!(
        r#"{MADE}{text}
# What only mq knows: the queues there are, their messages, states and settings.
function __mq_ask
    command mq complete $argv 2>/dev/null
end

# The words before the one at hand that are no options and no values of options: the command, and what it was given.
function __mq_words
    set -l valued {valued}
    set -l skip
    for word in (commandline -opc)[2..]
        if test -n "$skip"
            set skip
        else if contains -- $word $valued
            set skip $word
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

# Whether the word at hand is number N of what a command was given; with a + that one or a later one. One with a slash is
# a path.
function __mq_at
    set -l words (__mq_words)
    set -l command $words[1]
    set -e words[1]
    if contains -- "$command" {two}; and set -q words[1]
        set command "$command $words[1]"
        set -e words[1]
    end
    test "$command" = $argv[1]; or return 1
    string match -q -- '*/*' (commandline -ct); and return 1
    set -l at (math (count $words) + 1)
    if string match -q -- '*+' $argv[2]
        test $at -ge (string trim -r -c + $argv[2])
    else
        test $at -eq $argv[2]
    end
end

function __mq_queue
    set -l words (__mq_words)
    contains -- "$words[1]" {two}; and set -e words[1]
    echo $words[2]
end

{at}"#,
        valued = join(&valued),
        two = join(&two),
    )
}
