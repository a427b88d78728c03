//! Ending in good order: the first SIGTERM or SIGINT cancels a token, and every task that holds it winds down.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled at the first SIGTERM or SIGINT; the second ends the process at once.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        for attempt in 0.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if attempt > 0 {
                tracing::warn!(signal = name, "second signal, ending at once");
                std::process::exit(130);
            }
            tracing::info!(signal = name, "shutting down");
            cancelled.cancel();
        }
    });
    Ok(token)
}
