//! The clock of the benchmarks: built by `tests/bench/lib` with `rustc -O`, needs no crate.
//!
//! ```text
//! stopwatch time N CMD… [--- CMD…]…   runs the commands in turn, N rounds; one line each: min, median, p99, max in µs, the
//!                                     largest resident set in KiB, and the fewest page faults. `:create DIR` and `:fsync DIR` are no processes,
//!                                     but the making of a file in DIR, and fsync(2) of a fresh one of 200 bytes. The
//!                                     argument `:line:FILE` stands for the line of FILE that has the number of the round
//! stopwatch stamp FILE                a job: appends how many µs ago its message was published ($MQ_ID), and now in µs
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio, exit};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// `struct rusage` of getrusage(2) on a 64-bit Linux: two timevals, then fourteen longs, among them ru_maxrss in KiB and
/// ru_minflt.
#[repr(C)]
#[derive(Default)]
struct Usage {
    times: [i64; 4],
    maxrss: i64,
    _of_no_use: [i64; 3],
    minflt: i64,
    _rest: [i64; 9],
}

unsafe extern "C" {
    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut Usage) -> i32;
}

fn main() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["time", rounds, commands @ ..] if !commands.is_empty() => time(count(rounds), commands),
        ["stamp", file] => stamp(file, now),
        _ => fail("usage: stopwatch time N CMD… [--- CMD…]… | stamp FILE"),
    }
}

fn count(text: &str) -> usize {
    text.parse().ok().filter(|&count| count > 0).unwrap_or_else(|| fail("N is not a count"))
}

fn fail(why: &str) -> ! {
    eprintln!("stopwatch: {why}");
    exit(2)
}

/// In turn, so that whatever the machine does meanwhile hits all of them alike.
fn time(rounds: usize, words: &[&str]) {
    let commands: Vec<&[&str]> = words.split(|word| *word == "---").collect();
    let mut taken = vec![Vec::with_capacity(rounds); commands.len()];
    let mut largest = vec![0; commands.len()];
    let mut fewest = vec![i64::MAX; commands.len()];
    for round in 0..rounds {
        for (at, command) in commands.iter().enumerate() {
            let (micros, usage) = match command {
                [":create", dir] => (create(&format!("{dir}/{}-{at}-{round}", std::process::id())), Usage::default()),
                [":fsync", dir] => (fsync(&format!("{dir}/{}-{at}-{round}", std::process::id())), Usage::default()),
                [program, args @ ..] => {
                    let args: Vec<String> = args.iter().map(|arg| argument(arg, round)).collect();
                    run(program, &args)
                }
                [] => fail("an empty command"),
            };
            taken[at].push(micros);
            largest[at] = largest[at].max(usage.maxrss);
            fewest[at] = fewest[at].min(usage.minflt);
        }
    }
    for ((times, rss), faults) in taken.into_iter().zip(largest).zip(fewest) {
        print(times, rss, faults);
    }
}

/// Commands that need something else each time, like a receipt.
fn argument(arg: &str, round: usize) -> String {
    let Some(file) = arg.strip_prefix(":line:") else { return arg.to_string() };
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| fail(&format!("{file}: {error}")));
    text.lines().nth(round).unwrap_or_else(|| fail(&format!("{file} has too few lines"))).to_string()
}

/// How long it took, and what of the machine.
fn run(program: &str, args: &[String]) -> (u128, Usage) {
    let start = Instant::now();
    let child = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let child = child.unwrap_or_else(|error| fail(&format!("{program}: {error}")));
    let (mut status, mut usage) = (0, Usage::default());
    // SAFETY: both pointers are to locals of the right layout; the child is ours and waited for once.
    let waited = unsafe { wait4(child.id() as i32, &mut status, 0, &mut usage) };
    let micros = start.elapsed().as_micros();
    if waited < 0 || status != 0 {
        fail(&format!("{program} {} ended with status {status:#x}", args.join(" ")));
    }
    (micros, usage)
}

fn create(path: &str) -> u128 {
    let start = Instant::now();
    File::create_new(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")));
    start.elapsed().as_micros()
}

/// The file stays: ext4 is slow to create files for minutes after many were deleted.
fn fsync(path: &str) -> u128 {
    let mut file = File::create_new(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")));
    file.write_all(&[b'x'; 200]).unwrap_or_else(|error| fail(&format!("{path}: {error}")));
    let start = Instant::now();
    file.sync_all().unwrap_or_else(|error| fail(&format!("{path}: {error}")));
    start.elapsed().as_micros()
}

fn print(mut times: Vec<u128>, rss: i64, faults: i64) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{}\t{}\t{}\t{}\t{rss}\t{faults}", at(0), at(50), at(99), at(100));
}

fn stamp(file: &str, now: u128) {
    let id: u128 = std::env::var("MQ_ID").ok().and_then(|id| id.parse().ok()).unwrap_or_else(|| fail("no MQ_ID"));
    let line = format!("{}\t{now}\n", now.saturating_sub(id));
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| fail(&format!("{file}: {error}")));
}
