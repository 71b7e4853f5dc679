//! The status page: plain HTML, made on the server, no script. It asks for itself again every ten seconds.

use std::fmt::{self, Display, Write as _};

use axum::extract::State;
use axum::response::Html;
use bytesize::ByteSize;

use super::App;
use super::api::{Refusal, ask};
use super::view::{FileFilter, FileSummary, OutcomeCounts, rfc3339};
use crate::job::{Outcome, Timestamp};
use crate::telemetry::{PipelineNow, Readiness};

const SHOWN: usize = 25;
const STYLE: &str = include_str!("page.css");

pub(super) async fn index(State(app): State<App>) -> Result<Html<String>, Refusal> {
    let filter = FileFilter { state: None, pipeline: None, limit: SHOWN };
    let (outcomes, files) = ask(&app, move |view| Ok((view.outcomes()?, view.files(&filter)?))).await?;
    Ok(Html(page(app.telemetry.readiness(), &app.telemetry.now(), &outcomes, &files)))
}

/// Makes the page.
fn page(readiness: Readiness, pipelines: &[PipelineNow], outcomes: &OutcomeCounts, files: &[FileSummary]) -> String {
    let (class, state) = match readiness {
        Readiness::Starting => ("wait", "starting"),
        Readiness::Ready => ("good", "ready"),
        Readiness::Draining => ("wait", "draining"),
    };
    let mut body = Body::default();
    body.put(format_args!(
        "<header><h1>forebay</h1> <b class={class}>{state}</b> <small>{}</small>",
        env!("CARGO_PKG_VERSION")
    ));
    body.put(format_args!("<nav><a href=/metrics>metrics</a> <a href=/api/v1/status>status</a> <a href=/api/v1/files>files</a> <a href=/-/config>config</a> <a href=/version>version</a></nav></header>\n"));
    pipeline_table(&mut body, pipelines, outcomes);
    file_table(&mut body, files);
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>forebay: {state}</title>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\"><meta http-equiv=refresh content=10>\n\
         <style>{STYLE}</style></head>\n<body>\n{}</body></html>\n",
        body.0
    )
}

fn pipeline_table(body: &mut Body, pipelines: &[PipelineNow], outcomes: &OutcomeCounts) {
    body.put(format_args!("<h2>Pipelines</h2>\n<div class=wide><table><thead><tr><th>pipeline<th>pending<th>in progress<th>in quarantine<th>files done<th>rows read<th>written<th>rejected<th>dropped<th>last success<th>last failure</tr></thead><tbody>\n"));
    for now in pipelines {
        let watching = if now.watching { "" } else { " <small>(scans only)</small>" };
        body.put(format_args!("<tr><td>{}{watching}", Escaped(&now.name)));
        body.put(format_args!(
            "<td class=n>{} <small>{}</small><td class=n>{}",
            now.pending,
            ByteSize(now.pending_bytes),
            now.in_flight
        ));
        let alarm = if now.quarantined > 0 { " bad" } else { "" };
        body.put(format_args!("<td class=\"n{alarm}\">{}<td>", now.quarantined));
        let counts = Outcome::ALL.iter().map(|outcome| {
            let count = outcomes.get(&now.name).and_then(|of| of.get(outcome)).copied().unwrap_or(0);
            (outcome.as_str(), count)
        });
        body.put(counted(counts));
        let rows = now.rows;
        body.put(format_args!(
            "<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            rows.read, rows.written, rows.rejected, rows.dropped
        ));
        body.put(format_args!("<td>{}<td>{}</tr>\n", Time(now.last_success), Time(now.last_failure)));
    }
    body.put(format_args!(
        "</tbody></table></div>\n<p><small>Rows are those published since the start of this process.</small></p>\n"
    ));
}

fn file_table(body: &mut Body, files: &[FileSummary]) {
    body.put(format_args!("<h2>Last files</h2>\n"));
    if files.is_empty() {
        body.put(format_args!("<p>None yet.</p>\n"));
        return;
    }
    body.put(format_args!("<div class=wide><table><thead><tr><th>arrived<th>pipeline<th>file<th>size<th>outcome<th>rows read<th>written<th>rejects by reason<th>dropped</tr></thead><tbody>\n"));
    for file in files {
        body.put(format_args!("<tr><td>{}<td>{}", Time(Some(file.arrived_at)), Escaped(&file.pipeline)));
        body.put(format_args!(
            "<td><a href=\"/api/v1/files/{}\">{}</a><td class=n>{}",
            file.id,
            Escaped(&file.name),
            ByteSize(file.bytes)
        ));
        let (class, word) = match file.outcome {
            Some(outcome @ (Outcome::Quarantined | Outcome::Failed)) => ("bad", outcome.as_str()),
            Some(outcome) => ("good", outcome.as_str()),
            None => ("wait", file.state.as_str()),
        };
        body.put(format_args!("<td><b class={class}>{}</b>", Escaped(word)));
        if let Some(message) = &file.message {
            body.put(format_args!(" <small>{}</small>", Escaped(message)));
        }
        if let Some(rows) = file.rows {
            body.put(format_args!("<td class=n>{}<td class=n>{}<td>", rows.read, rows.written));
            body.put(counted(file.rejects.iter().map(|(reason, rows)| (reason.as_str(), *rows))));
            body.put(format_args!("<td class=n>{}</tr>\n", rows.dropped));
        } else {
            body.put(format_args!("<td><td><td><td></tr>\n"));
        }
    }
    body.put(format_args!("</tbody></table></div>\n"));
}

/// Words with their counts, zeros left out.
fn counted<'w>(counts: impl Iterator<Item = (&'w str, u64)>) -> String {
    let shown: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(word, count)| format!("{} {count}", Escaped(word))).collect();
    if shown.is_empty() { "–".to_owned() } else { shown.join(", ") }
}

/// HTML under construction.
#[derive(Default)]
struct Body(String);

impl Body {
    fn put(&mut self, html: impl Display) {
        let written = write!(self.0, "{html}");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
}

/// Text that HTML cannot mistake for markup.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A point in time, UTC.
struct Time(Option<Timestamp>);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => {
                let text = rfc3339(at);
                write!(f, "<time datetime=\"{text}\">{}</time>", text.replace('T', " ").replace('Z', " UTC"))
            }
            None => f.write_str("–"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::job::{FileId, RejectReason, RowCounts};

    fn file(name: &str) -> FileSummary {
        FileSummary {
            id: FileId::parse("01kah5zq8v3w").unwrap(),
            pipeline: "taxi".to_owned(),
            name: name.to_owned(),
            bytes: 2048,
            state: "done".to_owned(),
            outcome: Some(Outcome::Succeeded),
            attempts: 1,
            arrived_at: Timestamp(1_800_000_000_000_000_000),
            finished_at: None,
            rows: Some(RowCounts { read: 10, written: 7, rejected: 3, dropped: 0 }),
            rejects: BTreeMap::from([(RejectReason::BadType, 3), (RejectReason::Rule, 0)]),
            reason: None,
            message: Some("<b>&'\"".to_owned()),
        }
    }

    #[test]
    fn nothing_a_file_brings_becomes_markup() {
        let hostile = file("<script>alert(1)</script>\"' onload=x");
        let html = page(Readiness::Ready, &[], &OutcomeCounts::new(), &[hostile]);
        assert!(!html.contains("<script") && !html.contains("\"' onload"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39; onload=x</a>"), "{html}");
        assert!(html.contains("<small>&lt;b&gt;&amp;&#39;&quot;</small>"), "{html}");
    }

    #[test]
    fn a_file_is_shown_with_its_rejects_by_reason() {
        let html = page(Readiness::Draining, &[], &OutcomeCounts::new(), &[file("a.csv")]);
        assert!(html.contains("<td class=n>10<td class=n>7<td>bad_type 3<td class=n>0"), "{html}");
        assert!(html.contains("<b class=wait>draining</b>") && html.contains("2027-01-15 08:00:00.000 UTC"), "{html}");
    }
}
