//! `mq pop`: bodies byte for byte, and not one of them gone before it was written.

use crate::support::sandbox::Sandbox;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn bodies_come_out_in_order_and_are_gone() {
    let sandbox = Sandbox::new();
    sandbox.mq_stdin(["send", "jobs", "--lines"], "1\n2\n3\n4\n").ok();
    sandbox.mq(["pop", "jobs"]).code(0).silent().prints("1\n");
    sandbox.mq(["pop", "jobs", "-n", "2"]).code(0).prints("2\n3\n");
    sandbox.mq(["pop", "jobs", "-n", "9"]).code(0).prints("4\n");
    sandbox.mq(["pop", "jobs"]).code(1).silent().prints("");
    let stats = &sandbox.mq(["stats", "jobs", "--json"]).code(0).json()[0];
    assert_eq!((&stats["acked_total"], &stats["claimed"]), (&4.into(), &0.into()));
}

#[test]
fn bytes_are_bytes_and_a_nul_ends_each() {
    let sandbox = Sandbox::new();
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    sandbox.send("jobs", b"\xff\0 no newline");
    sandbox.send("jobs", b"");
    sandbox.send("jobs", &large);
    let out = sandbox.mq(["pop", "jobs", "-n", "3", "--null"]).code(0).stdout;
    assert!(out == [&b"\xff\0 no newline\0"[..], b"\0", &large, b"\0"].concat());
}

#[test]
fn it_waits_for_the_first_one_and_for_the_end_of_a_pause() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs"]).ok();
    let mut waiter = sandbox.command(["pop", "jobs", "--wait", "30s", "-n", "5"]);
    let waiter = waiter.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sandbox.mq(["send", "jobs", "x"]).ok();
    assert_eq!(waiter.wait_with_output().unwrap().stdout, b"x\n");
    sandbox.mq(["pop", "jobs", "--wait", "10ms"]).code(1);
    sandbox.mq(["send", "jobs", "y"]).ok();
    sandbox.mq(["pause", "jobs", "--reason", "broken"]).ok();
    sandbox.mq(["pop", "jobs"]).code(7).says("paused: broken").prints("");
    sandbox.mq(["pop", "jobs", "--wait", "10ms"]).code(1).prints("");
    sandbox.mq(["resume", "jobs"]).ok();
    sandbox.mq(["pop", "jobs"]).code(0).prints("y\n");
}

#[test]
fn what_cannot_be_written_is_put_back_uncounted() {
    let sandbox = Sandbox::new();
    // What a buffer holds, and what goes right through it.
    for size in [10, 300_000] {
        let id = sandbox.send("jobs", vec![b'x'; size]);
        let mut scripts = vec!["mq pop jobs >/dev/full", "mq pop jobs >&-"];
        if size > 64 << 10 {
            scripts.push("mq pop jobs | true; exit ${PIPESTATUS[0]}");
        }
        for script in scripts {
            sandbox.sh(script).code(74).says("was put back");
            let row = &sandbox.mq(["ls", "jobs", "--json"]).code(0).json()[0];
            assert_eq!(
                (&row["id"], &row["state"], &row["attempts"]),
                (&id.as_str().into(), &"ready".into(), &0.into())
            );
        }
        assert_eq!(sandbox.mq(["pop", "jobs"]).code(0).stdout.len(), size);
    }
}

#[test]
fn killed_before_the_ack_it_is_delivered_again() {
    let sandbox = Sandbox::new();
    // More than a pipe holds: the first line is out, and the rest can't be.
    let body = format!("first\n{}", "x".repeat(500_000));
    sandbox.send("jobs", &body);
    let mut popper = sandbox.command(["pop", "jobs"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(popper.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    sandbox.mq(["pop", "jobs"]).code(1).prints("");
    popper.kill().unwrap();
    popper.wait().unwrap();
    assert_eq!(sandbox.mq(["pop", "jobs"]).code(0).text(), body);
}

#[test]
fn a_damaged_body_prints_nothing_and_is_set_aside() {
    for size in [2_000, 3_000_000] {
        let sandbox = Sandbox::new();
        let id = sandbox.send("jobs", vec![b'x'; size]);
        sandbox.mq(["send", "jobs", "next"]).ok();
        let file = sandbox.file_of("jobs", &id);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.len() - 500;
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        // A small body is checked before it is claimed, as by every other command: then the next one comes at once.
        if size > 1 << 20 {
            sandbox.mq(["pop", "jobs", "-n", "2"]).code(65).says("set aside").prints("");
        }
        sandbox.mq(["pop", "jobs", "-n", "2"]).code(0).prints("next\n");
        assert_eq!(
            sandbox.mq(["ls", "jobs", "--ids", "--state", "damaged"]).one_of(&[0, 65]).text(),
            format!("{id}\n")
        );
    }
}
