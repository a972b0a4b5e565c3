//! A machine with two queues, what was said about their messages, and processes that go about their business while the one
//! under test is stopped.

use super::ledger::{Lasting, Ledger};
use crate::support::inject::{Injected, Plan, Tape};
use crate::support::memory::{Cut, Machine};
use mq::fs::{Access, Disk, File, Store};
use mq::queue::name::{Lease, Priority, State};
use mq::queue::{Batch, Claim, Draft, Envelope, Error, Found, Place, Queue, Receipt, Result, Scout, Settings, Settled};
use mq::time::Time;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
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
    /// A process that holds a message by its lock all the while, and a receipt for it.
    holder: Option<Arc<File>>,
    held: Option<Receipt>,
    /// Files that are no messages and were never sent: they may be found in `damaged/`.
    pub rubbish: usize,
    /// What stood in [`OTHER`] at first.
    elsewhere: Vec<String>,
}

/// A process in the middle of a send and of a batch.
pub struct Bystander<'q> {
    draft: Draft<'q>,
    batch: Batch<'q>,
}

impl World {
    /// One empty queue.
    pub fn empty(config: Config, seed: u64) -> World {
        let world = World::without(config, seed);
        Queue::create(&world.machine.disk(), Path::new(Q), &world.settings()).unwrap();
        world.machine.settle();
        world
    }

    fn without(config: Config, seed: u64) -> World {
        World {
            machine: Machine::on(config.store, seed),
            config,
            ledger: Ledger::new(config.sync == "all"),
            receipts: Vec::new(),
            leased: BTreeMap::new(),
            promised: None,
            holder: None,
            held: None,
            rubbish: 0,
            elsewhere: Vec::new(),
        }
    }

    /// Two queues on a flushed disk. In one a message is leased, one is held, and two are plain.
    pub fn new(config: Config, seed: u64) -> World {
        let mut world = World::without(config, seed);
        let disk = world.machine.disk();
        for path in [Q, OTHER] {
            Queue::create(&disk, Path::new(path), &world.settings()).unwrap();
        }
        world.send(&disk, Q, b"leased", urgent(8)).unwrap();
        world.claim_timed(&disk, LEASE).unwrap();
        world.send(&disk, Q, b"held", urgent(9)).unwrap();
        let queue = world.open();
        world.held = Some(claim_one(&queue, Lease::Live).unwrap().receipt(Q));
        world.hold();
        world.send(&disk, OTHER, b"elsewhere", Envelope::default()).unwrap();
        world.machine.settle();
        world.elsewhere = world.machine.files(OTHER);
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

    /// The same world with no process but the holder, to try something in.
    pub fn fork(&self) -> World {
        let mut world = World { machine: self.machine.fork(), holder: None, ..self.clone() };
        if self.holder.is_some() {
            world.hold();
        }
        world
    }

    /// The same world after a power cut.
    pub fn cut(&self, cut: Cut) -> World {
        World { machine: self.machine.crash(cut), holder: None, ..self.clone() }
    }

    /// Locks what is held, past the engine, which would recover this and that in passing.
    fn hold(&mut self) {
        let disk = self.machine.disk();
        let claimed = disk.open_queue(Path::new("/q/claimed")).unwrap();
        let id = self.held.as_ref().expect("a receipt").id().to_string();
        let names = disk.names(&claimed).unwrap();
        let (name, _) =
            names.iter().find(|(name, _)| name.to_string_lossy().starts_with(&id)).expect("a claimed message");
        let file = disk.open(&claimed, name, Access::Write).unwrap();
        assert!(disk.try_lock(&file).unwrap());
        self.holder = Some(Arc::new(file));
    }

    /// The same for two worlds of which whoever comes next finds the same, and must find the same.
    pub fn mark(&self) -> u64 {
        let moment = self.machine.moment();
        let mut hasher = DefaultHasher::new();
        (moment.mark(&moment.seen()), moment.clock(), &self.ledger, self.rubbish).hash(&mut hasher);
        format!("{:?}", (&self.receipts, &self.leased, self.promised, &self.held, self.is_held())).hash(&mut hasher);
        hasher.finish()
    }

    /// The queues in which anything has happened since.
    pub fn queues(&self) -> &'static [&'static str] {
        if self.machine.files(OTHER) == self.elsewhere { &[Q] } else { &[Q, OTHER] }
    }

    pub fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// The holder's job acknowledges, and both end.
    pub fn settle_held(&mut self) {
        if self.holder.is_some() {
            let queue = self.open();
            let claim = queue.redeem(self.held.as_ref().expect("a receipt"), None).expect("the holder's receipt");
            assert_eq!(claim.ack(&queue).expect("the holder's ack"), Settled::Acked, "it was taken from its holder");
            self.ledger.gone(b"held");
            self.holder = None;
        }
    }

    /// The queue as a healthy process has it open.
    pub fn open(&self) -> Queue {
        Queue::open(&self.machine.disk(), Path::new(Q)).unwrap()
    }

    /// A process for which things go by plan.
    pub fn injected(&self, plan: Plan) -> (Disk, Tape) {
        let (steps, tape) = Injected::new(self.machine.process(), plan);
        let machine = self.machine.clone();
        (Disk::new(steps.on_failed_flush(move |file| machine.flush_failed(file))), tape)
    }

    /// A process whose steps are told to `refuses`.
    pub fn refusing(&self, refuses: impl Fn(&str) -> Option<Errno> + Send + Sync + 'static) -> Disk {
        let (steps, _) = Injected::new(self.machine.process(), Plan::Healthy);
        Disk::new(steps.refusing(refuses))
    }

    /// A process on a disk that has no room for another directory, and so for the opening of a pack.
    pub fn without_room(&self) -> Disk {
        self.refusing(|step| step.starts_with("make_dir").then_some(Errno::NOSPC))
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

impl<'q> Bystander<'q> {
    pub fn new(queue: &'q Queue) -> Bystander<'q> {
        let mut draft = queue.draft(Envelope::default()).unwrap();
        draft.write(b"written ").unwrap();
        let mut batch = queue.batch().unwrap();
        batch.begin(&Envelope::default()).unwrap();
        batch.write(b"gathered slowly 1").unwrap();
        Bystander { draft, batch }
    }

    /// Goes on as if nothing had happened: nobody has taken anything from it.
    pub fn finish(mut self, ledger: &mut Ledger) {
        self.draft.write(b"slowly").expect("a write");
        let sent = self.draft.publish().expect("the bystander's send");
        ledger.sent(b"written slowly", Some(sent.uid.as_str()));
        self.batch.begin(&urgent(2)).expect("one more in the batch");
        self.batch.write(b"gathered slowly 2").expect("a write");
        assert!(self.batch.publish(|_| ()).expect("the bystander's batch").is_none());
        ledger.sent(b"gathered slowly 1", None);
        ledger.sent(b"gathered slowly 2", None);
    }
}

/// What nobody alone in a queue should meet with.
pub fn unexpected(what: &str) -> Error {
    Error::Refused { why: what.to_string() }
}

/// What stands in one state, in the order of a look.
pub fn places(queue: &Queue, state: State) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    queue.each_place(state, |place, _| {
        places.push(place);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(places)
}

/// Claims and acknowledges all that can be had; the bodies, in the order in which they came.
pub fn drain(queue: &Queue) -> Vec<String> {
    let (mut scout, mut bodies) = (Scout::new(), Vec::new());
    while let Found::Claim(claim) = queue.claim(&mut scout, Lease::Live).unwrap() {
        bodies.push(String::from_utf8(body_of(&claim).unwrap()).unwrap());
        assert_eq!(claim.ack(queue).unwrap(), Settled::Acked);
    }
    bodies
}

/// Claims the next message.
pub fn claim_one(queue: &Queue, lease: Lease) -> Result<Claim> {
    claim_by(&mut Scout::new(), queue, lease)
}

/// The same by one that wants more than one, or in a way of its own.
pub fn claim_by(scout: &mut Scout, queue: &Queue, lease: Lease) -> Result<Claim> {
    match queue.claim(scout, lease)? {
        Found::Claim(claim) => Ok(*claim),
        Found::Nothing(nothing) if nothing.busy => Err(Error::Busy { path: queue.path().to_path_buf(), by: None }),
        Found::Nothing(_) | Found::TooMany => Err(unexpected("nothing to claim")),
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
