//! A machine with two queues, what was said about their messages, and processes that go about their business while the one
//! under test is stopped.

use super::ledger::{Lasting, Ledger};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::memory::Machine;
use mq::fs::{Disk, Store};
use mq::queue::name::{Lease, Priority};
use mq::queue::{Claim, Envelope, Error, Found, Queue, Receipt, Result, Scout, Settings};
use mq::time::Time;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub const Q: &str = "/q";
pub const OTHER: &str = "/other";
/// Made by a verb.
pub const NEW: &str = "/new";
/// Of both queues: a message that is claimed for the third time is dead-lettered when it fails.
pub const MAX_ATTEMPTS: u32 = 3;
/// The lease of the receipts that [`World::new`] hands out.
pub const LEASE: Duration = Duration::from_secs(600);

/// The disk and the settings.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub store: Store,
    pub sync: &'static str,
}

pub const PLAIN: Config = Config { store: Store::Trusted, sync: "send" };

/// What else was promised to hold, also after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    Paused,
    Resumed,
    /// The queue [`NEW`] is there.
    Created,
    /// The setting `lease` is 77 s.
    Configured,
}

#[derive(Clone, Debug)]
pub struct World {
    pub machine: Machine,
    pub config: Config,
    pub ledger: Ledger,
    /// Timed claims that were handed out, with the body of each.
    pub receipts: Vec<(Receipt, Vec<u8>)>,
    /// Who was promised a message until when.
    pub leased: BTreeMap<Vec<u8>, Time>,
    pub promised: Option<Promise>,
    /// Files that are no messages and were never sent: they may be found in `damaged/`.
    pub rubbish: usize,
}

/// A process that holds a message by its lock all the while.
pub struct Bystander {
    queue: Queue,
    claim: Claim,
}

impl World {
    /// Two queues on a flushed disk. One has a message that is leased, and two plain ones.
    pub fn new(config: Config, seed: u64) -> World {
        let machine = Machine::on(config.store, seed);
        let mut world = World {
            machine,
            config,
            ledger: Ledger::new(config.sync == "all"),
            receipts: Vec::new(),
            leased: BTreeMap::new(),
            promised: None,
            rubbish: 0,
        };
        let disk = world.machine.disk();
        for path in [Q, OTHER] {
            Queue::create(&disk, Path::new(path), &world.settings()).unwrap();
        }
        world.send(&disk, Q, b"leased", urgent(8)).unwrap();
        world.claim_timed(&disk, LEASE).unwrap();
        world.send(&disk, OTHER, b"elsewhere", Envelope::default()).unwrap();
        world.machine.settle();
        for body in [b"plain 1", b"plain 2"] {
            world.send(&disk, Q, body, Envelope::default()).unwrap();
        }
        world
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.set("max_attempts", &MAX_ATTEMPTS.to_string()).unwrap();
        settings.set("sync", self.config.sync).unwrap();
        settings
    }

    /// The same world without any process, to try something in.
    pub fn fork(&self) -> World {
        World { machine: self.machine.fork(), ..self.clone() }
    }

    /// Sends the message that a bystander is to hold: from now on the most urgent one.
    pub fn send_held(&mut self) {
        let disk = self.machine.disk();
        self.send(&disk, Q, b"held", urgent(9)).unwrap();
    }

    /// Sets a bystander on it.
    pub fn bystander(&self) -> Bystander {
        let queue = Queue::open(&self.machine.disk(), Path::new(Q)).unwrap();
        let Found::Claim(claim) = queue.claim(&mut Scout::new(), Lease::Live).unwrap() else {
            panic!("nothing to hold")
        };
        assert_eq!(body_of(&claim).unwrap(), b"held");
        Bystander { queue, claim: *claim }
    }

    /// A process for which things go by plan.
    pub fn injected(&self, plan: Plan) -> (Disk, Tape) {
        let (steps, tape) = Injected::new(self.machine.process(), plan);
        let machine = self.machine.clone();
        (Disk::new(steps.on_failed_flush(move |file| machine.flush_failed(file))), tape)
    }

    pub fn send(&mut self, disk: &Disk, path: &str, body: &[u8], envelope: Envelope) -> Result<()> {
        self.ledger.sending(body);
        let queue = Queue::open(disk, Path::new(path))?;
        let mut draft = queue.draft(envelope)?;
        // In two pieces, as a stream comes.
        let (start, rest) = body.split_at(body.len() / 2);
        draft.write(start)?;
        draft.write(rest)?;
        let sent = draft.publish()?;
        self.ledger.sent(body, Some(sent.uid.as_str()));
        Ok(())
    }

    /// Sends bodies whole or not at all.
    pub fn send_batch(&mut self, disk: &Disk, bodies: &[(&[u8], Envelope)]) -> Result<()> {
        self.ledger.together(bodies.iter().map(|(body, _)| body.to_vec()).collect());
        for (body, _) in bodies {
            self.ledger.sending(body);
        }
        let queue = Queue::open(disk, Path::new(Q))?;
        let mut batch = queue.batch()?;
        for (body, envelope) in bodies {
            batch.begin(envelope)?;
            batch.write(body)?;
        }
        // What is wrong after the commit does not unsend.
        let _ = batch.publish(|_| ())?;
        for (body, _) in bodies {
            self.ledger.sent(body, None);
        }
        Ok(())
    }

    /// Claims the next message for a receipt.
    pub fn claim_timed(&mut self, disk: &Disk, lease: Duration) -> Result<Vec<u8>> {
        let queue = Queue::open(disk, Path::new(Q))?;
        let claim = claim_one(&queue, Lease::Timed(lease))?;
        let body = body_of(&claim)?;
        self.receipts.push((claim.receipt(Q), body.clone()));
        self.leased.insert(body.clone(), disk.now().plus(lease));
        Ok(body)
    }

    /// The receipt handed out last; what becomes of it is from here on the caller's affair.
    pub fn last_receipt(&mut self) -> (Receipt, Vec<u8>) {
        let (receipt, body) = self.receipts.pop().expect("a receipt");
        self.leased.remove(&body);
        (receipt, body)
    }

    /// Takes the steps of `act` up to the first moment at which `there` holds, and stops the process there.
    pub fn stop_when(&mut self, act: impl Fn(&mut World, &Disk) -> Result<()>, there: impl Fn(&World) -> bool) {
        for n in 1.. {
            let mut tried = self.fork();
            let (disk, tape) = tried.injected(Plan::StopBefore(n));
            let _ = act(&mut tried, &disk);
            drop(disk);
            assert!(tape.struck(), "never came to the moment:\n{}", tape.trace());
            if there(&tried) {
                *self = tried;
                return;
            }
        }
    }
}

impl Bystander {
    /// Its lease has held: it can still acknowledge.
    pub fn ack(self, ledger: &mut Ledger) {
        let settled = self.claim.ack(&self.queue).expect("the holder's ack");
        assert_eq!(settled, mq::queue::Settled::Acked, "the bystander's message was taken from it");
        ledger.gone(b"held");
    }
}

/// Claims the next message; that there is none is said only by a look that saw all.
pub fn claim_one(queue: &Queue, lease: Lease) -> Result<Claim> {
    match queue.claim(&mut Scout::new(), lease)? {
        Found::Claim(claim) => Ok(*claim),
        Found::Nothing(nothing) if nothing.busy => Err(Error::Refused { why: "all were locked".into() }),
        Found::Nothing(_) => panic!("the queue was said to be empty"),
    }
}

/// The whole body, checked to its end.
pub fn body_of(claim: &Claim) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut reader = claim.message().reader();
    let mut buffer = vec![0; 4096];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(body),
            n => body.extend_from_slice(&buffer[..n]),
        }
    }
}

pub fn urgent(priority: u8) -> Envelope {
    Envelope { priority: Priority::new(priority), ..Envelope::default() }
}

pub fn due_at(due: Time) -> Envelope {
    Envelope { due: Some(due), ..Envelope::default() }
}

/// Whether a place holds after a power cut.
pub fn lasting(config: Config) -> Lasting {
    if config.sync == "none" { Lasting::Kill } else { Lasting::Cut }
}
