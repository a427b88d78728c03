//! Which replica leads.
//!
//! - *lease*: the object that names the holder. It is never deleted, so its count of transitions only grows.
//! - *term*: one time of leading; its number is the lease's count of transitions, which fences commands and writes.
//! - *given up*: the holder could not renew within the renew deadline. That is shorter than the time after which another
//!   replica may take the lease, so a partitioned leader has stopped before the next one starts.
//!
//! A lease has expired when its record has not changed for its duration by our own monotonic clock: the clocks of two
//! machines are never compared.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use springtide_runtime::clock::Clock;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How the election is held.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Who we are: "POD@HOST:PORT".
    pub identity: String,
    /// Another may take over when the record has not changed for this long.
    pub lease_duration: Duration,
    /// A holder that could not renew for this long gives up.
    pub renew_deadline: Duration,
    /// Between two attempts.
    pub retry_period: Duration,
}

/// The leader as followers know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderHint {
    /// "HOST:PORT" of its fleet service; empty while nobody is known to lead.
    pub address: String,
    /// Transitions of the lease.
    pub transitions: u64,
    /// How often the lease was seen to change: whoever holds it is alive.
    pub changes: u64,
}

/// What the election publishes.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Our term while we lead.
    pub term: watch::Receiver<Option<u64>>,
    /// Who leads.
    pub leader: watch::Receiver<LeaderHint>,
    /// Our own "HOST:PORT", as others are told it.
    pub address: String,
    /// Held by whoever writes as the leader: the lease is released only when it is free.
    pub writers: Arc<Mutex<()>>,
}

/// Our part in the election.
pub struct Election {
    leases: Api<Lease>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    term: watch::Sender<Option<u64>>,
    leader: watch::Sender<LeaderHint>,
    writers: Arc<Mutex<()>>,
    held: Option<Held>,
    observed: Option<Observed>,
    /// This process has held the lease.
    has_led: bool,
    /// How often the lease was seen to change.
    changes: u64,
}

/// The lease as we wrote it, and when we began to.
struct Held {
    lease: Lease,
    renewed: Instant,
}

/// Another's lease as we saw it, and when it last changed.
struct Observed {
    spec: LeaseSpec,
    changed: Instant,
}

impl Observed {
    /// From when on it may be taken, if it does not change.
    fn ends(&self, settings: &Settings) -> Instant {
        let seconds = self.spec.lease_duration_seconds.unwrap_or(0);
        let theirs = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        self.changed + settings.lease_duration.max(theirs)
    }
}

/// The longest wait at the end for writers to stop and the lease to be released.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

impl Election {
    /// A candidate.
    pub fn new(client: Client, settings: Settings, clock: Arc<dyn Clock>) -> (Self, Standing) {
        let (term, term_receiver) = watch::channel(None);
        let (leader, leader_receiver) = watch::channel(LeaderHint::default());
        let writers = Arc::new(Mutex::new(()));
        let standing = Standing {
            term: term_receiver,
            leader: leader_receiver,
            address: address_of(&settings.identity),
            writers: writers.clone(),
        };
        let leases = Api::namespaced(client, &settings.namespace);
        (
            Self {
                leases,
                settings,
                clock,
                term,
                leader,
                writers,
                held: None,
                observed: None,
                has_led: false,
                changes: 0,
            },
            standing,
        )
    }

    /// Takes part until `shutdown`, then releases the lease.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let started = Instant::now();
            let deadline =
                self.held.as_ref().map_or(started, |held| held.renewed) + self.settings.renew_deadline;
            let attempt = tokio::select! {
                () = shutdown.cancelled() => break,
                attempt = tokio::time::timeout_at(deadline, self.attempt(started)) => attempt,
            };
            if let Ok(Err(error)) = attempt {
                tracing::warn!(%error, "lease not reached");
            }
            let now = Instant::now();
            if self
                .held
                .as_ref()
                .is_some_and(|held| now >= held.renewed + self.settings.renew_deadline)
            {
                tracing::warn!("lease not renewed in time, giving up");
                self.lose();
            }
            let wake = (now + self.settings.retry_period).min(self.latest_wake(now));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        self.release().await;
    }

    /// A holder is back before it has to give up; others at the instant from which they may take over.
    fn latest_wake(&self, now: Instant) -> Instant {
        let renewed = self.held.as_ref().map(|held| held.renewed);
        let give_up = renewed.map(|renewed| renewed + self.settings.renew_deadline);
        let take_over = || {
            let lease_ends = self.observed.as_ref()?.ends(&self.settings);
            (lease_ends > now).then_some(lease_ends)
        };
        give_up
            .or_else(take_over)
            .unwrap_or(now + self.settings.retry_period)
    }

    async fn attempt(&mut self, started: Instant) -> Result<(), kube::Error> {
        match self.held.as_ref().map(|held| held.lease.clone()) {
            Some(lease) => self.renew(lease, started).await,
            None => self.acquire(started).await,
        }
    }

    async fn renew(&mut self, mut lease: Lease, started: Instant) -> Result<(), kube::Error> {
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(self.clock.now()));
        match self.replace(&lease).await {
            Ok(lease) => {
                self.held = Some(Held {
                    lease,
                    renewed: started,
                });
                Ok(())
            }
            Err(error) if is_conflict(&error) => {
                // Either a write of ours arrived though its answer did not, or another holds it.
                let current = self.leases.get_opt(&self.settings.lease).await?;
                match current.filter(|lease| holder(lease) == self.settings.identity) {
                    Some(lease) => self.held = self.held.take().map(|held| Held { lease, ..held }),
                    None => self.lose(),
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn acquire(&mut self, started: Instant) -> Result<(), kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.settings.lease).await? else {
            let created = self
                .leases
                .create(&PostParams::default(), &self.claim(ObjectMeta::default(), 1))
                .await;
            return self.settle(created, started);
        };
        // What was read may be as young as the answer: counting from before the question, another would be taken for gone while
        // it still leads.
        let read = Instant::now();
        self.observe(&lease, read);
        if !self.is_free(&lease, read) {
            return Ok(());
        }
        let claim = self.claim(lease.metadata.clone(), transitions(&lease) + 1);
        let replaced = self.replace(&claim).await;
        self.settle(replaced, started)
    }

    fn settle(&mut self, written: Result<Lease, kube::Error>, started: Instant) -> Result<(), kube::Error> {
        match written {
            Ok(lease) => {
                let term = transitions(&lease);
                tracing::info!(term, "leading");
                self.leader.send_replace(LeaderHint {
                    address: address(&lease),
                    transitions: term,
                    changes: self.changes,
                });
                self.held = Some(Held {
                    lease,
                    renewed: started,
                });
                self.observed = None;
                self.has_led = true;
                self.term.send_replace(Some(term));
                Ok(())
            }
            // Another was faster.
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn observe(&mut self, lease: &Lease, now: Instant) {
        let spec = lease.spec.clone().unwrap_or_default();
        if self
            .observed
            .as_ref()
            .is_none_or(|observed| observed.spec != spec)
        {
            self.observed = Some(Observed { spec, changed: now });
            self.changes += 1;
        }
        // What a process before us held names us, and we do not lead.
        let is_own = holder(lease) == self.settings.identity;
        let hint = LeaderHint {
            address: if is_own { String::new() } else { address(lease) },
            transitions: transitions(lease),
            changes: self.changes,
        };
        self.leader
            .send_if_modified(|known| std::mem::replace(known, hint.clone()) != hint);
    }

    /// What a killed process of ours held is anybody's when it has ended, not ours at once: another candidate, which has watched all
    /// the while, decides sooner than we who have just started.
    fn is_free(&self, lease: &Lease, now: Instant) -> bool {
        let holder = holder(lease);
        holder.is_empty()
            || (holder == self.settings.identity && self.has_led)
            || self
                .observed
                .as_ref()
                .is_some_and(|observed| observed.ends(&self.settings) <= now)
    }

    fn claim(&self, mut metadata: ObjectMeta, transitions: u64) -> Lease {
        let now = MicroTime(self.clock.now());
        metadata.name = Some(self.settings.lease.clone());
        metadata.managed_fields = None;
        let spec = LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: i32::try_from(self.settings.lease_duration.as_secs())
                .ok()
                .map(|seconds| seconds.max(1)),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: i32::try_from(transitions).ok(),
            ..LeaseSpec::default()
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        self.leases
            .replace(&self.settings.lease, &PostParams::default(), lease)
            .await
    }

    fn lose(&mut self) {
        if self.held.take().is_some() {
            tracing::info!("no longer leading");
            self.leader.send_modify(|hint| hint.address.clear());
            self.term.send_replace(None);
        }
    }

    async fn release(&mut self) {
        let Some(Held { mut lease, renewed }) = self.held.take() else {
            return;
        };
        self.term.send_replace(None);
        let stopped = tokio::time::timeout(RELEASE_TIMEOUT, self.writers.lock()).await;
        if stopped.is_err() || renewed + self.settings.renew_deadline <= Instant::now() {
            return;
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(self.clock.now()));
        match tokio::time::timeout(RELEASE_TIMEOUT, self.replace(&lease)).await {
            Ok(Ok(_)) => tracing::info!("lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "lease not released"),
            Err(_) => tracing::warn!("lease not released in time"),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn address(lease: &Lease) -> String {
    address_of(holder(lease))
}

/// Of a holder that is written "POD@HOST:PORT".
fn address_of(identity: &str) -> String {
    identity
        .split_once('@')
        .map(|(_, address)| address.to_owned())
        .unwrap_or_default()
}

fn transitions(lease: &Lease) -> u64 {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_transitions)
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0)
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
