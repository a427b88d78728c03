//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  kubectl springtide explain pool web -n tenant-acme
  kubectl springtide explain pool acme/web -o json
  kubectl springtide explain promo double-11
  kubectl springtide what-if --promotion double-11.yaml
  kubectl springtide what-if --promotion double-11.yaml --pool acme/web -o json

The decision is read from the operator that leads, through the API server: you need permission to list Pods and to get
pods/proxy in the operator's namespace, and to get and list botpools and promotions; what-if also gets tenants, for their
time zones.";

/// Says why a pool has its size, and what a promotion comes to.
///
/// Reads from the cluster of your kubeconfig, and changes nothing.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-springtide",
    bin_name = "kubectl springtide",
    version,
    after_help = EXAMPLES
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Say why something is as it is
    #[command(subcommand)]
    Explain(Subject),
    /// Say what a promotion would do to its pools, from how they are now
    ///
    /// Simulates the operator's own decision for the window that is open or comes next, with and without the promotion. The runs
    /// go on from the pool as it is now: its load, its workers, their start times, how long conversations last, a number given by
    /// kubectl scale until it lapses, and other promotions. Where pre-warming is more than six hours away, they begin an hour
    /// before it. The load is what the pool learned of these times of the week, or else stays as it is. Each pool is tried by
    /// itself, with what its tenant's limit leaves to it now. The promotion's file need not be applied; it replaces an applied
    /// one of its name.
    WhatIf(WhatIfArguments),
}

/// What to explain.
#[derive(Subcommand, Debug)]
pub enum Subject {
    /// Why a pool has its size: what is seen, each term of the decision, and what to change for another
    #[command(visible_aliases = ["bp", "botpool"])]
    Pool(ExplainPool),
    /// What a promotion wants of each pool, what is there, and what to change where it is short
    #[command(visible_alias = "promotion")]
    Promo(ExplainPromo),
}

/// Which pool.
#[derive(Args, Debug)]
pub struct ExplainPool {
    /// Name of the BotPool, or TENANT/POOL
    #[arg(value_name = "POOL")]
    pub name: String,
    /// Namespace of the pool, tenant-NAME; without it that of your context, if it is a tenant's
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Print the record of the decision alone
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Which promotion.
#[derive(Args, Debug)]
pub struct ExplainPromo {
    /// Name of the Promotion
    #[arg(value_name = "PROMOTION")]
    pub name: String,
}

/// What to try.
#[derive(Args, Debug)]
pub struct WhatIfArguments {
    /// One pool alone; without it, all that the promotion names or selects
    #[arg(long, value_name = "TENANT/POOL")]
    pub pool: Option<String>,
    /// File of the Promotion, YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub promotion: PathBuf,
    /// Hours from the start of the window that are shown, at most until all is let go
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=168), value_name = "COUNT")]
    pub hours: u32,
    /// Namespace of the pool, tenant-NAME, where --pool does not say the tenant
    #[arg(short, long, value_name = "NAMESPACE", requires = "pool")]
    pub namespace: Option<String>,
    /// Print an array of figures, an object a pool
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As JSON
    Json,
}

/// Which cluster.
#[derive(Args, Debug)]
pub struct Connection {
    /// File to use instead of KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of it to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the operator
    #[arg(
        long,
        global = true,
        default_value = "springtide-system",
        value_name = "NAMESPACE"
    )]
    pub system_namespace: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn flags_stand_where_kubectl_users_put_them() {
        let words = "kubectl-springtide explain bp web -n tenant-acme -o json --context prod";
        let Arguments { command, connection } = Arguments::try_parse_from(words.split(' ')).unwrap();
        let Command::Explain(Subject::Pool(pool)) = command else {
            panic!("{command:?}");
        };
        assert_eq!(
            (pool.name.as_str(), pool.namespace.as_deref()),
            ("web", Some("tenant-acme"))
        );
        assert_eq!(pool.output, Some(Format::Json));
        assert_eq!(connection.context.as_deref(), Some("prod"));
    }
}
