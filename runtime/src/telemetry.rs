//! Logs on standard error, and traces over OTLP (gRPC) where an endpoint is set.
//!
//! Standard output stays free for data. A log line never carries a customer's text, a token or a key.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// How much is logged, in which form, and where traces go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// What is logged: a level, or targets with levels, as "info,springtide_worker=debug"
    #[arg(
        long = "log",
        env = "SPRINGTIDE_LOG",
        default_value = "info",
        value_name = "FILTER",
        global = true
    )]
    pub filter: String,
    /// Form of a log line
    #[arg(
        long,
        env = "SPRINGTIDE_LOG_FORMAT",
        default_value = "text",
        value_name = "FORM",
        global = true
    )]
    pub log_format: LogFormat,
    /// Where traces are sent (OTLP over gRPC), as "http://collector:4317"; off unless set
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", global = true)]
    pub otlp_endpoint: Option<String>,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Keeps telemetry running; dropping it sends what is left.
#[derive(Debug)]
pub struct TelemetryGuard {
    traces: Option<SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.traces.take().map(|provider| provider.shutdown()) {
            eprintln!("the last traces could not be sent: {error}");
        }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "the log filter {filter:?} is not understood; use a level such as \"info\", or \"target=level\" pairs with commas"
    )]
    Filter {
        /// As it was given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter could not be built.
    #[error("traces cannot be sent to {endpoint:?}")]
    Exporter {
        /// As it was given.
        endpoint: String,
        /// What the exporter says.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Something else logs already.
    #[error("logging was started twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logs and, if asked, traces. Call once, inside the tokio runtime.
pub fn init(service: &'static str, args: &TelemetryArgs) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&args.filter).map_err(|source| TelemetryError::Filter {
        filter: args.filter.clone(),
        source,
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match args.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let traces = match args
        .otlp_endpoint
        .as_deref()
        .filter(|endpoint| !endpoint.is_empty())
    {
        None => None,
        Some(endpoint) => Some(tracer_provider(service, endpoint)?),
    };
    let spans = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_filter(EnvFilter::new("info,h2=off,tonic=off,hyper=off,tower=off"))
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init()?;
    Ok(TelemetryGuard { traces })
}

fn tracer_provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(service).build())
        .build())
}
