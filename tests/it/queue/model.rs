//! Random commands by random processes, on a real queue and on the reference model of [`super::reference`], compared after
//! each. The same seed does the same; a failure names its seed and what was done last.

mod settling;

use super::judge::fsck;
use super::reference::{MAX_ATTEMPTS, Message, RETAIN, Reference, State};
use super::survey::Survey;
use super::world::{OTHER, Q, body_of};
use crate::support::memory::Machine;
use crate::support::rng::Rng;
use mq::queue::name::{Id, Lease, Priority, State as Dir};
use mq::queue::{Claim, Envelope, Error, Found, Moved, Place, Queue, Receipt, Removed, Repair, Scout, Settings};
use mq::time::Time;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const SEEDS: u64 = 48;
const STEPS: usize = 250;
const WORKERS: usize = 3;
const PATHS: [&str; 2] = [Q, OTHER];
/// How many messages the second queue may hold.
const MOST: usize = 4;

/// What these did once found a fault that no seed below `SEEDS` finds: the dead-lettering of a lost claim let the next one of
/// its group come, and the claim that did so said "nothing".
const FOUND: [u64; 2] = [69, 185];

#[test]
fn random_commands_do_what_the_reference_model_says() {
    play((0..SEEDS).chain(FOUND));
}

#[test]
#[ignore = "half a minute: fifteen times as many seeds as the test above"]
fn many_random_commands_do_what_the_reference_model_says() {
    play(SEEDS..750);
}

fn play(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let mut test = Test::new(seed);
        for _ in 0..STEPS {
            test.step();
        }
    }
}

/// A process that claims: dropped, it is killed.
struct Worker {
    queues: Vec<Queue>,
    scouts: Vec<Scout>,
    claims: Vec<(Claim, String)>,
}

struct Test {
    rng: Rng,
    machine: Machine,
    reference: Reference,
    workers: Vec<Worker>,
    /// Every receipt that was ever handed out, also stale ones, with its queue and body.
    receipts: Vec<(Receipt, usize, String)>,
    sent: u32,
    /// What was done, for the message of a failure.
    seed: u64,
    log: Vec<String>,
}

impl Drop for Test {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let start = self.log.len().saturating_sub(12);
            eprintln!("seed {}, step {}; at last:\n  {}", self.seed, self.log.len(), self.log[start..].join("\n  "));
            eprintln!("{}", self.machine.listing("/"));
        }
    }
}

impl Worker {
    fn new(machine: &Machine) -> Worker {
        let disk = machine.disk();
        let queues: Vec<Queue> = PATHS.map(|path| Queue::open(&disk, Path::new(path)).unwrap()).into();
        Worker { scouts: queues.iter().map(|_| Scout::new()).collect(), queues, claims: Vec::new() }
    }
}

impl Test {
    fn new(seed: u64) -> Test {
        let machine = Machine::new(seed);
        let mut settings = Settings::default();
        settings.set("max_attempts", &MAX_ATTEMPTS.to_string()).unwrap();
        let keeps = seed % 2 == 1;
        if keeps {
            settings.set("retain", &RETAIN.as_secs().to_string()).unwrap();
        }
        Queue::create(&machine.disk(), Path::new(PATHS[0]), &settings).unwrap();
        settings.set("max_messages", &MOST.to_string()).unwrap();
        Queue::create(&machine.disk(), Path::new(PATHS[1]), &settings).unwrap();
        let workers = (0..WORKERS).map(|_| Worker::new(&machine)).collect();
        Test {
            rng: Rng::new(seed),
            machine,
            reference: Reference { keeps, ..Reference::default() },
            workers,
            receipts: Vec::new(),
            sent: 0,
            seed,
            log: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.log.push(format!("{}", self.machine.now().micros()));
        match self.rng.below(34) {
            0..=7 => self.send(),
            8 => self.send_batch(),
            9..=15 => self.claim(),
            16..=20 => self.settle(),
            21..=25 => self.settle_by_receipt(),
            26 => self.job_settles(),
            27 => self.kill(),
            28..=29 => self.advance(),
            30 => self.recover(),
            31 => self.redrive(),
            32 => self.remove(),
            _ => self.odd(),
        }
        let surveys = PATHS.map(|path| Survey::of(&self.machine, path));
        let wrong = self.reference.compare(&surveys, self.machine.now());
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.stats();
    }

    fn say(&mut self, what: impl Into<String>) {
        if let Some(last) = self.log.last_mut() {
            last.push_str("  ");
            last.push_str(&what.into());
        }
    }

    /// A process that does one thing.
    fn queue(&mut self) -> (usize, Queue) {
        let at = usize::from(self.rng.one_in(4));
        (at, Queue::open(&self.machine.disk(), Path::new(PATHS[at])).unwrap())
    }

    fn now(&self) -> Time {
        self.machine.now()
    }

    fn envelope(&mut self) -> Envelope {
        let delay = Duration::from_secs(self.rng.below(200) as u64);
        if self.rng.one_in(4) {
            let group = ["a", "b"][self.rng.below(2)];
            return Envelope { group: Some(group.to_string()), ..Envelope::default() };
        }
        Envelope {
            priority: self.rng.one_in(2).then(|| Priority::new(3 + self.rng.below(3) as u8)).flatten(),
            // Now and then it is in the past, which means now.
            due: self.rng.one_in(4).then(|| Time::from_micros(self.now().micros() - 60_000_000).plus(delay)),
            expires: self.rng.one_in(5).then(|| Time::from_micros(self.now().micros() - 20_000_000).plus(delay)),
            ..Envelope::default()
        }
    }

    fn body(&mut self) -> String {
        self.sent += 1;
        format!("message {}{}", self.sent, " and more".repeat(self.rng.below(6)))
    }

    fn was_sent(&mut self, queue: usize, body: String, envelope: &Envelope, id: Id, uid: Option<String>) {
        let state = match envelope.due.filter(|due| *due > id.time()) {
            Some(due) => State::Delayed { due },
            None => State::Ready,
        };
        let priority = envelope.priority.unwrap_or(Priority::DEFAULT).level();
        let newest = self.reference.of(queue).all(|(_, other)| other.id < id);
        assert!(newest, "ids do not rise");
        self.reference.messages.insert(
            body,
            Message {
                queue,
                state,
                priority,
                attempts: 0,
                id,
                uid,
                group: envelope.group.clone(),
                expires: envelope.expires,
                history: Vec::new(),
            },
        );
    }

    fn send(&mut self) {
        let (at, queue) = self.queue();
        let (body, envelope) = (self.body(), self.envelope());
        self.say(format!("send to {at} {body:?} {envelope:?}"));
        let mut draft = queue.draft(envelope.clone()).unwrap();
        draft.write(body.as_bytes()).unwrap();
        if self.rng.one_in(12) {
            self.say("taken back");
            return;
        }
        let sent = match draft.publish() {
            Err(Error::Limit { .. }) if self.is_too_much(at, 1) => return self.say("refused"),
            sent => sent.unwrap(),
        };
        assert!(!self.is_too_much(at, 1));
        self.was_sent(at, body, &envelope, sent.id, Some(sent.uid.as_str().to_string()));
    }

    /// Whether a send of so many must be refused.
    fn is_too_much(&self, at: usize, more: usize) -> bool {
        at == 1 && more > 0 && self.reference.held(at) + more > MOST
    }

    fn send_batch(&mut self) {
        let (at, queue) = self.queue();
        let parts: Vec<(String, Envelope)> = (0..self.rng.below(5)).map(|_| (self.body(), self.envelope())).collect();
        self.say(format!("batch to {at} {parts:?}"));
        let mut batch = queue.batch().unwrap();
        for (body, envelope) in &parts {
            batch.begin(envelope).unwrap();
            batch.write(body.as_bytes()).unwrap();
        }
        if self.rng.one_in(4) {
            self.say("taken back");
            return;
        }
        let mut ids = Vec::new();
        match batch.publish(|id| ids.push(id)) {
            Err(Error::Limit { .. }) if self.is_too_much(at, parts.len()) => return self.say("refused"),
            sent => assert!(sent.unwrap().is_none()),
        }
        assert!(!self.is_too_much(at, parts.len()));
        assert_eq!(ids.len(), parts.len());
        for ((body, envelope), id) in parts.into_iter().zip(ids) {
            self.was_sent(at, body, &envelope, id, None);
        }
    }

    fn claim(&mut self) {
        let at = usize::from(self.rng.one_in(4));
        let worker = self.rng.below(WORKERS);
        let lease = match self.rng.one_in(2) {
            true => Lease::Live,
            false => Lease::Timed(Duration::from_secs(1 + self.rng.below(120) as u64)),
        };
        let fresh = self.rng.one_in(2);
        let woken = fresh || self.rng.one_in(2);
        let Worker { queues, scouts, .. } = &mut self.workers[worker];
        if fresh {
            scouts[at] = Scout::new();
        } else if woken {
            scouts[at].woken();
        }
        let found = queues[at].claim(&mut scouts[at], lease).unwrap();
        let now = self.now();
        self.say(format!("worker {worker} claims from {at} {lease:?}, fresh {fresh}, woken {woken}"));
        let claim = match found {
            Found::Claim(claim) => claim,
            Found::TooMany => panic!("one was wanted"),
            Found::Nothing(nothing) => {
                assert!(!nothing.busy);
                self.reference.may_be_empty(at, now).unwrap_or_else(|why| panic!("nothing was found, though {why}"));
                return;
            }
        };
        let body = String::from_utf8(body_of(&claim).unwrap()).unwrap();
        self.say(format!("and gets {body:?}"));
        let allowed = self.reference.may_be_claimed(at, &body, now, fresh, woken);
        allowed.unwrap_or_else(|why| panic!("{body:?} was claimed, though {why}"));
        // In passing it may have come back first.
        let message = self.message(&body);
        if matches!(message.state, State::Orphaned | State::Timed { .. }) {
            message.record(message.attempts, "lost", false);
        }
        message.attempts += 1;
        assert_eq!(claim.attempt(), message.attempts);
        message.state = match lease {
            Lease::Live => State::Live { worker },
            Lease::Timed(lease) => State::Timed { touched: now, lease },
            Lease::Front(_) | Lease::Acked | Lease::Buried | Lease::Removed => {
                unreachable!("nobody claims by such a lease")
            }
        };
        self.receipts.push((claim.receipt(PATHS[at]), at, body.clone()));
        if lease == Lease::Live {
            self.workers[worker].claims.push((*claim, body));
        }
    }

    fn message(&mut self, body: &str) -> &mut Message {
        self.reference.messages.get_mut(body).expect("a message of the model")
    }

    fn kill(&mut self) {
        let worker = self.rng.below(WORKERS);
        self.say(format!("worker {worker} is killed"));
        self.workers[worker] = Worker::new(&self.machine);
        for message in self.reference.messages.values_mut() {
            if message.state == (State::Live { worker }) {
                message.state = State::Orphaned;
            }
        }
    }

    fn advance(&mut self) {
        let most = [1_000, 1_000_000, 60_000_000, 3_600_000_000][self.rng.below(4)];
        let by = Duration::from_micros(self.rng.next() % most);
        self.say(format!("{by:?} pass"));
        self.machine.advance(by);
    }

    fn recover(&mut self) {
        let (at, queue) = self.queue();
        self.say(format!("recover {at}"));
        if self.rng.one_in(2) {
            queue.recover().unwrap();
        } else {
            let findings = fsck(&queue, Repair::Mend).unwrap();
            self.say(format!("{findings:?}"));
            assert_eq!(fsck(&queue, Repair::Report).unwrap(), []);
        }
        let now = self.now();
        self.reference.recovered(at, now);
    }

    fn place(&mut self, queue: &Queue, wanted: &[Dir]) -> Option<Place> {
        let mut places = Vec::new();
        for state in wanted {
            let each = queue.each_place(*state, |place, _| {
                places.push(place);
                Ok(ControlFlow::Continue(()))
            });
            each.unwrap();
        }
        self.rng.pick(&places).cloned()
    }

    fn body_at(&self, at: usize, place: &Place) -> String {
        let mut found = self.reference.of(at).filter(|(_, message)| message.id == place.id());
        found.next().expect("the model knows it").0.clone()
    }

    fn redrive(&mut self) {
        let (at, queue) = self.queue();
        let Some(place) = self.place(&queue, &[Dir::Dead]) else { return };
        let body = self.body_at(at, &place);
        let elsewhere = self.rng.one_in(2);
        self.say(format!("redrive {body:?} of {at}, elsewhere {elsewhere}"));
        let to = elsewhere.then(|| Queue::open(queue.disk(), Path::new(PATHS[1 - at])).unwrap());
        let Moved::To(id) = queue.redrive(&place, to.as_ref()).unwrap() else { panic!("it was gone") };
        let message = self.message(&body);
        message.redriven();
        assert!(elsewhere || id == message.id);
        (message.id, message.attempts, message.state) = (id, 0, State::Ready);
        message.queue = if elsewhere { 1 - at } else { at };
    }

    fn remove(&mut self) {
        let (at, queue) = self.queue();
        let Some(place) = self.place(&queue, &[Dir::Ready, Dir::Delayed, Dir::Dead, Dir::Done, Dir::Claimed]) else {
            return;
        };
        let body = self.body_at(at, &place);
        self.say(format!("remove {body:?} from {at}"));
        match queue.remove(&place) {
            Ok(Removed::Removed) if place.state != Dir::Claimed => {
                self.reference.messages.remove(&body);
                queue.count_removed(u64::from(place.state != Dir::Done)).unwrap();
            }
            Err(Error::Held { by, .. }) if place.state == Dir::Claimed => {
                let live = matches!(self.message(&body).state, State::Live { .. });
                assert_eq!(by.is_some(), live, "who holds it is told if somebody does");
            }
            other => panic!("{other:?}"),
        }
    }

    /// What happens once in a while: the machine's clock goes back, or `seq` has to be made anew.
    fn odd(&mut self) {
        match self.rng.below(3) {
            0 => {
                let back = Duration::from_micros(self.rng.next() % 200_000_000);
                self.say(format!("the clock goes back by {back:?}"));
                let micros = u64::try_from(back.as_micros()).unwrap();
                self.machine.set_clock(Time::from_micros(self.now().micros() - micros));
                for path in PATHS {
                    Queue::open(&self.machine.disk(), Path::new(path)).unwrap().recover().unwrap();
                }
                let now = self.now();
                self.reference.rewound(now);
                (0..PATHS.len()).for_each(|at| self.reference.recovered(at, now));
            }
            1 => {
                self.say("another boot id");
                self.machine.reboot();
            }
            _ => {
                let at = self.rng.below(2);
                self.say(format!("seq of {at} is removed"));
                self.machine.remove(format!("{}/seq", PATHS[at]));
            }
        }
    }

    /// The counts of `stats` are those of the model.
    fn stats(&mut self) {
        let (at, queue) = self.queue();
        let stats = queue.stats().unwrap();
        let count = |wanted: fn(&State) -> bool| self.reference.bodies(at, wanted).len() as u64;
        same(stats.ready + stats.delayed, count(|state| matches!(state, State::Ready | State::Delayed { .. })));
        same(stats.claimed, count(|state| matches!(state, State::Live { .. } | State::Timed { .. } | State::Orphaned)));
        same(stats.dead, count(|state| *state == State::Dead));
        same((stats.done, stats.damaged), (count(|state| matches!(state, State::Done { .. })), 0));
    }
}

fn same<T: PartialEq + Debug>(got: T, wanted: T) {
    assert_eq!(got, wanted, "in the statistics");
}
