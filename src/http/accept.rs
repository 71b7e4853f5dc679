//! Content negotiation: which format and which coding a client wants most. Pure.

use axum::http::{HeaderMap, HeaderName, header};

use crate::telemetry::Format;

/// How a body is packed for the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// Returns its name in `Content-Encoding`; none for a body as it is.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// Returns the format wanted most: of equals the first named. Who names none we speak gets the text format.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut best: Option<(u16, Format)> = None;
    for offer in offers(headers, &header::ACCEPT) {
        let Some(format) = offer.format() else { continue };
        if offer.weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((offer.weight, format));
        }
    }
    best.map_or(Format::Text, |(_, format)| format)
}

/// Returns the coding wanted most: of equals the one that packs best. Nothing is packed for who does not ask for it.
pub(super) fn coding(headers: &HeaderMap) -> Coding {
    let offers = offers(headers, &header::ACCEPT_ENCODING);
    let weight = |names: &[&str], otherwise: u16| {
        let named = offers.iter().find(|offer| names.iter().any(|name| offer.value.eq_ignore_ascii_case(name)));
        let any = || offers.iter().find(|offer| offer.value == "*");
        named.or_else(any).map_or(otherwise, |offer| offer.weight)
    };
    // A body as it is may always be sent, but is the last choice unless it is named.
    let plain =
        offers.iter().find(|offer| offer.value.eq_ignore_ascii_case("identity")).map_or(0, |offer| offer.weight);
    let packed = [(weight(&["zstd"], 0), Coding::Zstd), (weight(&["gzip", "x-gzip"], 0), Coding::Gzip)];
    let mut best = (plain, Coding::Identity);
    for (weight, coding) in packed.into_iter().rev() {
        if weight > 0 && weight >= best.0 {
            best = (weight, coding);
        }
    }
    best.1
}

/// One entry of an `Accept` header.
#[derive(Debug)]
struct Offer<'h> {
    value: &'h str,
    version: Option<&'h str>,
    /// Thousandths; 0 means never.
    weight: u16,
}

impl Offer<'_> {
    fn format(&self) -> Option<Format> {
        let is = |name: &str, version: &str| {
            self.value.eq_ignore_ascii_case(name) && self.version.is_none_or(|wanted| wanted == version)
        };
        if is("application/openmetrics-text", "1.0.0") {
            return Some(Format::OpenMetrics);
        }
        (is("text/plain", "0.0.4") || ["text/*", "*/*"].contains(&self.value)).then_some(Format::Text)
    }
}

/// Returns the entries of every header of this name. What cannot be read is wanted by nobody.
fn offers<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<Offer<'h>> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(offer).filter(|offer| !offer.value.is_empty()).collect()
}

fn offer(text: &str) -> Offer<'_> {
    let mut parts = text.split(';').map(str::trim);
    let mut offer = Offer { value: parts.next().unwrap_or_default(), version: None, weight: 1000 };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("q") {
            offer.weight = weight(value);
        } else if name.eq_ignore_ascii_case("version") {
            offer.version = Some(value);
        }
    }
    offer
}

/// Returns a q-value in thousandths.
fn weight(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return 0;
    }
    match whole {
        "1" => 1000,
        "0" => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_format_is_the_one_wanted_most() {
        use Format::{OpenMetrics, Text};
        for (accept, wanted) in [
            // Prometheus 2.42, 3.x without and with protobuf first, curl, a browser.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                OpenMetrics,
            ),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text),
            ("text/plain;version=0.0.4", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("APPLICATION/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.2", OpenMetrics),
            // Told not to, told less, told later, told another version, told nonsense.
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.5", Text),
            ("text/plain,application/openmetrics-text", Text),
            ("application/openmetrics-text,text/plain", OpenMetrics),
            ("application/openmetrics-text;version=7.0.0", Text),
            ("application/openmetrics-text;q=much", Text),
            ("image/png", Text),
            ("", Text),
        ] {
            assert_eq!(format(&headers(&header::ACCEPT, &[accept])), wanted, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Text);
        let two = headers(&header::ACCEPT, &["text/plain;q=0.1", "application/openmetrics-text;q=0.2"]);
        assert_eq!(format(&two), OpenMetrics);
    }

    #[test]
    fn the_coding_is_the_one_wanted_most() {
        use Coding::{Gzip, Identity, Zstd};
        for (accept, wanted) in [
            ("gzip", Gzip),
            ("zstd", Zstd),
            ("gzip, deflate, br, zstd", Zstd),
            ("zstd;q=0.5, gzip;q=0.6", Gzip),
            ("GZIP;q=0.001", Gzip),
            ("x-gzip", Gzip),
            ("*", Zstd),
            ("*;q=0.5, zstd;q=0", Gzip),
            ("identity, gzip", Gzip),
            ("identity, gzip;q=0.5", Identity),
            ("gzip;q=0", Identity),
            ("gzip;q=2", Identity),
            ("br", Identity),
            ("identity", Identity),
            ("", Identity),
        ] {
            assert_eq!(coding(&headers(&header::ACCEPT_ENCODING, &[accept])), wanted, "{accept}");
        }
        assert_eq!(coding(&HeaderMap::new()), Identity);
    }
}
