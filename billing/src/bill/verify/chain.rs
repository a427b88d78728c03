//! The chains: numbers, digests, and each bill chained to the one before.

use super::{Drift, Findings};
use crate::bill::BillError;
use crate::digest::Digest;
use crate::store::{LegalEntity, Store, StoredInvoice};

/// Bills of the chain that are read at a time.
const PAGE: i64 = 500;

/// What does not agree in the chains as a whole, one of each legal entity: numbers without a gap, digests, and each bill
/// chained to the one before. With it how many bills there are.
pub async fn verify_chain(store: &Store) -> Result<(i64, Vec<Drift>), BillError> {
    let (mut bills, mut found) = (0, Vec::new());
    for entity in store.entities().await? {
        let (its, drift) = verify_chain_of(store, &entity).await?;
        bills += its;
        found.extend(drift);
    }
    Ok((bills, found))
}

async fn verify_chain_of(store: &Store, entity: &LegalEntity) -> Result<(i64, Vec<Drift>), BillError> {
    let mut findings = Findings::default();
    let (mut sequence, mut digest) = (0, String::new());
    loop {
        let page = store.invoices_after(&entity.name, sequence, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for invoice in page {
            findings.number = Some(invoice.number.clone());
            findings.period = Some(invoice.period.clone());
            findings.same(
                "sequence",
                ("row", invoice.sequence.to_string()),
                ("chain", (sequence + 1).to_string()),
            );
            let (beginning, ending) = (format!("{}-", entity.prefix), format!("-{:06}", invoice.sequence));
            if !invoice.number.starts_with(&beginning) || !invoice.number.ends_with(&ending) {
                let expected = format!("{beginning}…{ending}");
                findings.same("number", ("row", invoice.number.clone()), ("chain", expected));
            }
            let text = Digest::of(invoice.document.as_bytes()).to_string();
            findings.same("digest", ("invoice", text), ("chain", invoice.digest.clone()));
            let previous = previous_digest_in(&invoice).unwrap_or_else(|| "none".to_owned());
            findings.same(
                "digest of the bill before",
                ("invoice", previous),
                ("chain", digest),
            );
            sequence = invoice.sequence;
            digest = invoice.digest;
        }
    }
    findings.number = None;
    findings.period = None;
    let (last, last_digest) = store.end_of_chain(&entity.name).await?;
    findings.same(
        "end of the chain",
        ("chain", format!("{last} {last_digest}")),
        ("invoice", format!("{sequence} {digest}")),
    );
    Ok((sequence, findings.found.drift))
}

/// The digest is that of the text, and the next bill is chained to it.
pub(super) async fn check_link(
    store: &Store,
    invoice: &StoredInvoice,
    findings: &mut Findings,
) -> Result<(), BillError> {
    let digest = Digest::of(invoice.document.as_bytes()).to_string();
    findings.same("digest", ("invoice", digest), ("chain", invoice.digest.clone()));
    let (last, last_digest) = store.end_of_chain(&invoice.entity).await?;
    let chained_to = if invoice.sequence == last {
        Some(last_digest)
    } else {
        let next = store
            .invoices_after(&invoice.entity, invoice.sequence, 1)
            .await?
            .pop();
        next.and_then(|next| previous_digest_in(&next))
    };
    findings.same(
        "digest that the next bill is chained to",
        ("chain", chained_to.unwrap_or_else(|| "none".to_owned())),
        ("invoice", invoice.digest.clone()),
    );
    Ok(())
}

fn previous_digest_in(invoice: &StoredInvoice) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(&invoice.document).ok()?;
    Some(document.get("previousDigest")?.as_str()?.to_owned())
}
