//! Names that more than one part relies on (see ARCHITECTURE.md, "Wiring").

/// Label of everything that belongs to a tenant; its value is the tenant's name.
pub const TENANT_LABEL: &str = "springtide.dev/tenant";
/// Label of a pool's workers; its value is the pool's name.
pub const POOL_LABEL: &str = "springtide.dev/pool";
/// Label of a worker's Pod: digest of the template it was made from.
pub const TEMPLATE_LABEL: &str = "springtide.dev/template";
/// Label of a worker's Pod that its pool's disruption budget protects from eviction.
pub const SERVING_LABEL: &str = "springtide.dev/serving";
/// Annotation by which cluster-autoscaler may, or may not, take away the node under a Pod.
pub const SAFE_TO_EVICT_ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Annotation by which Karpenter may not disrupt the node under a Pod.
pub const DO_NOT_DISRUPT_ANNOTATION: &str = "karpenter.sh/do-not-disrupt";
/// The recommended label that names an application.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// What it says of a gateway's Pod.
pub const GATEWAY_APPLICATION: &str = "springtide-gateway";
/// Annotation of a worker's Pod: the term or bound that decided that it is created.
pub const CREATED_FOR_ANNOTATION: &str = "springtide.dev/created-for";
/// Annotation of a worker's Pod that was created for its pool's load: when that rose, by the clock of who measured it.
pub const LOAD_ROSE_AT_ANNOTATION: &str = "springtide.dev/load-rose-at";
/// Annotation of a worker's Pod that was created for its pool's load: the Pod that measured the rise.
pub const LOAD_ROSE_BY_ANNOTATION: &str = "springtide.dev/load-rose-by";
/// Annotation of a Secret with a certificate: until when it is valid.
pub const NOT_AFTER_ANNOTATION: &str = "springtide.dev/not-after";
/// Finalizer of tenants: their account is outside the cluster.
pub const TENANT_FINALIZER: &str = "springtide.dev/close-account";
/// Variable of a worker's container: conversations that it takes at once.
pub const CAPACITY_VARIABLE: &str = "SPRINGTIDE_CAPACITY";
/// The one field manager, and the reporter of Events.
pub const FIELD_MANAGER: &str = "springtide-operator";

/// The Lease of the leader.
pub const LEASE: &str = "springtide-operator";
/// ConfigMaps of what was learned of pools: this, and two digits.
pub const CHECKPOINT: &str = "springtide-checkpoint";
/// The ConfigMap of bad minutes that wait for billing.
pub const BAD_MINUTES: &str = "springtide-bad-minutes";
/// Secret of the CA.
pub const CA_SECRET: &str = "springtide-ca";
/// Secret of billing's identity.
pub const BILLING_TLS_SECRET: &str = "springtide-billing-tls";
/// Secret of a tenant's workers' identity.
pub const WORKER_TLS_SECRET: &str = "springtide-worker-tls";
/// Secret of a tenant's gateways' identity.
pub const GATEWAY_TLS_SECRET: &str = "springtide-gateway-tls";
/// Secret of the keys that seal resume tokens.
pub const TOKEN_KEYS_SECRET: &str = "springtide-token-keys";
/// Secret of the portal's access token.
pub const PORTAL_TOKEN_SECRET: &str = "springtide-portal-token";
/// Gateways: their Deployment, Service, ServiceAccount and budget.
pub const GATEWAY: &str = "gateway";
/// Workers' ServiceAccount.
pub const WORKER: &str = "worker";

/// Conversations (workers, gRPC).
pub const CONVERSATION_PORT: u16 = 7443;
/// Fleet service (operator, gRPC).
pub const FLEET_PORT: u16 = 7444;
/// Metering and tenancy (billing, gRPC).
pub const BILLING_PORT: u16 = 7445;
/// Customers' door (gateways, HTTP).
pub const GATEWAY_PORT: u16 = 8080;
/// Admin port of every part.
pub const ADMIN_PORT: u16 = 9090;

/// The namespace of a tenant.
pub fn tenant_namespace(tenant: &str) -> String {
    format!("tenant-{tenant}")
}

/// The tenant whose namespace this is.
pub fn tenant_of_namespace(namespace: &str) -> Option<&str> {
    namespace
        .strip_prefix("tenant-")
        .filter(|tenant| !tenant.is_empty())
}

/// The headless Service of a pool, and its disruption budget.
pub fn pool_service(pool: &str) -> String {
    format!("pool-{pool}")
}

/// The worker of a pool with that ordinal.
pub fn worker_pod(pool: &str, ordinal: u32) -> String {
    format!("{pool}-{ordinal}")
}

/// The ordinal in a worker's name.
pub fn worker_ordinal(pool: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(pool)?.strip_prefix('-')?.parse().ok()
}
