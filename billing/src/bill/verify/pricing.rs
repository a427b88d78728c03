//! Bills priced again, by the same rating, from what stood when they were issued.
//!
//! Usage and minutes of service landed in statements, and exclusions never change once a bill has them: of these it is known
//! what a bill was made of. When modules were taken and dropped, and when an account was closed, is known by the clock of who
//! recorded it, and the bill has the clock of its issuer, as it was when that began: what was recorded *around* a bill may be
//! on it or not. A bill that comes out at any of those instants is right.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::compare::{Difference, differences};
use super::{Findings, NotComparable};
use crate::bill::correction::{correction, credit};
use crate::bill::document::Document;
use crate::bill::plans::{PlansInPeriod, plans_of_bill};
use crate::bill::{Basis, BillError};
use crate::metering::modules::ModuleHistory;
use crate::rating::period::{Period, zone_data_version};
use crate::rating::rate::Usage;
use crate::store::{Account, Facts, KIND_CORRECTION, KIND_CREDIT, Landed, Store, StoredInvoice, with_causes};

/// How far from a bill's issue what is recorded is around it: longer than a run over all tenants takes.
const AROUND: SignedDuration = SignedDuration::from_hours(1);

/// A bill or note, with what was issued of its period before it.
#[derive(Clone, Copy)]
pub(super) struct Issued<'a> {
    /// Its row.
    pub(super) invoice: &'a StoredInvoice,
    /// What it says.
    pub(super) document: &'a Document,
    /// The bill and the notes before it, in the order of their issue.
    pub(super) earlier: &'a [Document],
}

/// A bill comes out again when it is priced again; a note when what stood before it is taken from that, and one that takes
/// all back when it is the negation of what stood.
pub(super) async fn check_price(
    store: &Store,
    account: &Account,
    issued: Issued<'_>,
    findings: &mut Findings,
) -> Result<(), BillError> {
    findings.found.priced += 1;
    if issued.invoice.kind == KIND_CREDIT {
        name(issued.taken_back(), findings);
        return Ok(());
    }
    let mut stood = match Stood::of(store, account, issued).await {
        Ok(stood) => stood,
        Err(error @ BillError::Store(_)) => return Err(error),
        Err(error) => {
            name(vec![issued.unpriced(&error)], findings);
            return Ok(());
        }
    };
    let found = stood.differences(account, issued);
    let theirs = &issued.document.time_zone_data;
    if found.is_empty() || theirs == zone_data_version() || !stood.is_by_local_time(account) {
        name(found, findings);
        return Ok(());
    }
    let StoredInvoice { period, number, .. } = issued.invoice;
    let not_comparable = NotComparable {
        tenant: findings.tenant.clone(),
        period: period.clone(),
        number: number.clone(),
        time_zone_data: theirs.clone(),
        known: zone_data_version(),
    };
    findings.found.not_comparable.push(not_comparable);
    Ok(())
}

fn name(found: Vec<Difference>, findings: &mut Findings) {
    for Difference { what, rated, billed } in found {
        findings.same(&what, ("rated", rated), ("invoice", billed));
    }
}

impl Issued<'_> {
    fn issued_at(self) -> Timestamp {
        self.document.issued_at.unwrap_or(self.invoice.issued_at)
    }

    fn is_correction(self) -> bool {
        self.invoice.kind == KIND_CORRECTION
    }

    /// What differs from the note that takes back all that stood.
    fn taken_back(self) -> Vec<Difference> {
        let Document {
            reason, statement, ..
        } = self.document;
        match credit(self.earlier, reason.as_deref().unwrap_or_default(), *statement) {
            Ok(again) => differences(again.as_ref(), self.document),
            Err(error) => vec![self.unpriced(&error)],
        }
    }

    fn unpriced(self, error: &dyn std::error::Error) -> Difference {
        Difference {
            what: "price".to_owned(),
            rated: with_causes(error),
            billed: self.document.total.clone(),
        }
    }
}

/// What a bill was made of, as far as it is known.
struct Stood {
    period: Period,
    plans: PlansInPeriod,
    usage: Vec<Usage>,
    /// With the modules of one instant.
    facts: Facts,
    modules: ModuleHistory,
}

impl Stood {
    async fn of(store: &Store, account: &Account, issued: Issued<'_>) -> Result<Self, BillError> {
        let Issued {
            invoice,
            document,
            earlier,
        } = issued;
        // A note is priced by the plans of the bill that it is on.
        let bill = earlier
            .first()
            .filter(|_| issued.is_correction())
            .unwrap_or(document);
        let plans = plans_of_bill(store, bill, &invoice.number).await?;
        let (ledger, landed) = (account.ledger, Landed::up_to(invoice.statement));
        let modules = async {
            if plans.has_modules() {
                store.module_history(ledger).await
            } else {
                Ok(ModuleHistory::default())
            }
        };
        let (usage, facts, modules) = tokio::try_join!(
            store.summed_usage(ledger, &plans.slots, landed),
            store.facts(ledger, plans.bounds, false, landed),
            modules,
        )?;
        Ok(Self {
            period: invoice.period.parse()?,
            plans,
            usage,
            facts,
            modules,
        })
    }

    /// What differs at the instant of the issue, if the bill comes out at none around it.
    fn differences(&mut self, account: &Account, issued: Issued<'_>) -> Vec<Difference> {
        let mut first = None;
        for known in self.instants(account, issued.issued_at()) {
            let found = match self.again(account, issued, known) {
                Ok(again) => differences(again.as_ref(), issued.document),
                Err(error) => vec![issued.unpriced(&error)],
            };
            if found.is_empty() {
                return found;
            }
            first.get_or_insert(found);
        }
        first.unwrap_or_default()
    }

    /// Until when things may have been recorded that are on the bill: its issue, and just before and at each that was recorded
    /// around it.
    fn instants(&self, account: &Account, issued_at: Timestamp) -> Vec<Timestamp> {
        let is_around = |at: &Timestamp| issued_at.duration_since(*at).abs() <= AROUND;
        let recorded = self.modules.instants().chain(account.closed_at);
        let around: BTreeSet<_> = recorded.filter(is_around).collect();
        let before = |at: &Timestamp| at.saturating_sub(SignedDuration::from_nanos(1)).ok();
        let (before, at) = (around.iter().filter_map(before), around.iter().copied());
        [issued_at].into_iter().chain(before).chain(at).collect()
    }

    /// The bill as it comes out with what was recorded until an instant.
    fn again(
        &mut self,
        account: &Account,
        issued: Issued<'_>,
        known: Timestamp,
    ) -> Result<Option<Document>, BillError> {
        self.facts.module_changes = self.modules.known(self.plans.bounds.end, known);
        let rated = Basis {
            account: &Account {
                closed_at: account.closed_at.filter(|closed| *closed <= known),
                ..account.clone()
            },
            plans: &self.plans,
            period: self.period,
            usage: &self.usage,
            facts: &self.facts,
            statement: issued.invoice.statement,
            now: issued.issued_at(),
        }
        .document()?;
        if issued.is_correction() {
            Ok(correction(rated, issued.earlier)?)
        } else {
            Ok(Some(rated))
        }
    }

    /// Clocks decide what it comes to: at which times there is a surcharge, or when a contract's dates begin.
    fn is_by_local_time(&self, account: &Account) -> bool {
        self.plans.parts().any(|part| {
            let has_surcharges = !part.known.plan.surcharges.is_empty();
            has_surcharges || part.rated(account).contract != Some(part.bounds)
        })
    }
}
