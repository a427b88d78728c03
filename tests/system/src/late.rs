//! A door before the API server, behind which what watches of Pods say can be held back: caches that lag, as long as a test wants.
//!
//! Whoever is held sees nothing of Pods that it did not see before. All else passes at once: its other watches, lists, and what
//! it writes. What was held comes in its order when it is let go. Whoever the door is shut for is answered nothing that it asks
//! from then on; watches that were open stay.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use http::header::{CONNECTION, HOST};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;

/// Held back from nobody, from all, or from those at these addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nobody,
    All,
    At(BTreeSet<IpAddr>),
}

impl Held {
    fn is_held(&self, peer: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::All => true,
            Self::At(addresses) => addresses.contains(&peer),
        }
    }
}

/// The door; it closes when this is dropped.
#[derive(Debug)]
pub struct LateWatches {
    address: SocketAddr,
    held: watch::Sender<Held>,
    shut: watch::Sender<BTreeSet<IpAddr>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Door {
    api_server: Client,
    held: watch::Receiver<Held>,
    shut: watch::Receiver<BTreeSet<IpAddr>>,
}

impl LateWatches {
    /// Opens it, for plain HTTP. Those who come bring their own tokens.
    pub async fn open(cluster: &Cluster, address: SocketAddr) -> anyhow::Result<Self> {
        let file = Kubeconfig::read_from(&cluster.kubeconfig)?;
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.auth_info = AuthInfo::default();
        config.default_retry = false;
        let (held, held_now) = watch::channel(Held::default());
        let (shut, shut_now) = watch::channel(BTreeSet::new());
        let door = Door {
            api_server: Client::try_from(config)?,
            held: held_now,
            shut: shut_now,
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("{address} is taken"))?;
        let address = listener.local_addr()?;
        let routes = axum::Router::new().fallback(pass).with_state(Arc::new(door));
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        let serving = async move { drop(axum::serve(listener, routes).await) };
        Ok(Self {
            address,
            held,
            shut,
            _serving: AbortOnDropHandle::new(tokio::spawn(serving)),
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nobody hears of Pods.
    pub fn hold_all(&self) {
        self.held.send_replace(Held::All);
    }

    /// From now on those who come from there hear nothing of Pods, and others do.
    pub fn hold(&self, from: IpAddr) {
        self.held.send_replace(Held::At([from].into()));
    }

    /// What these ask is not answered, until the door is shut for others or for nobody.
    pub fn shut_for(&self, those: impl IntoIterator<Item = IpAddr>) {
        self.shut.send_replace(those.into_iter().collect());
    }

    /// All hear what they missed.
    pub fn let_go(&self) {
        self.held.send_replace(Held::Nobody);
    }
}

async fn pass(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, (StatusCode, String)> {
    let said = |error: &dyn std::fmt::Display| {
        let text = format!("the API server was not reached: {error}");
        (StatusCode::BAD_GATEWAY, text)
    };
    // The door closes with its sender.
    drop(
        door.shut
            .clone()
            .wait_for(|shut| !shut.contains(&peer.ip()))
            .await,
    );
    let (mut parts, body) = request.into_parts();
    let is_of_pods = parts.uri.path() == "/api/v1/pods"
        && parts
            .uri
            .query()
            .is_some_and(|query| query.contains("watch=true"));
    for header in [HOST, CONNECTION] {
        parts.headers.remove(header);
    }
    let body = body.collect().await.map_err(|error| said(&error))?.to_bytes();
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answered = door.api_server.send(request).await;
    let (parts, body) = answered.map_err(|error| said(&error))?.into_parts();
    let body = if is_of_pods {
        late(body, door.held.clone(), peer.ip())
    } else {
        Body::new(body)
    };
    Ok(Response::from_parts(parts, body))
}

/// What comes is taken at once, as the API server ends watches that nobody reads, and is passed on when it may be.
fn late(body: kube::client::Body, held: watch::Receiver<Held>, peer: IpAddr) -> Body {
    let (mut sender, taken) = futures::channel::mpsc::unbounded();
    tokio::spawn(async move {
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    Body::from_stream(taken.then(move |piece| {
        let mut held = held.clone();
        async move {
            // The door closes with its sender.
            drop(held.wait_for(|held| !held.is_held(peer)).await);
            piece
        }
    }))
}
