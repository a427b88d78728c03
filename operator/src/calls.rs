//! Calls to the API server, each with a limit.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

/// A call that is not answered for this long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// An answer that begins, but does not go on for this long, has failed. Longer than a connection is kept idle (90 s): the time
/// since it was last read from counts as well, and a call would fail as it is handed such a connection.
const STALLED: Duration = Duration::from_secs(100);

/// A client whose calls are answered within `limit`, or fail; not for watches, on which nothing may come for minutes.
pub(crate) fn client(mut config: Config, limit: Duration) -> kube::Result<Client> {
    config.read_timeout = Some(STALLED);
    config.write_timeout = Some(limit);
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&TimeoutLayer::new(limit)).build())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Json;
    use axum::routing::get;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;

    use super::*;

    const SHORT: Duration = Duration::from_millis(600);

    /// Answers the first call at once, the second after two thirds of the limit, and no other.
    async fn slow_server() -> Config {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let answer = || async {
            match CALLS.fetch_add(1, Ordering::SeqCst) {
                0 => {}
                1 => tokio::time::sleep(SHORT * 2 / 3).await,
                _ => std::future::pending().await,
            }
            Json(serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "here"}}))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/api/v1/namespaces/here", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Config::new(format!("http://{address}").parse().unwrap())
    }

    #[tokio::test]
    async fn a_call_has_its_whole_time_on_a_connection_that_was_idle_and_no_more() {
        springtide_runtime::install_crypto_provider();
        let client = client(slow_server().await, SHORT).unwrap();
        let namespaces = Api::<Namespace>::all(client);
        namespaces.get("here").await.unwrap();
        tokio::time::sleep(SHORT * 2 / 3).await;
        namespaces.get("here").await.unwrap();
        let begun = tokio::time::Instant::now();
        let unanswered = namespaces.get("here").await.unwrap_err();
        assert!(begun.elapsed() >= SHORT, "{unanswered}");
    }
}
