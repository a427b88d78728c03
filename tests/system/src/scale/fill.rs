//! Makes the pools and waits until they have their workers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use kube::Client;
use tokio::time::Instant;

use super::Size;
use super::fleet::{Pool, Tenant};
use super::setup::make_pool;

/// So many pools at once are without their workers. All at once would drown an API server on two cores; each worker would start
/// slowly, and the operator measures that and plans by it: pools would keep room for the growth of minutes, long after.
const AT_ONCE: usize = 16;
const FILLED: Duration = Duration::from_mins(40);
const LOOK: Duration = Duration::from_millis(50);
const SAY: Duration = Duration::from_secs(30);

/// See the module.
pub(super) async fn fill(client: &Client, size: &Size, tenants: &[Arc<Tenant>]) -> anyhow::Result<()> {
    let workers = usize::try_from(size.workers_per_pool)?;
    let (begun, mut said) = (Instant::now(), Instant::now());
    let mut short: Vec<&Pool> = Vec::new();
    let mut rest = tenants.iter().flat_map(|tenant| &tenant.pools);
    let mut made = 0;
    loop {
        short.retain(|pool| pool.answering() < workers);
        while short.len() < AT_ONCE
            && let Some(pool) = rest.next()
        {
            make_pool(client, &pool.tenant, &pool.name, size.workers_per_pool).await?;
            short.push(pool);
            made += 1;
        }
        if short.is_empty() {
            return Ok(());
        }
        let full = made - short.len();
        if said.elapsed() > SAY {
            said = Instant::now();
            eprintln!(
                "{full} of {} pools have their workers after {} s",
                size.pools,
                begun.elapsed().as_secs()
            );
        }
        ensure!(begun.elapsed() < FILLED, "only {full} pools have their workers");
        tokio::time::sleep(LOOK).await;
    }
}
