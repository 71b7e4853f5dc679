//! Asking the daemon over its own HTTP endpoint, as Prometheus would.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gets `path` and returns the status code and the body.
pub(super) async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer ends with the connection, so there are no chunks to put together.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::Error::other("not an HTTP answer"))
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// Sums the samples of `name` by pipeline.
pub(super) fn by_pipeline(exposition: &str, name: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in exposition.lines() {
        let Some((labels, value)) =
            line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')).and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let pipeline = labels.split(',').find_map(|label| label.strip_prefix("pipeline=\"")?.strip_suffix('"'));
        if let (Some(pipeline), Ok(value)) = (pipeline, value.trim().parse::<f64>()) {
            *sums.entry(pipeline.to_owned()).or_insert(0.0) += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_pipeline() {
        let text = "# TYPE a_total counter\na_total{pipeline=\"x\",outcome=\"y\"} 3\na_total{pipeline=\"x\",outcome=\"z\"} 4\na_total_more{pipeline=\"x\"} 9\na_total{pipeline=\"q\"} 0\n";
        let sums: Vec<(String, String)> =
            by_pipeline(text, "a_total").into_iter().map(|(name, sum)| (name, sum.to_string())).collect();
        assert_eq!(sums, [("q".to_owned(), "0".to_owned()), ("x".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn an_answer_is_taken_apart() {
        assert_eq!(parse("HTTP/1.0 503 x\r\nA: b\r\n\r\nnot ready"), Some((503, "not ready".to_owned())));
        assert_eq!(parse("gibberish"), None);
    }
}
