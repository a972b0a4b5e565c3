//! The loop: watch, then look, then wait, and never the other way round.
//!
//! A look claims as long as a slot is free. A wait is one poll(2) over the signal pipe, the watch on the queue and the
//! stderr of each job, until the next thing is due. What happens between the look and the wait stays in the watch's queue or
//! in the signal pipe, so that the wait ends at once.

mod ahead;
mod cancel;
mod claim;
mod deliver;
mod finish;
mod gather;
mod hand;
mod wait;

use super::command::Command;
use super::jobs::{Job, reap};
use super::limits::Files;
use super::observer::{Observer, Standing};
use super::options::Options;
use super::signals::Signals;
use super::start::Starter;
use super::stderr::{CHUNK, Relay};
use super::verdict::Stopped;
use super::{Ended, Totals, Why};
use crate::fs::{Noticed, Watch};
use crate::queue::{Claim, Error, Queue, Scout};
use ahead::Ahead;
use anyhow::Result;
use claim::POLL;
use hand::Pace;
use std::time::{Duration, Instant};

/// How long to wait after something failed, and no longer than the last when it fails again and again.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LAST: Duration = Duration::from_secs(30);
/// The stderr of jobs that are over, and whose children still write to it: so many pipes are read on.
const STRAGGLERS: usize = 32;
/// How much is read from a job's stderr once it is over. A pipe holds 64 KiB, so more comes from a child that writes on.
const LAST_READS: usize = 4;

/// Works until the queue, the options or a signal says that it is enough. Jobs that run are always waited for.
///
/// # Errors
/// Before anything is claimed: signals can't be handled, or jobs can't be prepared. Later failures are in [`Ended`].
pub fn run(queue: Queue, command: &Command, options: &Options, observer: &mut dyn Observer) -> Result<Ended> {
    let now = Instant::now();
    let signals = Signals::install()?;
    let raised = options.batch.map(|batch| Files::raise(options.jobs.get(), batch.most.get()));
    let (files, batch_most) = raised.map_or((None, 1), |(files, most)| (Some(files), most));
    let starter = Starter::new(command, options, files)?;
    // Without a watch we poll; what else is wrong shows in the look that follows.
    let watch = queue.watch().ok().flatten();
    let worker = Worker {
        queue,
        scout: Scout::new(),
        ahead: Ahead::default(),
        options,
        starter,
        observer,
        signals,
        watch,
        jobs: Vec::new(),
        in_hand: Vec::new(),
        pace: Pace::unknown(),
        gathered: Vec::new(),
        gather_until: None,
        batch_most,
        singly: 0,
        stragglers: Vec::new(),
        buffer: vec![0; CHUNK],
        look_at: now,
        rest_until: now,
        watch_at: now + POLL,
        cancel_at: now,
        listen_at: now,
        noticed: Noticed::default(),
        probe: None,
        unheard: false,
        doubt_until: now,
        until: options.until.time.and_then(|time| now.checked_add(time)),
        handled: 0,
        pause: PAUSE_FIRST,
        trouble: None,
        pause_told: false,
        stops_heeded: 0,
        stop_at: None,
        end: None,
        totals: Totals::default(),
        dead_lettered: false,
        unsettled: None,
    };
    Ok(worker.work())
}

struct Worker<'w> {
    queue: Queue,
    scout: Scout,
    ahead: Ahead,
    options: &'w Options,
    starter: Starter<'w>,
    observer: &'w mut dyn Observer,
    signals: Signals,
    watch: Option<Watch>,
    jobs: Vec<Job>,
    /// Claimed with the messages before them, and to be started at once.
    in_hand: Vec<Claim>,
    pace: Pace,
    /// Claimed, for the next batch.
    gathered: Vec<Claim>,
    /// When that batch starts at the latest, once it has begun.
    gather_until: Option<Instant>,
    batch_most: usize,
    /// So many messages are claimed one by one: together they fit in no frame.
    singly: u32,
    /// The stderr of jobs that are over and have left children behind, oldest first.
    stragglers: Vec<Relay>,
    buffer: Vec<u8>,
    /// When to look for a message next, unless something happens before.
    look_at: Instant,
    /// Before then nothing is claimed, whatever happens: jobs can't be started at the moment.
    rest_until: Instant,
    /// When to try again to open a watch, where there is none.
    watch_at: Instant,
    /// When to look whether a running job's message was cancelled.
    cancel_at: Instant,
    /// While nothing can be claimed: what happens in the queue is not heard before then.
    listen_at: Instant,
    /// What has happened in the queue since the last look.
    noticed: Noticed,
    /// A claimed message was closed, and may be free soon: how long after the next look to look again.
    probe: Option<Duration>,
    /// Something has happened for a while that those before us in line should have heard.
    unheard: bool,
    /// Until then no line is stood in.
    doubt_until: Instant,
    /// The end of `--for`.
    until: Option<Instant>,
    /// Messages that count for `-n`.
    handled: u64,
    /// How long to wait after the next trouble.
    pause: Duration,
    /// What went wrong last, and when it was told; none since the last look or start that succeeded.
    trouble: Option<(anyhow::Error, Instant)>,
    pause_told: bool,
    /// How many stop signals have been acted on.
    stops_heeded: u32,
    /// When `--stop-timeout` is over.
    stop_at: Option<Instant>,
    /// Nothing more is claimed, and why. The run ends with its last job.
    end: Option<Why>,
    totals: Totals,
    dead_lettered: bool,
    unsettled: Option<anyhow::Error>,
}

impl Worker<'_> {
    fn work(mut self) -> Ended {
        loop {
            self.heed();
            self.reap();
            self.tick();
            self.look();
            self.heed_cancellations();
            if self.jobs.is_empty()
                && self.gathered.is_empty()
                && let Some(why) = self.end.take()
            {
                let Worker { totals, dead_lettered, unsettled, .. } = self;
                return Ended { totals, dead_lettered, why, unsettled };
            }
            self.wait();
        }
    }

    /// Acts on signals.
    fn heed(&mut self) {
        if self.signals.status() {
            self.observer.asked(&self.standing());
        }
        let Some((stops, signal)) = self.signals.stops().filter(|(stops, _)| *stops > self.stops_heeded) else {
            return;
        };
        let now = Instant::now();
        if self.stops_heeded == 0 {
            self.end = Some(Why::Signal(signal));
            self.stop_at = self.options.stop_timeout.and_then(|limit| now.checked_add(limit));
        }
        self.stops_heeded = stops;
        if stops >= 2 {
            self.jobs.iter_mut().for_each(|job| job.stop(Stopped::Shutdown, now));
        }
        if stops >= 3 {
            self.jobs.iter_mut().for_each(Job::kill);
        }
        if !self.jobs.is_empty() {
            self.observer.stopping(signal, stops, &self.standing());
        }
    }

    /// Finishes jobs whose process has ended.
    fn reap(&mut self) {
        if !self.signals.child() {
            return;
        }
        while let Some((pid, exit)) = reap() {
            let Some(at) = self.jobs.iter().position(|job| job.pid() == pid) else { continue };
            if let Some(finished) = self.jobs[at].reaped(exit, Instant::now()) {
                self.finish(at, finished);
            }
        }
    }

    /// Does what is due with jobs.
    fn tick(&mut self) {
        let now = Instant::now();
        if self.stop_at.is_some_and(|at| at <= now) {
            self.stop_at = None;
            self.jobs.iter_mut().for_each(|job| job.stop(Stopped::Shutdown, now));
        }
        self.let_go(now);
        // From the end, since a job that is finished gives its place to the last one.
        for at in (0..self.jobs.len()).rev() {
            if let Some(finished) = self.jobs[at].tick(now) {
                self.finish(at, finished);
            }
        }
    }

    fn look(&mut self) {
        self.look_on();
        self.empty_hands();
    }

    /// Claims and starts, as long as there is a free slot, something to claim, and no reason to end.
    fn look_on(&mut self) {
        while self.end.is_none() && self.free() {
            let now = Instant::now();
            if self.options.until.count.is_some_and(|count| self.handled >= count) {
                self.end = Some(Why::Count);
            } else if self.until.is_some_and(|until| until <= now) {
                // A queue that can't be read is not one that had nothing.
                self.end = Some(self.trouble.take().map_or(Why::Time, |(error, _)| Why::Failed(error)));
            } else if now < self.look_at.max(self.rest_until) || self.signals.stops().is_some() {
                return self.nothing_more();
            } else {
                match self.next_message() {
                    Ok(Some(claim)) => {
                        self.hand_over();
                        self.take(claim);
                    }
                    Ok(None) => self.nothing_more(),
                    // Not to be mended by waiting.
                    Err(error @ (Error::Moved { .. } | Error::NoQueue { .. } | Error::BadQueue { .. })) => {
                        self.end = Some(Why::Failed(error.into()));
                    }
                    Err(error) => {
                        self.start_gathered();
                        self.troubled(error.into());
                    }
                }
            }
        }
        self.no_more_batches();
    }

    fn free(&self) -> bool {
        self.jobs.len() < self.options.jobs.get()
    }

    /// Something failed that may succeed later. A run that is to end by itself ends with it, once its jobs are over; any
    /// other waits, longer each time, and is woken by what happens in the queue.
    fn troubled(&mut self, error: anyhow::Error) {
        if self.options.until.drain.is_some() && self.jobs.is_empty() {
            self.end = Some(Why::Failed(error));
            return;
        }
        let now = Instant::now();
        self.look_at = now + self.pause;
        let told = match &self.trouble {
            Some((last, told)) if now - *told < PAUSE_LAST && format!("{last:#}") == format!("{error:#}") => *told,
            _ => {
                self.observer.troubled(&error, Some(self.pause));
                now
            }
        };
        self.trouble = Some((error, told));
        self.pause = (self.pause * 2).min(PAUSE_LAST);
    }

    /// A look or a start has succeeded.
    fn relieved(&mut self) {
        self.pause = PAUSE_FIRST;
        self.trouble = None;
    }

    fn start(&mut self, claim: Box<Claim>) {
        match self.starter.start(&self.queue, claim) {
            Ok(mut job) => {
                self.relieved();
                self.handled += 1;
                self.totals.started += 1;
                let now = Instant::now();
                job.let_go_at = Worker::let_go_at(&job.claim, now);
                self.observer.started(job.running(now));
                self.jobs.push(job);
            }
            Err((claim, not_started)) => self.not_started(*claim, not_started),
        }
    }

    fn standing(&self) -> Standing {
        let now = Instant::now();
        Standing { totals: self.totals, running: self.jobs.iter().map(|job| job.running(now)).collect() }
    }
}
