//! What witnesses said of conversations that ended, in a run with workers in this process ([`crate::turns`]): of each
//! conversation the end that counts, by billing's rule.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use springtide_proto::ended::{ConversationEnd, Outcome};
use springtide_proto::metering::{Record, Witness};

/// Name of the file.
pub const ENDS: &str = "ends.csv";
const HEAD: &str = "conversation,last_message_at,outcome,by_worker,by_gateway";

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When its last message came.
    pub last_message_at: Timestamp,
    /// What it came to.
    pub outcome: Outcome,
    /// A worker said so, or something older.
    pub by_worker: bool,
    /// A gateway did.
    pub by_gateway: bool,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Ends(Arc<Mutex<BTreeMap<usize, Ended>>>);

/// The record says that a conversation ended.
pub fn end_of(record: &Record) -> Option<ConversationEnd> {
    ConversationEnd::decode(&record.usage_event).ok()
}

impl Ends {
    /// What witnesses report; turns among it are passed over.
    pub fn reported(&self, records: &[Record]) {
        let mut ends = self.0.lock();
        for record in records {
            let Some(end) = end_of(record) else { continue };
            let Some(conversation) = number_of(&end) else {
                tracing::error!("the end of a conversation that nobody began");
                continue;
            };
            let said = Ended {
                last_message_at: end.last_message_at,
                outcome: end.outcome,
                by_worker: false,
                by_gateway: false,
            };
            let known = ends.entry(conversation).or_insert(said);
            if (end.last_message_at, end.outcome) > (known.last_message_at, known.outcome) {
                (known.last_message_at, known.outcome) = (end.last_message_at, end.outcome);
            }
            known.by_worker |= record.witness() == Witness::Worker;
            known.by_gateway |= record.witness() == Witness::Gateway;
        }
    }

    /// Writes a line a conversation.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(folder.join(ENDS))?);
        writeln!(out, "{HEAD}")?;
        for (conversation, ended) in &*self.0.lock() {
            let Ended {
                last_message_at,
                outcome,
                by_worker,
                by_gateway,
            } = ended;
            let (worker, gateway) = (u8::from(*by_worker), u8::from(*by_gateway));
            let outcome = outcome.as_str();
            writeln!(
                out,
                "{conversation},{last_message_at},{outcome},{worker},{gateway}"
            )?;
        }
        Ok(out.flush()?)
    }
}

fn number_of(end: &ConversationEnd) -> Option<usize> {
    end.conversation.as_str().strip_prefix('c')?.parse().ok()
}

/// What was written to `folder`.
pub fn read(folder: &Path) -> anyhow::Result<BTreeMap<usize, Ended>> {
    let text = std::fs::read_to_string(folder.join(ENDS))?;
    let ended = |line: &str| {
        let mut fields = line.split(',');
        let mut next = || fields.next().context("a field is missing");
        let conversation = next()?.parse()?;
        let ended = Ended {
            last_message_at: next()?.parse()?,
            outcome: Outcome::parse(next()?)?,
            by_worker: next()? == "1",
            by_gateway: next()? == "1",
        };
        anyhow::Ok((conversation, ended))
    };
    let lines = text.lines().skip(1);
    lines
        .map(|line| ended(line).with_context(|| format!("{ENDS}: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_is_said_of_a_conversation_the_latest_counts_and_is_read_back() {
        let record = |second, outcome, witness: Witness| {
            let end = ConversationEnd {
                last_message_at: Timestamp::from_second(second).unwrap(),
                outcome,
                channel: "web".into(),
                pool: "web".parse().unwrap(),
                conversation: "c7".parse().unwrap(),
                tenant: "acme".parse().unwrap(),
                tenant_uid: "uid".parse().unwrap(),
            };
            Record {
                usage_event: end.encode().into(),
                witness: witness.into(),
                ..Record::default()
            }
        };
        let (ends, folder) = (Ends::default(), tempfile::tempdir().unwrap());
        ends.reported(&[
            record(20, Outcome::Resolved, Witness::Worker),
            record(20, Outcome::Abandoned, Witness::Gateway),
            record(10, Outcome::Resolved, Witness::Gateway),
            Record::default(),
        ]);
        ends.write(folder.path()).unwrap();
        let ended = Ended {
            last_message_at: Timestamp::from_second(20).unwrap(),
            outcome: Outcome::Abandoned,
            by_worker: true,
            by_gateway: true,
        };
        assert_eq!(read(folder.path()).unwrap(), BTreeMap::from([(7, ended)]));
    }
}
