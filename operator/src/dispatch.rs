//! Runs work by keys: for a key one run at a time, again when it was asked for meanwhile, and again after the time that a run
//! says. All that is asked for begins at once, however many runs are under way, and what that costs does not depend on how many.
//!
//! (A controller of `kube` has one list of all that is asked for and cannot begin, and goes through it at every event: with
//! thousands of objects whose runs wait for answers, that is most of what its one task does.)

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::task::JoinSet;
use tokio_util::time::{DelayQueue, delay_queue};

/// What panicked is run again after this.
const AFTER_PANIC: Duration = Duration::from_secs(10);

enum State {
    Running {
        /// It was asked for meanwhile.
        again: bool,
    },
    /// Until it is run again, if nobody asks for it before.
    Waiting(delay_queue::Key),
}

struct Dispatcher<K, W> {
    states: HashMap<K, State>,
    timers: DelayQueue<K>,
    running: JoinSet<(K, Option<Duration>)>,
    work: W,
}

/// Runs `work` for each key of `asked`, and again after the time that it returns, if any. Ends, and all runs with it, when `asked`
/// does or when it is dropped.
pub(crate) async fn dispatch<K, W, F>(asked: impl Stream<Item = K>, work: W)
where
    K: Clone + Eq + Hash + Send + 'static,
    W: Fn(K) -> F,
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    let mut asked = std::pin::pin!(asked);
    let mut dispatcher = Dispatcher {
        states: HashMap::new(),
        timers: DelayQueue::new(),
        running: JoinSet::new(),
        work,
    };
    loop {
        tokio::select! {
            key = asked.next() => match key {
                Some(key) => dispatcher.ask(key),
                None => return,
            },
            Some(done) = dispatcher.running.join_next() => match done {
                Ok((key, after)) => dispatcher.ended(key, after),
                // Panics are caught within, and nothing else aborts a run.
                Err(error) => tracing::error!(%error, "a run was lost"),
            },
            Some(due) = dispatcher.timers.next() => {
                let key = due.into_inner();
                dispatcher.states.remove(&key);
                dispatcher.begin(key);
            }
        }
    }
}

impl<K, W, F> Dispatcher<K, W>
where
    K: Clone + Eq + Hash + Send + 'static,
    W: Fn(K) -> F,
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    fn ask(&mut self, key: K) {
        match self.states.get_mut(&key) {
            Some(State::Running { again }) => {
                *again = true;
                return;
            }
            Some(State::Waiting(timer)) => drop(self.timers.remove(timer)),
            None => {}
        }
        self.begin(key);
    }

    fn begin(&mut self, key: K) {
        self.states.insert(key.clone(), State::Running { again: false });
        let run = AssertUnwindSafe((self.work)(key.clone())).catch_unwind();
        self.running.spawn(async move {
            // What panicked was said by the panic's own message.
            (key, run.await.unwrap_or(Some(AFTER_PANIC)))
        });
    }

    fn ended(&mut self, key: K, after: Option<Duration>) {
        let again = matches!(self.states.remove(&key), Some(State::Running { again: true }));
        if again {
            self.begin(key);
        } else if let Some(after) = after {
            let timer = self.timers.insert(key.clone(), after);
            self.states.insert(key, State::Waiting(timer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::{Semaphore, mpsc};
    use tokio::time::Instant;
    use tokio_stream::wrappers::UnboundedReceiverStream;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// Runs that begin are told of, and end when they are let.
    struct Runs {
        ask: mpsc::UnboundedSender<u32>,
        begun: mpsc::UnboundedReceiver<u32>,
        may_end: Arc<Semaphore>,
        _dispatcher: AbortOnDropHandle<()>,
    }

    fn runs(again_after: Option<Duration>) -> Runs {
        let (ask, asked) = mpsc::unbounded_channel();
        let (said, begun) = mpsc::unbounded_channel();
        let may_end = Arc::new(Semaphore::new(0));
        let let_go = may_end.clone();
        let work = move |key| {
            let (said, may_end) = (said.clone(), let_go.clone());
            async move {
                said.send(key).unwrap();
                may_end.acquire().await.unwrap().forget();
                again_after
            }
        };
        let dispatched = dispatch(UnboundedReceiverStream::new(asked), work);
        Runs {
            ask,
            begun,
            may_end,
            _dispatcher: AbortOnDropHandle::new(tokio::spawn(dispatched)),
        }
    }

    impl Runs {
        /// All that is under way goes as far as it can; no time passes.
        async fn settle(&mut self) -> Vec<u32> {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let mut begun: Vec<_> = std::iter::from_fn(|| self.begun.try_recv().ok()).collect();
            begun.sort_unstable();
            begun
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_runs_however_many_others_are_under_way() {
        let mut runs = runs(None);
        (0..1_000).for_each(|key| runs.ask.send(key).unwrap());
        for _ in 0..1_000 {
            runs.begun.recv().await.unwrap();
        }
        runs.ask.send(1_000).unwrap();
        assert_eq!(runs.begun.recv().await, Some(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_while_it_runs_runs_once_more_and_never_twice_at_a_time() {
        let mut runs = runs(None);
        runs.ask.send(7).unwrap();
        assert_eq!(runs.settle().await, [7]);
        (0..3).for_each(|_| runs.ask.send(7).unwrap());
        assert_eq!(runs.settle().await, [0_u32; 0], "one at a time");
        runs.may_end.add_permits(1);
        assert_eq!(runs.settle().await, [7]);
        runs.may_end.add_permits(1);
        assert_eq!(runs.settle().await, [0_u32; 0]);
        runs.ask.send(7).unwrap();
        assert_eq!(runs.settle().await, [7]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_comes_again_after_the_time_that_it_said_and_earlier_if_it_is_asked_for() {
        const AFTER: Duration = Duration::from_secs(10);
        let mut runs = runs(Some(AFTER));
        runs.may_end.add_permits(100);
        let begun = Instant::now();
        runs.ask.send(7).unwrap();
        for round in 0..3 {
            assert_eq!(runs.begun.recv().await, Some(7));
            let elapsed = begun.elapsed();
            let due = AFTER * round;
            assert!(
                (due..due + Duration::from_millis(100)).contains(&elapsed),
                "{elapsed:?}"
            );
        }
        runs.ask.send(7).unwrap();
        assert_eq!(runs.settle().await, [7]);
        let asked = Instant::now();
        assert_eq!(runs.begun.recv().await, Some(7));
        assert!(asked.elapsed() >= AFTER, "the time before counts no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_panics_comes_again_and_takes_no_other_with_it() {
        let (ask, asked) = mpsc::unbounded_channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let work = move |key: u32| {
            noted.lock().push(key);
            async move {
                assert!(key != 13, "as it should");
                None
            }
        };
        let _dispatcher =
            AbortOnDropHandle::new(tokio::spawn(dispatch(UnboundedReceiverStream::new(asked), work)));
        ask.send(13).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        ask.send(1).unwrap();
        tokio::time::sleep(AFTER_PANIC).await;
        assert_eq!(*seen.lock(), [13, 1, 13]);
    }
}
