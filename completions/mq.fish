# Made from the clap definitions by tests/it/man/completions.rs: MQ_BLESS=1 cargo test
# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mq_global_optspecs
    string join \n root= q/quiet color= h/help V/version
end

function __fish_mq_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mq_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mq_using_subcommand
    set -l cmd (__fish_mq_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mq -n "__fish_mq_needs_command" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_needs_command" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_needs_command" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_needs_command" -s V -l version -d 'Print version'
complete -c mq -n "__fish_mq_needs_command" -f -a "send" -d 'Put messages into a queue'
complete -c mq -n "__fish_mq_needs_command" -f -a "claim" -d 'Take a message for a while: prints its receipt'
complete -c mq -n "__fish_mq_needs_command" -f -a "cat" -d 'Print the body of a message, byte for byte'
complete -c mq -n "__fish_mq_needs_command" -f -a "ack" -d 'Acknowledge: the work is done, the message goes away'
complete -c mq -n "__fish_mq_needs_command" -f -a "nack" -d 'Put a claimed message back for another attempt'
complete -c mq -n "__fish_mq_needs_command" -f -a "dead" -d 'Dead-letter a claimed message at once'
complete -c mq -n "__fish_mq_needs_command" -f -a "extend" -d 'Renew the lease of a claimed message'
complete -c mq -n "__fish_mq_needs_command" -f -a "pop" -d 'Print messages, and acknowledge what was printed'
complete -c mq -n "__fish_mq_needs_command" -f -a "work" -d 'Run a command for each message'
complete -c mq -n "__fish_mq_needs_command" -f -a "ls" -d 'List queues, or the messages of one'
complete -c mq -n "__fish_mq_needs_command" -f -a "show" -d 'Show messages with their headers, bodies and attempts'
complete -c mq -n "__fish_mq_needs_command" -f -a "stats" -d 'Count messages by state, with the ages of the oldest'
complete -c mq -n "__fish_mq_needs_command" -f -a "dlq" -d 'List, show, redrive or purge dead messages'
complete -c mq -n "__fish_mq_needs_command" -f -a "replay" -d 'Send acknowledged messages again, where a queue keeps them'
complete -c mq -n "__fish_mq_needs_command" -f -a "cancel" -d 'Stop the jobs of messages, and dead-letter them'
complete -c mq -n "__fish_mq_needs_command" -f -a "rm" -d 'Delete messages for good'
complete -c mq -n "__fish_mq_needs_command" -f -a "purge" -d 'Delete messages for good'
complete -c mq -n "__fish_mq_needs_command" -f -a "move" -d 'Move messages to another queue'
complete -c mq -n "__fish_mq_needs_command" -f -a "create" -d 'Make a queue'
complete -c mq -n "__fish_mq_needs_command" -f -a "config" -d 'Show or change a queue\'s settings'
complete -c mq -n "__fish_mq_needs_command" -f -a "pause" -d 'Let nothing more be claimed from a queue'
complete -c mq -n "__fish_mq_needs_command" -f -a "resume" -d 'End a pause'
complete -c mq -n "__fish_mq_needs_command" -f -a "wait" -d 'Wait until messages are acknowledged or dead'
complete -c mq -n "__fish_mq_needs_command" -f -a "fsck" -d 'Check a queue, and mend it'
complete -c mq -n "__fish_mq_needs_command" -f -a "completions" -d 'Print the completion file of a shell'
complete -c mq -n "__fish_mq_needs_command" -f -a "complete" -d 'What may stand at a place of the command line'
complete -c mq -n "__fish_mq_needs_command" -f -a "help" -d 'Explain a command or a topic'
complete -c mq -n "__fish_mq_using_subcommand send" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand send" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand send" -l file -d 'The body is in this file (several: a message each)' -r -F
complete -c mq -n "__fish_mq_using_subcommand send" -s H -l header -d 'A header; a job finds it as $MQ_H_NAME' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l content-type -d 'The media type of the bodies' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l group -d 'Deliver in order, one at a time, among those of this key' -r
complete -c mq -n "__fish_mq_using_subcommand send" -s p -l priority -d '0 to 9, 9 first [default: 4]' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l delay -d 'Deliver no sooner than after this time' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l at -d 'Deliver no sooner than then, like \'tomorrow 08:00\'' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l ttl -d 'Not delivered after this time: dead-lettered, or dropped' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l block -d 'How long to wait for room in a full queue' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l unique -d 'Send nothing while a message of this key is in the queue' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l unique-until -d 'Until when the key is taken: settled, claimed or a DURATION' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l on-duplicate -d 'What to do when the key is taken: skip, replace or fail' -r -f -a "skip\t''
replace\t''
fail\t''"
complete -c mq -n "__fish_mq_using_subcommand send" -l max-delay -d 'Replacements end the delay at the latest so long after the first send' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l flush -d 'Publish records this often, not all at the end' -r
complete -c mq -n "__fish_mq_using_subcommand send" -l size -d 'Publish only a body of exactly this size' -r
complete -c mq -n "__fish_mq_using_subcommand send" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand send" -l lines -d 'A message for each line of stdin'
complete -c mq -n "__fish_mq_using_subcommand send" -s 0 -l null -d 'A message for each NUL-ended record of stdin'
complete -c mq -n "__fish_mq_using_subcommand send" -l jsonl -d 'A message for each JSON object of stdin'
complete -c mq -n "__fish_mq_using_subcommand send" -l allow-empty -d 'An empty stdin is a message too'
complete -c mq -n "__fish_mq_using_subcommand send" -l no-newline -d 'Leave out the newline that ends the body of a BODY argument or a line'
complete -c mq -n "__fish_mq_using_subcommand send" -l ids -d 'Print the ids, also of records'
complete -c mq -n "__fish_mq_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand claim" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand claim" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand claim" -s n -d 'At most so many messages' -r
complete -c mq -n "__fish_mq_using_subcommand claim" -l wait -d 'How long to wait for the first one' -r
complete -c mq -n "__fish_mq_using_subcommand claim" -l lease -d 'How long the claim holds unless extended [default: the queue\'s lease]' -r
complete -c mq -n "__fish_mq_using_subcommand claim" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand claim" -l json -d 'One JSON object a message, with its receipt'
complete -c mq -n "__fish_mq_using_subcommand claim" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand cat" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand cat" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand cat" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand ack" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand ack" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand ack" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand ack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand nack" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand nack" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand nack" -l delay -d 'When to try again [default: the queue\'s backoff]' -r
complete -c mq -n "__fish_mq_using_subcommand nack" -l reason -d 'Why, for the message\'s history' -r
complete -c mq -n "__fish_mq_using_subcommand nack" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand nack" -l uncounted -d 'This attempt does not count against max_attempts'
complete -c mq -n "__fish_mq_using_subcommand nack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand dead" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand dead" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand dead" -l reason -d 'Why, for the message\'s history and mq dlq ls' -r
complete -c mq -n "__fish_mq_using_subcommand dead" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand dead" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand extend" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand extend" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand extend" -l lease -d 'How long, from now [default: as long as it was claimed for]' -r
complete -c mq -n "__fish_mq_using_subcommand extend" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand extend" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand pop" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand pop" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand pop" -s n -d 'At most so many messages' -r
complete -c mq -n "__fish_mq_using_subcommand pop" -l wait -d 'How long to wait for the first one' -r
complete -c mq -n "__fish_mq_using_subcommand pop" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand pop" -s 0 -l null -d 'End each body with a NUL'
complete -c mq -n "__fish_mq_using_subcommand pop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand work" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand work" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand work" -s j -l jobs -d 'How many jobs at once' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l drain -d 'End when nothing is left to do here' -r -f -a "ready\t''"
complete -c mq -n "__fish_mq_using_subcommand work" -s n -d 'End after at most so many messages' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l for -d 'Claim no more after so long, and end' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l timeout -d 'Stop a job after so long' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l stop-timeout -d 'How long jobs may go on once stopping' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l on -d 'What exit codes mean: ack, retry, dead, pause:D' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l batch -d 'One command for up to N messages' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l linger -d 'Wait so long for more after the first' -r
complete -c mq -n "__fish_mq_using_subcommand work" -l frame -d 'How messages are told apart: lines, null, jsonl' -r -f -a "lines\t''
null\t''
jsonl\t''"
complete -c mq -n "__fish_mq_using_subcommand work" -l to -d 'Send what a job prints to this queue' -r -f -a "(__mq_ask queues)"
complete -c mq -n "__fish_mq_using_subcommand work" -l prefetch -d 'Claim before their turn: auto, always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand work" -l stderr -d 'Relay a job\'s stderr, or hand it mq\'s' -r -f -a "relay\t''
inherit\t''"
complete -c mq -n "__fish_mq_using_subcommand work" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand work" -l arg -d 'The body as an argument: {} or the last'
complete -c mq -n "__fish_mq_using_subcommand work" -l ack-first -d 'Acknowledge before the job: at most once'
complete -c mq -n "__fish_mq_using_subcommand work" -l to-lines -d 'Send it line by line, a message each'
complete -c mq -n "__fish_mq_using_subcommand work" -l skip-done -d 'Acknowledge without a job what was done before'
complete -c mq -n "__fish_mq_using_subcommand work" -s v -l verbose -d 'Say a line for every job'
complete -c mq -n "__fish_mq_using_subcommand work" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand ls" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand ls" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand ls" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand ls" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand ls" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand ls" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand ls" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand ls" -l state -d 'Only in these states, like ready,dead' -r -f -a "(__mq_ask states)"
complete -c mq -n "__fish_mq_using_subcommand ls" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand ls" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand ls" -l json -d 'One JSON object a line'
complete -c mq -n "__fish_mq_using_subcommand ls" -l full -d 'JSON with the body and the history'
complete -c mq -n "__fish_mq_using_subcommand ls" -l ids -d 'Ids only'
complete -c mq -n "__fish_mq_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand show" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand show" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand show" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand show" -l json -d 'One JSON object a message, with the body and the history'
complete -c mq -n "__fish_mq_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand stats" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand stats" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand stats" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand stats" -l json -d 'One JSON object a queue'
complete -c mq -n "__fish_mq_using_subcommand stats" -l groups -d 'A line a group instead: what waits, and what its first message is in'
complete -c mq -n "__fish_mq_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -f -a "ls" -d 'List dead messages, with age and reason'
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -f -a "show" -d 'Show dead messages with their bodies and attempts'
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -f -a "redrive" -d 'Send dead messages round again'
complete -c mq -n "__fish_mq_using_subcommand dlq; and not __fish_seen_subcommand_from ls show redrive purge" -f -a "purge" -d 'Delete dead messages for good'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l json -d 'One JSON object a line'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l full -d 'JSON with the body and the history'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l ids -d 'Ids only'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from show" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from show" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from show" -l json -d 'One JSON object a message, with the body and the history'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l to -d 'Into another queue, on the same file system' -r -f -a "(__mq_ask queues)"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -l dry-run -d 'Move nothing: print the ids that would go'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from redrive" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l dry-run -d 'Delete nothing: print the ids that would go'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand dlq; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand replay" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand replay" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand replay" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand replay" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand replay" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand replay" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand replay" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand replay" -l since -d 'Only acknowledged at that time or later' -r
complete -c mq -n "__fish_mq_using_subcommand replay" -l from -d 'Only this message and those sent later' -r -f -a "(__mq_ask queues)"
complete -c mq -n "__fish_mq_using_subcommand replay" -l until -d 'Only acknowledged before that time' -r
complete -c mq -n "__fish_mq_using_subcommand replay" -l to -d 'Into another queue, on any file system' -r -f -a "(__mq_ask queues)"
complete -c mq -n "__fish_mq_using_subcommand replay" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand replay" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand replay" -l dry-run -d 'Send nothing: print the ids that would be sent'
complete -c mq -n "__fish_mq_using_subcommand replay" -l json -d 'One JSON object a line, of the kept message'
complete -c mq -n "__fish_mq_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand cancel" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand cancel" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand cancel" -l reason -d 'Why, for the message\'s history' -r
complete -c mq -n "__fish_mq_using_subcommand cancel" -l wait -d 'How long to wait for the holders' -r
complete -c mq -n "__fish_mq_using_subcommand cancel" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand rm" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand rm" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand rm" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand rm" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand rm" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand rm" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand rm" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand rm" -l state -d 'Only in these states, like ready,dead' -r -f -a "(__mq_ask states)"
complete -c mq -n "__fish_mq_using_subcommand rm" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand rm" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand rm" -l dry-run -d 'Delete nothing: print the ids that would go'
complete -c mq -n "__fish_mq_using_subcommand rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand purge" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand purge" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand purge" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand purge" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand purge" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand purge" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand purge" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand purge" -l state -d 'Only in these states, like ready,dead' -r -f -a "(__mq_ask states)"
complete -c mq -n "__fish_mq_using_subcommand purge" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand purge" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand purge" -l dry-run -d 'Delete nothing: print the ids that would go'
complete -c mq -n "__fish_mq_using_subcommand purge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand move" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand move" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand move" -l group -d 'Only of this group' -r
complete -c mq -n "__fish_mq_using_subcommand move" -l match -d 'Only with TEXT in body, header or reason' -r
complete -c mq -n "__fish_mq_using_subcommand move" -l outcome -d 'Only whose last attempt ended so, like timeout' -r -f -a "(__mq_ask outcomes)"
complete -c mq -n "__fish_mq_using_subcommand move" -l older-than -d 'Only sent, or dead, for longer than this' -r
complete -c mq -n "__fish_mq_using_subcommand move" -s n -d 'At most N, the first in delivery order' -r
complete -c mq -n "__fish_mq_using_subcommand move" -l state -d 'Only in these states, like ready,dead' -r -f -a "(__mq_ask states)"
complete -c mq -n "__fish_mq_using_subcommand move" -l to -d 'The queue they go to, on the same file system' -r -f -a "(__mq_ask queues)"
complete -c mq -n "__fish_mq_using_subcommand move" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand move" -l all -d 'All of them'
complete -c mq -n "__fish_mq_using_subcommand move" -l dry-run -d 'Move nothing: print the ids that would go'
complete -c mq -n "__fish_mq_using_subcommand move" -l json -d 'One JSON object a message, with to and new_id'
complete -c mq -n "__fish_mq_using_subcommand move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand create" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand create" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand create" -l max-attempts -d 'Deliveries before it is dead-lettered [default: 8]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l backoff -d 'Delay before a retry, doubling [default: 1s..1h]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l lease -d 'How long mq claim holds [default: 10m]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l timeout -d 'After how long a job is stopped [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l sync -d 'What is flushed [default: send]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l mode -d 'Permissions of directories [default: 0700]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l group-on-dead -d 'What a dead message does to its group [default: continue]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l max-messages -d 'Most messages that wait or are in hand [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l max-bytes -d 'Most bytes of their files [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l max-body -d 'Largest body of one message [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l min-free -d 'What sends leave free on the disk [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l on-full -d 'What a send to a full queue does [default: reject]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l rate -d 'Most claims in a time, like 10/s [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l burst -d 'Claims that may come at once under a rate [default: 1]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l max-in-flight -d 'Most messages claimed at once [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l ttl -d 'How long a message may wait [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l on-expire -d 'What becomes of an expired message [default: dead]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l retain -d 'How long acknowledged messages are kept [default: none]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -l done-for -d 'How long a completion is remembered [default: 1d]' -r
complete -c mq -n "__fish_mq_using_subcommand create" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand config" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand config" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand config" -l unset -d 'Back to the built-in value' -r -f -a "(__mq_ask settings)"
complete -c mq -n "__fish_mq_using_subcommand config" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand config" -l json -d 'One JSON object'
complete -c mq -n "__fish_mq_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand pause" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand pause" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand pause" -l reason -d 'Why, for mq stats and for those who wait' -r
complete -c mq -n "__fish_mq_using_subcommand pause" -l for -d 'Resume by itself after so long, in whole seconds' -r
complete -c mq -n "__fish_mq_using_subcommand pause" -l wait -d 'Return when nothing is claimed any more, or after so long (exit 4)' -r
complete -c mq -n "__fish_mq_using_subcommand pause" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand resume" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand resume" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand resume" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand wait" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand wait" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand wait" -l wait -d 'How long at most (exit 4) [default: for ever]' -r
complete -c mq -n "__fish_mq_using_subcommand wait" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand fsck" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand fsck" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand fsck" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand fsck" -l repair -d 'Mend what can be mended'
complete -c mq -n "__fish_mq_using_subcommand fsck" -l json -d 'One JSON object a finding'
complete -c mq -n "__fish_mq_using_subcommand fsck" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand completions" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand completions" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand completions" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand complete" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand complete" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand complete" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand complete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq -n "__fish_mq_using_subcommand help" -l root -d 'Directory that holds the queues [default: $MQ_ROOT, else ~/.local/share/mq]' -r -F
complete -c mq -n "__fish_mq_using_subcommand help" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mq -n "__fish_mq_using_subcommand help" -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c mq -n "__fish_mq_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'

# What only mq knows: the queues there are, their messages, states and settings.
function __mq_ask
    command mq complete $argv 2>/dev/null
end

# The words before the one at hand that are no options and no values of options: the command, and what it was given.
function __mq_words
    set -l valued --at --backoff --batch --block --burst --color --content-type --delay --done-for --file --flush --for --frame --from --group --group-on-dead --header --jobs --lease --linger --match --max-attempts --max-body --max-bytes --max-delay --max-in-flight --max-messages --min-free --mode --older-than --on --on-duplicate --on-expire --on-full --outcome --prefetch --priority --rate --reason --retain --root --since --size --state --stderr --stop-timeout --sync --timeout --to --ttl --unique --unique-until --unset --until --wait -H -j -n -p
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
    if contains -- "$command" dlq; and set -q words[1]
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
    contains -- "$words[1]" dlq; and set -e words[1]
    echo $words[2]
end

complete -c mq -n "__mq_at 'cancel' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'cancel' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'cat' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'cat' 2" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'claim' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'config' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'config' 2" -f -a "(__mq_ask settings)"
complete -c mq -n "__mq_at 'create' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'dlq ls' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'dlq ls' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'dlq purge' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'dlq purge' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'dlq redrive' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'dlq redrive' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'dlq show' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'dlq show' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'fsck' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'help' 1" -f -a "(__mq_ask topics; __mq_ask commands)"
complete -c mq -n "__mq_at 'ls' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'ls' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'move' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'move' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'pause' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'pop' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'purge' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'purge' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'replay' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'replay' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'resume' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'rm' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'rm' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'send' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'show' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'show' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'stats' 1+" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'wait' 1" -f -a "(__mq_ask queues)"
complete -c mq -n "__mq_at 'wait' 2+" -f -a "(__mq_ask ids (__mq_queue))"
complete -c mq -n "__mq_at 'work' 1" -f -a "(__mq_ask queues)"
