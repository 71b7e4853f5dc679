//! `/metrics`: the format and coding the client wants, in the time it has, without doing the same work twice at once.
//!
//! A scrape reads counters and never waits for the pipeline. Who asks while another is being served waits for the next
//! page, and everybody waiting gets that same one: however many ask, one page is made at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::App;
use super::accept::{self, Coding};
use crate::telemetry::event::Event;
use crate::telemetry::{Exposition, Format, Telemetry};

/// Scrapes served at once; more wait, as long as their time allows.
const AT_ONCE: usize = 8;
/// Time for a scrape that names none.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time left for the way back, at most.
const WAY_BACK: Duration = Duration::from_millis(500);

/// What a client asked for.
#[derive(Debug, Clone)]
struct Wanted {
    format: Format,
    coding: Coding,
    /// Families; all if empty.
    names: BTreeSet<String>,
}

pub(super) async fn metrics(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let query = query.map(|Query(pairs)| pairs).unwrap_or_default();
    let names = query.into_iter().filter(|(name, _)| name == "name[]").map(|(_, value)| value).collect();
    let wanted = Wanted { format: accept::format(&headers), coding: accept::coding(&headers), names };
    let (content_type, encoding) = (wanted.format.content_type(), wanted.coding.name());
    let mut response = match tokio::time::timeout(patience(&headers), app.scrapes.body(&app.telemetry, wanted)).await {
        Ok(Ok(body)) => Body::from(body).into_response(),
        Ok(Err(message)) => {
            app.telemetry.emit(Event::Error { component: "http", kind: "render", message: &message });
            return (StatusCode::INTERNAL_SERVER_ERROR, "500: the metrics could not be rendered\n").into_response();
        }
        Err(_) => {
            let words = "503: the metrics are not ready within the scrape timeout\n";
            return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
        }
    };
    let told = response.headers_mut();
    told.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    told.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(encoding) = encoding {
        told.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// Returns how long a scrape may take: what Prometheus says it waits, less the way back.
fn patience(headers: &HeaderMap) -> Duration {
    let told = headers.get("x-prometheus-scrape-timeout-seconds").and_then(|value| value.to_str().ok());
    let seconds = told.and_then(|text| text.trim().parse::<f64>().ok()).filter(|seconds| *seconds > 0.0);
    let Some(waits) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else { return PATIENCE };
    waits.saturating_sub(WAY_BACK.min(waits / 10)).min(PATIENCE)
}

/// The scrapes under way.
#[derive(Debug)]
pub(super) struct Scrapes {
    seats: Semaphore,
    /// Pages begun so far.
    begun: AtomicU64,
    /// The last page made, with its number; kept only as long as somebody reads it.
    last: Arc<tokio::sync::Mutex<(u64, Weak<Page>)>>,
}

/// One moment, and its whole text in the forms somebody asked for.
#[derive(Debug)]
struct Page {
    exposition: Exposition,
    bodies: Mutex<BTreeMap<(bool, Coding), Bytes>>,
}

impl Default for Scrapes {
    fn default() -> Self {
        Self { seats: Semaphore::new(AT_ONCE), begun: AtomicU64::new(0), last: Arc::default() }
    }
}

impl Scrapes {
    /// Returns the page as wanted, as it is now or later: never as it was before the call.
    async fn body(&self, telemetry: &Telemetry, wanted: Wanted) -> Result<Bytes, String> {
        let _seat = self.seats.acquire().await.map_err(|closed| closed.to_string())?;
        let page = self.page(telemetry).await.map_err(|panic| panic.to_string())?;
        let body = tokio::task::spawn_blocking(move || page.body(&wanted)).await;
        body.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())
    }

    async fn page(&self, telemetry: &Telemetry) -> Result<Arc<Page>, JoinError> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = Arc::clone(&self.last).lock_owned().await;
        // A page that was begun after we came is as good as one of our own.
        if last.0 > begun
            && let Some(page) = last.1.upgrade()
        {
            return Ok(page);
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let telemetry = telemetry.clone();
        // The lock goes along: a client that goes away does not let the next page begin beside this one.
        let make = move || {
            let page = Arc::new(Page { exposition: telemetry.exposition(), bodies: Mutex::default() });
            *last = (number, Arc::downgrade(&page));
            page
        };
        tokio::task::spawn_blocking(make).await
    }
}

impl Page {
    fn body(&self, wanted: &Wanted) -> std::io::Result<Bytes> {
        let make = || pack(self.exposition.write(wanted.format, &wanted.names).into_bytes(), wanted.coding);
        if !wanted.names.is_empty() {
            return make();
        }
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let form = (wanted.format == Format::OpenMetrics, wanted.coding);
        if let Some(body) = bodies.get(&form) {
            return Ok(body.clone());
        }
        let body = make()?;
        bodies.insert(form, body.clone());
        Ok(body)
    }
}

/// Packs a body at the lowest level: the text is repetitive, and a scrape is not worth more time.
fn pack(text: Vec<u8>, coding: Coding) -> std::io::Result<Bytes> {
    let packed = match coding {
        Coding::Identity => text,
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&text)?;
            encoder.finish()?
        }
        Coding::Zstd => zstd::bulk::compress(&text, 1)?,
    };
    Ok(packed.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::PipelineInfo;

    fn telemetry() -> Telemetry {
        let scan_interval = Duration::from_secs(30);
        let (name, rules) = ("p".to_owned(), Vec::new());
        Telemetry::new(&[PipelineInfo { name, rules, freshness: None, latency: None, scan_interval }])
    }

    fn wanted(coding: Coding) -> Wanted {
        Wanted { format: Format::Text, coding, names: BTreeSet::new() }
    }

    #[tokio::test]
    async fn the_time_of_a_scrape_is_what_prometheus_gives_less_the_way_back() {
        let asked = |text: &str| {
            patience(&HeaderMap::from_iter([(
                "x-prometheus-scrape-timeout-seconds".parse().unwrap(),
                text.parse().unwrap(),
            )]))
        };
        for (text, millis) in [("10", 9500), ("1.5", 1350), ("0.1", 90), ("3600", 30_000), (" 2 ", 1800)] {
            assert_eq!(asked(text), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "soon", "-1", "0", "NaN", "inf", "1e300"] {
            assert_eq!(asked(text), PATIENCE, "{text}");
        }
        assert_eq!(patience(&HeaderMap::new()), PATIENCE);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn those_who_wait_share_the_next_page_and_nobody_gets_an_older_one() {
        let (telemetry, scrapes) = (telemetry(), Arc::new(Scrapes::default()));
        // Somebody is being served.
        let busy = Arc::clone(&scrapes.last).lock_owned().await;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let (telemetry, scrapes) = (telemetry.clone(), Arc::clone(&scrapes));
            waiting.spawn(async move { scrapes.page(&telemetry).await.unwrap() });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        telemetry.emit(Event::WatchOverflow);
        drop(busy);
        let pages = waiting.join_all().await;
        assert_eq!(scrapes.begun.load(Ordering::SeqCst), 1, "one page was made for all");
        for page in &pages {
            let text = page.body(&wanted(Coding::Identity)).unwrap();
            assert!(String::from_utf8_lossy(&text).contains("forebay_watch_overflows_total 1\n"));
        }
        telemetry.emit(Event::WatchOverflow);
        let later = scrapes.body(&telemetry, wanted(Coding::Identity)).await.unwrap();
        assert!(String::from_utf8_lossy(&later).contains("forebay_watch_overflows_total 2\n"));
        assert_eq!(scrapes.begun.load(Ordering::SeqCst), 2, "and a new one for who came later");
    }

    #[tokio::test]
    async fn a_scrape_that_would_come_too_late_is_told_so_in_time() {
        let app = App {
            telemetry: telemetry(),
            view: Arc::new(super::super::tests::OneFile),
            reload: None,
            web: None,
            scrapes: Arc::default(),
            questions: Arc::new(Semaphore::new(1)),
            trend: Arc::default(),
            known: Arc::default(),
            local_only: true,
        };
        let ask = async |seconds: &'static str| {
            let waits = ("x-prometheus-scrape-timeout-seconds".parse().unwrap(), HeaderValue::from_static(seconds));
            metrics(State(app.clone()), HeaderMap::from_iter([waits]), Ok(Query(Vec::new()))).await.status()
        };
        // Another page is being made, and takes its time.
        let busy = Arc::clone(&app.scrapes.last).lock_owned().await;
        let began = tokio::time::Instant::now();
        assert_eq!(ask("0.2").await, StatusCode::SERVICE_UNAVAILABLE);
        let took = began.elapsed();
        assert!((Duration::from_millis(170)..Duration::from_secs(5)).contains(&took), "{took:?}");
        drop(busy);
        assert_eq!(ask("10").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_leaves_no_second_page_behind() {
        let (telemetry, scrapes) = (telemetry(), Scrapes::default());
        for _ in 0..50 {
            let gone = tokio::time::timeout(Duration::ZERO, scrapes.page(&telemetry)).await;
            drop(gone);
        }
        let page = scrapes.page(&telemetry).await.unwrap();
        assert!(page.body(&wanted(Coding::Identity)).unwrap().starts_with(b"# HELP "));
    }

    #[test]
    fn what_is_packed_can_be_unpacked() {
        use std::io::Read as _;
        let text = telemetry().render().into_bytes();
        let mut unpacked = Vec::new();
        let gzip = pack(text.clone(), Coding::Gzip).unwrap();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == text && gzip.len() * 5 < text.len(), "{} of {}", gzip.len(), text.len());
        let zstd = pack(text.clone(), Coding::Zstd).unwrap();
        assert!(zstd::decode_all(&zstd[..]).unwrap() == text && zstd.len() * 5 < text.len());
    }
}
