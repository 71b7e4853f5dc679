//! One HTTP request to a Pushgateway. Plain `http://`, no keep-alive, no redirects, bounded in time and size.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Why metrics could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The URL is none we can use.
    #[error("cannot push to '{url}': {problem}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The network failed.
    #[error("cannot push to {authority}: {doing} failed")]
    Network {
        /// Host and port.
        authority: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway did not take it.
    #[error("{authority} refused the metrics: {answer}")]
    Refused {
        /// Host and port.
        authority: String,
        /// Status line and the beginning of the answer.
        answer: String,
    },
}

/// Host and port to connect to, the `Host` header, and the path.
#[derive(Debug, PartialEq, Eq)]
struct Target<'u> {
    host: &'u str,
    port: u16,
    authority: &'u str,
    path: &'u str,
}

fn parse(url: &str) -> Result<Target<'_>, &'static str> {
    if url.chars().any(|c| c.is_control() || c == ' ') {
        return Err("it holds blanks or control characters");
    }
    let rest = url.strip_prefix("http://").ok_or("only http:// is spoken here, as in http://localhost:9091")?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err("user names and passwords are not supported");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|bracketed| bracketed.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    let port = port.map_or(Ok(80), str::parse).map_err(|_| "its port is no number up to 65535")?;
    Ok(Target { host, port, authority, path: path.trim_end_matches('/') })
}

/// Returns the path to push to. A group is replaced as a whole, so each pipeline has one of its own: if the caller's names no
/// `pipeline`, this one is added. A path that is no group is left to the gateway to refuse.
fn group(path: &str, pipeline: &str) -> String {
    if path.is_empty() {
        return format!("/metrics/job/forebay/pipeline/{pipeline}");
    }
    // Names and values by turns; a value may be encoded, which its name tells.
    let labels = path.split_once("/metrics/").map_or("", |(_, labels)| labels);
    let mut names = labels.split('/').step_by(2).map(|name| name.strip_suffix("@base64").unwrap_or(name));
    let is_group = names.next() == Some("job");
    // A pipeline's name needs no encoding: it is made of letters, digits and underscores.
    if is_group && names.all(|name| name != "pipeline") {
        format!("{path}/pipeline/{pipeline}")
    } else {
        path.to_owned()
    }
}

/// Sends `body` to the group of a pipeline: `url` may name one.
pub(super) fn send(method: &str, url: &str, pipeline: &str, body: &str) -> Result<(), PushError> {
    let target = parse(url).map_err(|problem| PushError::Url { url: url.escape_debug().to_string(), problem })?;
    let authority = || target.authority.to_owned();
    let network = |doing| move |source| PushError::Network { authority: target.authority.to_owned(), doing, source };
    let path = group(target.path, pipeline);
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: forebay/{}\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        target.authority,
        env!("CARGO_PKG_VERSION"),
        body.len()
    );
    let mut stream = connect(target.host, target.port).map_err(network("connecting"))?;
    stream.set_read_timeout(Some(ANSWER)).and(stream.set_write_timeout(Some(ANSWER))).map_err(network("connecting"))?;
    stream.write_all(request.as_bytes()).map_err(network("sending"))?;
    let mut answer = Vec::new();
    let received = stream.take(LONGEST_ANSWER).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    // A gateway may close hard behind its answer: what counts is the status it sent.
    match (status(&answer), received) {
        (Some(200..=299), _) => Ok(()),
        (Some(_), _) => Err(PushError::Refused { authority: authority(), answer: gist(&answer) }),
        (None, Err(error)) => Err(network("waiting for the answer")(error)),
        (None, Ok(_)) => {
            Err(PushError::Refused { authority: authority(), answer: "its answer is not HTTP".to_owned() })
        }
    }
}

fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.get(..3)?.parse().ok()
}

/// Status line and the beginning of the body, on one line.
fn gist(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().unwrap_or_default();
    let text: String = format!("{status} {}", body.trim()).chars().take(300).collect();
    text.trim().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request, and returns it with what `send` made of the answer.
    fn exchange(path: &str, answer: &'static str) -> (String, Result<(), PushError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let gateway = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"a 1\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let sent = send("PUT", &url, "taxi", "a 1\n");
        (gateway.join().unwrap(), sent)
    }

    #[test]
    fn one_request_with_a_content_type() {
        let (request, sent) = exchange("", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        sent.unwrap();
        let group = "PUT /metrics/job/forebay/pipeline/taxi HTTP/1.1\r\nHost: 127.0.0.1:";
        assert!(request.starts_with(group), "{request}");
        assert!(request.contains("\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 4\r\n"), "{request}");
        let (request, _) = exchange("/metrics/job/nightly/", "HTTP/1.1 200 OK\r\n\r\n");
        assert!(request.starts_with("PUT /metrics/job/nightly/pipeline/taxi HTTP/1.1\r\n"), "{request}");
    }

    #[test]
    fn every_pipeline_has_a_group_of_its_own() {
        for (path, pushed) in [
            ("/metrics/job/nightly/instance/one", "/metrics/job/nightly/instance/one/pipeline/taxi"),
            ("/behind/metrics/job@base64/bmlnaHRseQ", "/behind/metrics/job@base64/bmlnaHRseQ/pipeline/taxi"),
            // A value of that name is no label of that name.
            ("/metrics/job/pipeline", "/metrics/job/pipeline/pipeline/taxi"),
            // The caller's choice, and what is no group.
            ("/metrics/job/nightly/pipeline/all", "/metrics/job/nightly/pipeline/all"),
            ("/metrics/job/nightly/pipeline@base64/YWxs", "/metrics/job/nightly/pipeline@base64/YWxs"),
            ("/nowhere", "/nowhere"),
        ] {
            assert_eq!(group(path, "taxi"), pushed);
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_gateways_words() {
        let (_, sent) = exchange("", "HTTP/1.1 400 Bad Request\r\n\r\npushed metrics are invalid\n");
        let error = sent.unwrap_err().to_string();
        assert!(error.ends_with("refused the metrics: HTTP/1.1 400 Bad Request pushed metrics are invalid"), "{error}");
        let (_, sent) = exchange("", "SSH-2.0-OpenSSH\r\n");
        assert!(sent.unwrap_err().to_string().ends_with("its answer is not HTTP"));
    }

    #[test]
    fn urls_are_read_or_refused_with_the_reason() {
        let target = parse("http://[::1]:9091/metrics/job/x").unwrap();
        assert_eq!((target.host, target.port, target.path), ("::1", 9091, "/metrics/job/x"));
        assert_eq!(parse("http://gateway").unwrap().port, 80);
        assert!(parse("https://gateway").unwrap_err().starts_with("only http://"));
        for (url, problem) in [
            ("http://", "it names no host"),
            ("http://u:p@gateway", "user names and passwords are not supported"),
            ("http://gateway:http", "its port is no number up to 65535"),
            ("http://gateway/x\r\nEvil: 1", "it holds blanks or control characters"),
        ] {
            assert_eq!(parse(url).unwrap_err(), problem, "{url}");
        }
    }

    #[test]
    fn nobody_listening_is_an_error_that_names_the_place() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = send("PUT", &format!("http://{free}"), "taxi", "a 1\n").unwrap_err().to_string();
        assert_eq!(error, format!("cannot push to {free}: connecting failed"));
    }
}
