//! Many unrelated processes on one queue at once.

use crate::support::sandbox::Sandbox;
use std::collections::BTreeSet;

/// How many processes at once.
const PROCESSES: usize = 16;

#[test]
fn sixteen_shells_claim_each_message_exactly_once() {
    let sandbox = Sandbox::new();
    let total = 2000;
    let lines: String = (0..total).map(|n| format!("{n}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], lines).ok();
    let script = "
        while true; do
            r=$(mq claim jobs -n 5) || { c=$?; [ $c -eq 1 ] && break; exit $c; }
            for one in $r; do mq cat $one; done
            echo \"$r\" | mq ack -
        done";
    let shells: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(|| sandbox.sh(script).ok())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all: Vec<usize> = shells.concat().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(all.len(), total, "claimed twice or lost");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), total);
    let stats = sandbox.mq(["stats", "jobs", "--json"]).code(0).json();
    assert_eq!(
        (&stats[0]["ready"], &stats[0]["claimed"], &stats[0]["acked_total"]),
        (&0.into(), &0.into(), &total.into())
    );
}

#[test]
fn senders_of_every_kind_at_once_lose_nothing_and_order_each_their_own() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    std::thread::scope(|scope| {
        for sender in 0..PROCESSES {
            let sandbox = &sandbox;
            scope.spawn(move || match sender % 2 {
                0 => sandbox.sh(&format!("for n in $(seq 1 50); do mq send jobs -q -- {sender}.$n; done")).ok(),
                _ => sandbox.sh(&format!("seq -f {sender}.%g 1 1500 | mq send jobs --lines")).ok(),
            });
        }
    });
    let rows = sandbox.mq(["ls", "jobs", "--json", "--full"]).code(0).json();
    let mut last = [0_u32; PROCESSES];
    for row in &rows {
        let body = row["body"].as_str().unwrap().trim_end();
        let (sender, number) = body.split_once('.').unwrap();
        let (sender, number): (usize, u32) = (sender.parse().unwrap(), number.parse().unwrap());
        assert_eq!(number, last[sender] + 1, "out of order, lost or doubled");
        last[sender] = number;
    }
    assert_eq!(last.iter().sum::<u32>(), 8 * 50 + 8 * 1500);
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "an id was given out twice");
}
