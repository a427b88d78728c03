//! Forgets what is kept in memory of objects that do not exist any more: their last watch event never reaches a reconcile.

use kube::runtime::reflector::ObjectRef;

use crate::fleet::PoolKey;
use crate::names::tenant_namespace;

use super::context::Context;

/// Forgets pools, tenants and promotions that are gone.
pub fn forget_gone(context: &Context) {
    // Which are known is asked before which exist: one that is made meanwhile is in the store before it is known.
    let mut known = context.live.keys();
    known.extend(context.memories.lock().keys().cloned());
    for key in known.into_iter().filter(|key| !exists(context, key)) {
        context.live.forget(&key);
        context.memories.lock().remove(&key);
        context.fleet.with_book(|book| book.forget(&key));
    }
    let tenants: Vec<_> = context.grants.lock().keys().cloned().collect();
    for tenant in tenants {
        if context
            .stores
            .tenants
            .get(&ObjectRef::new(tenant.as_str()))
            .is_none()
        {
            context.grants.lock().remove(&tenant);
            context.fleet.forget_tenant(&tenant);
        }
    }
    let promotions = &context.stores.promotions;
    context
        .live
        .keep_promotions(|name| promotions.get(&ObjectRef::new(name)).is_some());
}

fn exists(context: &Context, key: &PoolKey) -> bool {
    let namespace = tenant_namespace(key.tenant.as_str());
    let pool = ObjectRef::new(key.pool.as_str()).within(&namespace);
    context.stores.pools.get(&pool).is_some()
}
