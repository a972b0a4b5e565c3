//! `send --group`: what is claimed by hand, listed, counted and removed, message by message of a group.

use crate::support::sandbox::Sandbox;

/// Sends one message of a group and returns its id.
fn send(sandbox: &Sandbox, group: &str, body: &str) -> String {
    sandbox.mq(["send", "jobs", "--group", group, "--", body]).ok().trim_end().to_string()
}

fn claim(sandbox: &Sandbox) -> String {
    sandbox.mq(["claim", "jobs"]).ok().trim_end().to_string()
}

/// State and body of each message, in the order of `mq ls`.
fn listed(sandbox: &Sandbox) -> Vec<String> {
    let rows = sandbox.mq(["ls", "jobs"]).code(0).columns();
    rows.iter().map(|row| format!("{} {}", row[1], row[10])).collect()
}

#[test]
fn a_claim_holds_its_group_and_its_end_sends_the_group_on() {
    let sandbox = Sandbox::new();
    let ids = ["1", "2", "3", "4"].map(|body| send(&sandbox, "a", body));
    let other = send(&sandbox, "b", "5");
    let first = claim(&sandbox);
    assert!(first.contains(&ids[0]), "{first}");
    // The other group is not held up, and then there is nothing to claim.
    let second = claim(&sandbox);
    assert!(second.contains(&other), "{second}");
    sandbox.mq(["claim", "jobs"]).code(1).silent();
    assert_eq!(listed(&sandbox), ["ready 2", "ready 3", "ready 4", "claimed 1", "claimed 5"]);
    sandbox.mq(["cat", &first]).code(0).prints("1\n");
    sandbox.mq(["ack", &first]).ok();
    let first = claim(&sandbox);
    assert!(first.contains(&ids[1]), "{first}");
    // Put back, it is still the first of its group; dead, it lets the next one come.
    sandbox.mq(["nack", &first, "--delay", "0s"]).ok();
    let again = claim(&sandbox);
    assert!(again.contains(&ids[1]), "{again}");
    sandbox.mq(["nack", &again, "--delay", "1h"]).ok();
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["rm", "jobs", &ids[1]]).ok();
    let third = claim(&sandbox);
    assert!(third.contains(&ids[2]), "{third}");
    sandbox.mq(["dead", &third]).ok();
    let fourth = claim(&sandbox);
    assert!(fourth.contains(&ids[3]), "{fourth}");
    // A receipt is good once.
    sandbox.mq(["ack", &again]).code(6);
    sandbox.mq(["ack", &fourth]).ok();
    sandbox.mq(["ack", &second]).ok();
    assert_eq!(listed(&sandbox), ["dead 3"]);
    let stats = &sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0];
    assert_eq!((&stats["acked_total"], &stats["ready"], &stats["claimed"]), (&3.into(), &0.into(), &0.into()));
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    assert!(!sandbox.tree("jobs").lines().any(|path| path.starts_with("groups/") && path != "groups/"));
}

#[test]
fn a_claim_whose_lease_ran_out_comes_back_first() {
    let sandbox = Sandbox::new();
    let ids = ["1", "2"].map(|body| send(&sandbox, "a", body));
    let lost = sandbox.mq(["claim", "jobs", "--lease", "1ms"]).ok().trim_end().to_string();
    let again = sandbox.mq(["claim", "jobs", "--wait", "10s"]).ok().trim_end().to_string();
    assert!(again.contains(&ids[0]), "{again}");
    sandbox.mq(["ack", &lost]).code(6);
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["ack", &again]).ok();
    assert!(claim(&sandbox).contains(&ids[1]));
}

#[test]
fn a_waiting_message_is_removed_and_the_order_of_the_others_stays() {
    let sandbox = Sandbox::new();
    let ids = ["1", "2", "3"].map(|body| send(&sandbox, "a", body));
    let receipt = claim(&sandbox);
    sandbox.mq(["rm", "jobs", &ids[1]]).ok();
    sandbox.mq(["rm", "jobs", &ids[0]]).code(75);
    assert_eq!(listed(&sandbox), ["ready 3", "claimed 1"]);
    sandbox.mq(["ack", &receipt]).ok();
    sandbox.mq(["pop", "jobs", "-n", "9"]).code(0).prints("3\n");
    // And the first one, while nobody has it.
    let first = send(&sandbox, "a", "4");
    send(&sandbox, "a", "5");
    sandbox.mq(["rm", "jobs", &first]).ok();
    sandbox.mq(["pop", "jobs", "-n", "9"]).code(0).prints("5\n");
    sandbox.mq(["fsck", "jobs"]).code(0).prints("");
}

#[test]
fn one_key_for_all_lines_and_a_key_for_each_object() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines", "--group", "a"], "1\n2\n3\n").ok();
    let receipt = claim(&sandbox);
    sandbox.mq(["claim", "jobs"]).code(1);
    sandbox.mq(["ack", &receipt]).ok();
    let objects = "{\"body\":\"4\\n\",\"group\":\"b\"}\n{\"body\":\"5\\n\",\"group\":\"a\"}\n{\"body\":\"6\\n\"}\n";
    sandbox.mq_stdin(["send", "jobs", "--jsonl"], objects).ok();
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let groups: Vec<String> = rows.iter().map(|row| format!("{} {}", row["body"], row["group"])).collect();
    let mut sorted = groups.clone();
    sorted.sort();
    assert_eq!(sorted, [r#""2\n" "a""#, r#""3\n" "a""#, r#""4\n" "b""#, r#""5\n" "a""#, r#""6\n" null"#]);
    // As ls prints them they can be sent again, and are groups again.
    let copy = sandbox.mq(["ls", "jobs", "--full"]).code(0).stdout;
    sandbox.mq_stdin(["send", "copy", "--jsonl"], copy).ok();
    let mut again = sandbox.mq(["stats", "copy", "--groups"]).code(0).columns();
    again.sort();
    assert_eq!(again.iter().map(|row| row[1..3].join(" ")).collect::<Vec<_>>(), ["a 3", "b 1"]);
    sandbox.mq(["pop", "jobs", "-n", "9"]).code(0);
    assert!(listed(&sandbox).is_empty());
}

#[test]
fn groups_are_listed_and_counted() {
    let sandbox = Sandbox::new();
    for (group, body) in [("a", "1"), ("a", "2"), ("b c", "3"), ("a", "4")] {
        send(&sandbox, group, body);
    }
    sandbox.send("jobs", "none");
    let rows = sandbox.mq(["ls", "jobs", "--group", "a"]).code(0).columns();
    assert_eq!(rows.iter().map(|row| row[10..].join(" ")).collect::<Vec<_>>(), ["1 a", "2 a", "4 a"]);
    sandbox.mq(["ls", "jobs", "--group", "b c", "--ids"]).code(0);
    sandbox.mq(["ls", "jobs", "--group", "nobody", "--ids"]).code(0).prints("");
    let receipt = claim(&sandbox);
    sandbox.mq(["nack", &receipt, "--delay", "1h"]).ok();
    let mut groups = sandbox.mq(["stats", "jobs", "--groups", "--json"]).code(0).json();
    groups.sort_by_key(|group| group["group"].to_string());
    let told: Vec<String> = groups
        .iter()
        .map(|group| {
            assert!(group["queue"] == "jobs" && group["oldest_age_s"].is_u64(), "{group}");
            format!("{} {} {} {}", group["group"], group["waiting"], group["state"], group["attempts"])
        })
        .collect();
    assert_eq!(told, [r#""a" 2 "delayed" 1"#, r#""b c" 1 "ready" 0"#]);
    // A message of a group counts as every other.
    let stats = &sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0];
    assert_eq!((&stats["ready"], &stats["delayed"]), (&4.into(), &1.into()));
}

#[test]
fn what_a_group_cannot_be_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.mq(["send", "jobs", "--group", "a", "--delay", "1s", "x"]).code(2).says("--delay");
    sandbox.mq(["send", "jobs", "--group", "a", "--at", "tomorrow 08:00", "x"]).code(2).says("--at");
    sandbox.mq(["send", "jobs", "--group", "", "x"]).code(2).says("--group");
    sandbox.mq(["send", "jobs", "--group", "a\nb", "x"]).code(2).says("--group");
    for (object, why) in [
        (r#"{"body":"x","group":7}"#, "group is not text"),
        (r#"{"body":"x","group":""}"#, "not a key"),
        (r#"{"body":"x","group":"a","delay":"1s"}"#, "group and delay exclude each other"),
    ] {
        sandbox.mq_stdin(["send", "jobs", "--jsonl"], object).one_of(&[2, 65]).says(why);
    }
    sandbox.mq(["create", "jobs", "--group-on-dead", "stop"]).code(2).says("continue");
    sandbox.mq(["ls", "jobs", "--ids"]).one_of(&[0, 3]).prints("");
}
