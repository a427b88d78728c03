//! The run, second by second.
//!
//! - *row*: what is there at a whole second, after all that was decided then, and how many came within the second that
//!   begins there.
//! - *worker-seconds*: workers, whatever they do, summed over the rows. What is not in a row does not count, so that the
//!   hours of a run are those of its timeline.

use std::io;

/// One second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Since the run began.
    pub(super) second: u64,
    /// Conversations that came within it.
    pub(super) arrivals: u64,
    pub(super) active: u32,
    pub(super) waiting: u32,
    pub(super) starting: u32,
    pub(super) ready: u32,
    /// Always 0 here: what a worker held moves at once.
    pub(super) draining: u32,
}

impl Row {
    /// Workers that are there, whatever they do.
    pub(super) fn workers(&self) -> u32 {
        self.starting + self.ready + self.draining
    }
}

/// Takes each row.
pub(super) type Rows<'a> = dyn FnMut(&Row) -> io::Result<()> + 'a;

/// Adds up rows, and hands them on.
pub(super) struct Meter<'a> {
    rows: &'a mut Rows<'a>,
    pub(super) worker_seconds: u64,
    pub(super) peak_workers: u32,
}

impl<'a> Meter<'a> {
    pub(super) fn new(rows: &'a mut Rows<'a>) -> Self {
        Self {
            rows,
            worker_seconds: 0,
            peak_workers: 0,
        }
    }

    pub(super) fn push(&mut self, row: &Row) -> io::Result<()> {
        self.worker_seconds += u64::from(row.workers());
        self.peak_workers = self.peak_workers.max(row.workers());
        (self.rows)(row)
    }
}

/// The first line of a timeline.
pub(super) const HEADER: &str = "second,arrivals,active,waiting,starting,ready,draining";

/// A row as a line of comma-separated values.
pub(super) fn write(out: &mut impl io::Write, row: &Row) -> io::Result<()> {
    // Without `..`: a new field is a new column.
    let Row {
        second,
        arrivals,
        active,
        waiting,
        starting,
        ready,
        draining,
    } = row;
    writeln!(
        out,
        "{second},{arrivals},{active},{waiting},{starting},{ready},{draining}"
    )
}
