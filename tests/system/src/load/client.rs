//! HTTP to a gateway, as a client's app would speak it.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// Longest wait for one response.
const RESPONSE: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Debug)]
pub struct Client {
    inner: HyperClient<HttpConnector, Full<Bytes>>,
    base: String,
}

/// A reply as clients read it.
#[derive(Clone, Debug, Deserialize)]
pub struct Reply {
    /// unique, list or sorry.
    pub kind: String,
    /// The text.
    pub text: String,
    /// Id of the entry, for a unique answer.
    pub answer_id: Option<String>,
    /// Opaque but for its clear part.
    pub resume_token: String,
    /// Turns answered so far.
    pub turn_sequence: u32,
}

/// What became of one request.
#[derive(Clone, Debug)]
pub enum Sent {
    /// Answered.
    Reply(Reply),
    /// In the waiting room.
    Waiting,
    /// Refused for good.
    Refused(StatusCode, String),
    /// Refused for the moment, or the connection broke: to be sent again.
    Again(String),
}

impl Client {
    /// To the gateway at "http://HOST:PORT".
    pub fn new(base: &str) -> anyhow::Result<Self> {
        base.parse::<http::Uri>()
            .with_context(|| format!("{base:?} is not a URL"))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let inner = HyperClient::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector);
        Ok(Self {
            inner,
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a turn once.
    pub async fn turn(&self, conversation: &str, turn: &str, text: &str, token: &str) -> Sent {
        let body = serde_json::json!({"turn_id": turn, "text": text, "resume_token": token});
        match self
            .request(
                Method::POST,
                &format!("/v1/conversations/{conversation}/turns"),
                body.to_string(),
            )
            .await
        {
            Err(error) => Sent::Again(format!("{error:#}")),
            Ok((StatusCode::OK, body)) => match serde_json::from_slice(&body) {
                Ok(reply) => Sent::Reply(reply),
                Err(error) => Sent::Refused(StatusCode::OK, format!("not a reply: {error}")),
            },
            Ok((StatusCode::ACCEPTED, _)) => Sent::Waiting,
            Ok((status, body)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Sent::Again(format!("{status} {}", String::from_utf8_lossy(&body)))
            }
            Ok((status, body)) => Sent::Refused(status, String::from_utf8_lossy(&body).into_owned()),
        }
    }

    /// Ends a conversation; an error means that silence will end it.
    pub async fn close(&self, conversation: &str, token: &str) -> anyhow::Result<()> {
        let body = serde_json::json!({"resume_token": token}).to_string();
        self.request(
            Method::POST,
            &format!("/v1/conversations/{conversation}/close"),
            body,
        )
        .await
        .map(drop)
    }

    /// Any request: status and body.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        self.request_with(method, path, body, None).await
    }

    /// The same with a bearer token.
    pub async fn request_with(
        &self,
        method: Method,
        path: &str,
        body: String,
        bearer: Option<&str>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let authorization = bearer.map(|token| ("authorization", format!("Bearer {token}")));
        self.request_with_header(method, path, body, authorization).await
    }

    /// The same with a header more.
    pub async fn request_with_header(
        &self,
        method: Method,
        path: &str,
        body: String,
        header: Option<(&str, String)>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body))?;
        let exchange = async {
            let response = self.inner.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(RESPONSE, exchange)
            .await
            .context("no response in time")?
    }
}
