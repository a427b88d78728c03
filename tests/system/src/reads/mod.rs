//! How fast a client firm reads its bills: billing's own program before a real PostgreSQL, and in front of it, as an ingress
//! would, what ends TLS. Reads come at a steady rate, and each is timed from when it was due.

mod door;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde::{Deserialize, Serialize};
use springtide_billing::https::{HttpsClient, client};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chaos::Waits;
use crate::ingest::Program;
use door::Door;

/// What the run leaves.
pub const FIGURES: &str = "figures.json";
/// Reads before those that count.
const WARM_UP: u32 = 20;
const CONNECT: Duration = Duration::from_secs(2);

/// How much.
#[derive(Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Reads of each kind
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub reads: u32,
    /// Reads a second
    #[arg(long, default_value_t = 15, value_name = "RATE")]
    pub rate: u32,
}

/// Whose bills, and where they are.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Database with billing's tables
    #[arg(long, value_name = "URL")]
    pub database_url: String,
    /// Billing's program
    #[arg(long, value_name = "FILE")]
    pub billing: PathBuf,
    /// Whose
    #[arg(long, value_name = "NAME")]
    pub tenant: String,
    /// The account's portal token
    #[arg(long, value_name = "TOKEN")]
    pub token: String,
    /// Number of a bill
    #[arg(long, value_name = "NUMBER")]
    pub billed: String,
    /// A month without a bill
    #[arg(long, value_name = "YYYY-MM")]
    pub open: String,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How much.
    pub size: Size,
    /// The list of bills.
    pub list: Kind,
    /// One bill.
    pub billed: Kind,
    /// What the bill of the open month would be.
    pub open: Kind,
    /// What that of the month that runs would be.
    pub running: Kind,
    /// The portal's page of the month that runs.
    pub page: Kind,
}

/// Reads of one kind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Kind {
    /// From when each was due until it had been read.
    pub ms: Waits,
    /// Length of an answer.
    pub bytes: usize,
    /// Processor time of billing's program for each.
    pub billing_cpu_ms: f64,
}

/// Measures, and leaves the figures in `folder`.
pub async fn run(size: Size, place: Place, folder: &Path) -> anyhow::Result<Figures> {
    std::fs::create_dir_all(folder)?;
    let program = Program::start(&place.billing, &place.database_url).await?;
    let door = Door::open(program.http()).await?;
    let reader = Reader {
        size,
        client: client(door.authorities()?, CONNECT)?,
        base: door.address(),
        program: &program,
    };
    let Place {
        tenant,
        token,
        billed,
        open,
        ..
    } = place;
    let own = format!("/api/v1/tenants/{tenant}");
    let bearer = (header::AUTHORIZATION, format!("Bearer {token}"));
    let session = (header::COOKIE, reader.sign_in(&token).await?);
    let figures = Figures {
        size,
        list: reader.read(&format!("{own}/invoices"), &bearer).await?,
        billed: reader.read(&format!("{own}/invoices/{billed}"), &bearer).await?,
        open: reader
            .read(&format!("{own}/preview?period={open}"), &bearer)
            .await?,
        running: reader.read(&format!("{own}/preview"), &bearer).await?,
        page: reader.read("/portal", &session).await?,
    };
    std::fs::write(folder.join(FIGURES), serde_json::to_string_pretty(&figures)?)?;
    Ok(figures)
}

type Header = (header::HeaderName, String);

struct Reader<'a> {
    size: Size,
    client: HttpsClient,
    base: String,
    program: &'a Program,
}

impl Reader<'_> {
    /// The session's cookie.
    async fn sign_in(&self, token: &str) -> anyhow::Result<String> {
        // It has no characters that a form would encode.
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/sign-in", self.base))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(format!("token={token}")))?;
        let answer = self.client.request(request).await?;
        let cookie = answer
            .headers()
            .get(header::SET_COOKIE)
            .context("billing let nobody in")?;
        let (cookie, _) = cookie
            .to_str()?
            .split_once(';')
            .context("a cookie of other form")?;
        Ok(cookie.to_owned())
    }

    /// Reads an address again and again.
    async fn read(&self, path: &str, who: &Header) -> anyhow::Result<Kind> {
        for _ in 0..WARM_UP {
            get(&self.client, self.request(path, who)?).await?;
        }
        let cpu = self.program.cpu_seconds();
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..self.size.reads {
            let due = start + Duration::from_secs(number.into()) / self.size.rate;
            tokio::time::sleep_until(due).await;
            let (client, request) = (self.client.clone(), self.request(path, who)?);
            tasks.spawn(async move {
                let bytes = get(&client, request).await?;
                anyhow::Ok((i64::try_from(due.elapsed().as_micros())?, bytes))
            });
        }
        let (mut waits, mut length) = (Vec::new(), 0);
        while let Some(ended) = tasks.join_next().await {
            let (wait, bytes) = ended.context("a read failed")??;
            waits.push(wait);
            length = bytes;
        }
        let cpu = self.program.cpu_seconds() - cpu;
        Ok(Kind {
            ms: Waits::of(waits),
            bytes: length,
            billing_cpu_ms: cpu * 1_000.0 / f64::from(self.size.reads),
        })
    }

    fn request(&self, path: &str, (name, value): &Header) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::builder().uri(format!("{}{path}", self.base));
        Ok(request.header(name, value).body(Full::default())?)
    }
}

/// The answer's length.
async fn get(client: &HttpsClient, request: Request<Full<Bytes>>) -> anyhow::Result<usize> {
    let path = request.uri().path().to_owned();
    let answer = client.request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status == StatusCode::OK, "{path}: {status}");
    Ok(body.len())
}
