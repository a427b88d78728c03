//! An OpenID provider that a test plays: it says what it is told to say, right or wrong, with keys of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A pair of keys, by which tokens are signed with ES256.
pub(super) struct Key {
    pub(super) id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(super) fn new(id: &'static str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    /// The point, uncompressed: what everybody knows of the key.
    pub(super) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(super) fn jwk(&self) -> Value {
        let (x, y) = self.public()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let input = signing_input(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims);
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What the provider says.
#[derive(Default)]
pub(super) struct Script {
    /// Its keys.
    pub(super) keys: Vec<Value>,
    /// The ID token for whatever code; none: it refuses the code.
    pub(super) token: Option<String>,
    /// Answers nothing but an error.
    pub(super) is_away: bool,
    /// Added to the metadata.
    pub(super) metadata: Value,
    /// How often its metadata was read.
    pub(super) discoveries: usize,
    /// What came to its token endpoint: `Authorization` and form.
    pub(super) exchanges: Vec<(String, String)>,
}

/// A provider that listens.
pub(super) struct Played {
    issuer: String,
    pub(super) script: Arc<Mutex<Script>>,
}

impl Played {
    pub(super) async fn start(key: &Key) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(key, issuer, listener)
    }

    /// With TLS, and the certificate that is to be trusted, as PEM.
    pub(super) async fn start_with_tls(key: &Key) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let private = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], private)
            .unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://{}", tcp.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (
            Self::serve(key, issuer, WithTls { tcp, acceptor }),
            made.cert.pem(),
        )
    }

    fn serve<L: Listener>(key: &Key, issuer: String, listener: L) -> Self
    where
        L::Addr: std::fmt::Debug,
    {
        let script = Arc::new(Mutex::new(Script {
            keys: vec![key.jwk()],
            ..Script::default()
        }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state((issuer.clone(), script.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { issuer, script }
    }

    pub(super) fn issuer(&self) -> String {
        self.issuer.clone()
    }
}

struct WithTls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for WithTls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.tcp.accept().await.unwrap();
            // Who does not trust the certificate goes again.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

type Shared = (String, Arc<Mutex<Script>>);

async fn metadata(State((issuer, script)): State<Shared>) -> Response {
    let mut script = script.lock();
    script.discoveries += 1;
    if script.is_away {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let mut metadata = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
    });
    if let (Some(metadata), Some(more)) = (metadata.as_object_mut(), script.metadata.as_object()) {
        metadata.extend(more.clone());
    }
    Json(metadata).into_response()
}

async fn keys(State((_, script)): State<Shared>) -> Response {
    let keys = script.lock().keys.clone();
    Json(json!({"keys": keys})).into_response()
}

async fn token(State((_, script)): State<Shared>, headers: axum::http::HeaderMap, form: String) -> Response {
    let mut script = script.lock();
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap());
    script
        .exchanges
        .push((authorization.unwrap_or_default().to_owned(), form));
    match (script.is_away, &script.token) {
        (true, _) => StatusCode::BAD_GATEWAY.into_response(),
        (false, None) => {
            let error = json!({"error": "invalid_grant", "error_description": "no such code"});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
        (false, Some(token)) => {
            let answer =
                json!({"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token});
            Json(answer).into_response()
        }
    }
}
