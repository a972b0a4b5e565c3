//! Every way in which two processes come between one another, and at each moment of it every disk that an accident can leave.

use super::super::ledger::Since;
use super::super::world::{Config, World};
use super::acts::{Act, Party, Said, Shared};
use super::oracle::judge;
use super::scene::{Scene, begun};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::memory::Machine;
use mq::fs::Disk;
use mq::queue::{Error, Result};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Two acts that race, and what they find.
pub struct Pair {
    pub name: &'static str,
    pub scene: Scene,
    pub acts: [(&'static str, Act); 2],
}

/// How much of it.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Of the steps of the first, one of so many.
    pub stride: usize,
    /// The second is stopped at each of its changes as well, and the first goes on.
    pub stopped: bool,
    /// At most so many disks for one beginning of the names.
    pub most: u64,
}

/// What was done, in all.
#[derive(Default)]
pub struct Tally {
    /// Moments at which somebody had changed something, in each of the ways to come there.
    pub moments: AtomicU64,
    /// Accidents at those of them that differ: a kill of both, and each legal subset of what was not flushed.
    pub accidents: AtomicU64,
    /// What they leave, as often as it differs in what is on the disk or in what was promised. Each was mended and judged.
    pub states: AtomicU64,
    /// Beginnings of the names, and those of them with more subsets than were looked at.
    pub beginnings: AtomicU64,
    pub sampled: AtomicU64,
    seen: [Mutex<HashSet<u64>>; 16],
}

impl Tally {
    fn fresh(&self, what: impl Hash) -> bool {
        let mark = hash(what);
        let shard = &self.seen[usize::try_from(mark % 16).unwrap_or(0)];
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(mark)
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A race of which one way is run at a time.
struct Race {
    what: String,
    /// The first is the one that is interrupted.
    acts: [Act; 2],
    world: World,
    steps: usize,
    most: u64,
}

/// Runs all pairs under all configurations, on all cores.
pub fn explore(pairs: &[Pair], configs: &[Config], effort: Effort) -> Tally {
    let tally = Arc::new(Tally::default());
    let mut races = Vec::new();
    for pair in pairs {
        for &config in configs {
            let mut world = World::empty(config, 1);
            (pair.scene)(&mut world);
            world.machine.stand_still();
            let [one, other] = pair.acts;
            let orders = [(one, other), (other, one)];
            // The same act twice has one order.
            let orders = if one.0 == other.0 { &orders[..1] } else { &orders[..] };
            for (first, second) in orders {
                let what = format!("{}: {} interrupted by {}, in {config:?}", pair.name, first.0, second.0);
                let mut race =
                    Race { what, acts: [first.1, second.1], world: world.fork(), steps: 0, most: effort.most };
                race.steps = race.alone();
                races.push(race);
            }
        }
    }
    let start = |race: usize| race % effort.stride;
    let steps = |(at, race): (usize, &Race)| (start(at)..race.steps + 1).step_by(effort.stride).map(move |n| (at, n));
    let work: Vec<(usize, usize)> = races.iter().enumerate().flat_map(steps).collect();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(&(race, n)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    races[race].at(n as u64 + 1, effort, &tally);
                }
            });
        }
    });
    Arc::into_inner(tally).expect("all have ended")
}

impl Race {
    /// How many steps the first takes, undisturbed.
    fn alone(&self) -> usize {
        let shared = begun(&self.world);
        let (steps, tape) = Injected::new(shared.machine.process(), Plan::Healthy);
        let party = Party { shared, disk: Disk::new(steps), name: "the first" };
        (self.acts[0])(&party).unwrap_or_else(|error| panic!("{}: it fails by itself: {error}", self.what));
        usize::try_from(tape.steps()).unwrap_or(usize::MAX)
    }

    /// All that can happen when the second comes before step `n` of the first.
    fn at(&self, n: u64, effort: Effort, tally: &Arc<Tally>) {
        let changing = self.interrupted(n, Plan::Healthy, tally);
        if effort.stopped {
            for m in changing {
                self.interrupted(n, Plan::StopBefore(m), tally);
            }
        }
        self.stopped(n, tally);
    }

    /// The first is held up before step `n` until the second has done its part, by this plan, and goes on. Returns the steps
    /// of the second by which it has changed something.
    fn interrupted(&self, n: u64, plan: Plan, tally: &Arc<Tally>) -> Vec<u64> {
        let shared = begun(&self.world);
        let mut telling = Telling::new(format!("{}, before step {n}, {plan:?}", self.what), shared.machine.clone());
        let look = Arc::new(Look::new(shared.clone(), tally.clone(), self.most));
        let (steps, tape) = Injected::new(shared.machine.process(), Plan::Healthy);
        telling.tapes.push(("the first", tape.clone()));
        let changing = Arc::new(Mutex::new(Vec::new()));
        let (then, second, tell, watch) = (shared.clone(), self.acts[1], changing.clone(), look.clone());
        let (tapes, kept) = (Arc::new(Mutex::new(None)), telling.second.clone());
        let slot = tapes.clone();
        let other = move || {
            let (steps, tape) = Injected::new(then.machine.process(), plan);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(tape.clone());
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(tape.clone());
            watch.begin();
            let each = watch.clone();
            let steps = steps.watched(move |m| {
                if each.look(&|| format!("before step {m} of the second")) {
                    tell.lock().unwrap_or_else(PoisonError::into_inner).push(m);
                }
            });
            let outcome = second(&Party { shared: then, disk: Disk::new(steps), name: "the second" });
            honest(&outcome, &tape);
            watch.look(&|| "after the second".into());
        };
        let again = other.clone();
        let goes_on = look.clone();
        let steps = steps.meanwhile(n, other).watched(move |k| {
            goes_on.look(&|| format!("before step {k} of the first"));
        });
        let outcome = (self.acts[0])(&Party { shared, disk: Disk::new(steps), name: "the first" });
        honest(&outcome, &tape);
        if tape.steps() < n {
            // It comes when the first has ended.
            again();
        }
        look.look(&|| "when both have ended".into());
        changing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first is killed before step `n`, and then the second comes.
    fn stopped(&self, n: u64, tally: &Arc<Tally>) {
        let shared = begun(&self.world);
        let mut telling = Telling::new(format!("{}, stopped before step {n}", self.what), shared.machine.clone());
        let look = Arc::new(Look::new(shared.clone(), tally.clone(), self.most));
        let (steps, tape) = Injected::new(shared.machine.process(), Plan::StopBefore(n));
        telling.tapes.push(("the first", tape));
        let _ = (self.acts[0])(&Party { shared: shared.clone(), disk: Disk::new(steps), name: "the first" });
        look.begin();
        let (steps, tape) = Injected::new(shared.machine.process(), Plan::Healthy);
        telling.tapes.push(("the second", tape.clone()));
        let each = look.clone();
        let steps = steps.watched(move |m| {
            each.look(&|| format!("before step {m} of the second"));
        });
        let outcome = (self.acts[1])(&Party { shared, disk: Disk::new(steps), name: "the second" });
        honest(&outcome, &tape);
        look.look(&|| "after the second".into());
    }
}

/// Whoever is not stopped succeeds, or has lost a race.
fn honest(outcome: &Result<()>, tape: &Tape) {
    use Error::{Busy, Held, Lost, NoMessage, Raced, Refused};
    let lost = matches!(
        outcome,
        Ok(()) | Err(Busy { .. } | Held { .. } | Lost { .. } | NoMessage { .. } | Raced { .. } | Refused { .. })
    );
    assert!(lost || tape.struck(), "{outcome:?}");
}

/// Looks into each new moment of a run.
struct Look {
    shared: Arc<Shared>,
    tally: Arc<Tally>,
    most: u64,
    /// Looking has begun, and this is what was last seen.
    last: Mutex<Option<(u64, u64)>>,
}

impl Look {
    fn new(shared: Arc<Shared>, tally: Arc<Tally>, most: u64) -> Look {
        Look { shared, tally, most, last: Mutex::new(None) }
    }

    /// What was there before is for other runs to look at.
    fn begin(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((u64::MAX, 0));
        self.look(&|| "before the second".into());
    }

    /// Whether there is something new, which has then been judged.
    fn look(&self, when: &dyn Fn() -> String) -> bool {
        let said: Said = self.shared.said().clone();
        let told = hash(&said.ledger);
        let now = (self.shared.machine.changes(), told);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last == now) {
            return false;
        }
        *last = Some(now);
        drop(last);
        let (moment, tally) = (self.shared.machine.moment(), &self.tally);
        tally.moments.fetch_add(1, Ordering::Relaxed);
        let seen = moment.seen();
        if !tally.fresh((moment.mark(&seen), moment.journal.mark(), moment.clock(), told)) {
            return true;
        }
        if tally.fresh((Since::Kill, moment.mark(&seen), told)) {
            tally.states.fetch_add(1, Ordering::Relaxed);
            self.accident(&moment.with(seen, false), &said, Since::Kill, &|| format!("a kill of both {}", when()));
        }
        let reach = moment.journal.every_cut(
            self.most,
            |mark| tally.fresh((moment.clock(), mark, told)),
            |tree, how| {
                if tally.fresh((Since::Cut, moment.mark(&tree), told)) {
                    tally.states.fetch_add(1, Ordering::Relaxed);
                    let what = || format!("a power cut {}, of which {}", when(), how());
                    self.accident(&moment.with(tree, true), &said, Since::Cut, &what);
                }
            },
        );
        tally.accidents.fetch_add(1 + reach.subsets, Ordering::Relaxed);
        tally.beginnings.fetch_add(reach.beginnings, Ordering::Relaxed);
        tally.sampled.fetch_add(reach.sampled, Ordering::Relaxed);
        true
    }

    fn accident(&self, machine: &Machine, said: &Said, since: Since, what: &dyn Fn() -> String) {
        let judged = std::panic::AssertUnwindSafe(|| judge(machine, said.ledger.clone(), since));
        if let Err(panic) = std::panic::catch_unwind(judged) {
            eprintln!("after {}, and now:\n{}", what(), machine.listing("/"));
            std::panic::resume_unwind(panic);
        }
    }
}

/// Says, when a test fails, where it was.
struct Telling {
    what: String,
    machine: Machine,
    tapes: Vec<(&'static str, Tape)>,
    second: Arc<Mutex<Option<Tape>>>,
}

impl Telling {
    fn new(what: String, machine: Machine) -> Telling {
        Telling { what, machine, tapes: Vec::new(), second: Arc::default() }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let second = self.second.lock().unwrap_or_else(PoisonError::into_inner).take();
            let tapes = self.tapes.drain(..).chain(second.map(|tape| ("the second", tape)));
            let traces: String = tapes.map(|(who, tape)| format!("{who}:\n{}", tape.trace())).collect();
            eprintln!("{}\n{traces}and then:\n{}", self.what, self.machine.listing("/"));
        }
    }
}
