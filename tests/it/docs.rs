//! The documents: every link leads somewhere, and what has a closed set of names names all of them.

use std::fs;
use std::path::{Path, PathBuf};

use forebay::config;
use forebay::job::{Outcome, QuarantineReason, RejectReason};
use serde_json::Value;

use crate::cli::{HALF_GOOD, NUMBERS};
use crate::support::{Project, files_under, published_under};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every document for people.
fn documents() -> Vec<PathBuf> {
    let folders = ["docs", "alerts", "deploy", "grafana"];
    let all = folders.iter().flat_map(|folder| files_under(&root().join(folder)));
    let mut pages: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.push(root().join("README.md"));
    pages
}

/// Returns the targets of the links in Markdown.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// Returns what links to the headings of a page look like.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let letters = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = letters.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.iter().any(|known| known == anchor), "{}: {link}: no such heading", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "only {followed} links are found");
}

#[test]
fn every_outcome_and_reason_is_explained() {
    let page = read("docs/RESULTS.md");
    let words = |names: &[&str]| {
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "docs/RESULTS.md does not explain {name}");
        }
    };
    words(&Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>());
    words(&QuarantineReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>());
    words(&RejectReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>());
}

#[test]
fn every_field_of_a_manifest_and_column_of_rejects_is_explained() {
    let page = read("docs/RESULTS.md");
    let project = Project::new(NUMBERS);
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    project.cli().args(["once", "x.csv", "--out", "r"]).run().expect_code(0);
    let published = published_under(&project.path("r")).remove(0);
    let explained =
        |name: &str| assert!(page.contains(&format!("`{name}`")), "docs/RESULTS.md does not explain {name}");
    let Value::Object(manifest) = &published.manifest else { panic!("{}", published.manifest) };
    manifest.keys().for_each(|name| explained(name));
    for part in ["input", "rows"] {
        manifest[part].as_object().unwrap().keys().for_each(|name| explained(name));
    }
    let rejects = crate::support::read_parquet(&published.path.join("rejects.parquet"));
    rejects.get_column_names().iter().for_each(|name| explained(name));
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let page = read("docs/CONFIGURATION.md");
    let schema: Value = serde_json::from_str(&config::json_schema()).unwrap();
    let mut keys = Vec::new();
    properties(&schema, &mut keys);
    assert!(keys.len() > 50, "only {} keys are found", keys.len());
    for key in keys {
        let explained = page.contains(&format!("`{key}`")) || page.contains(&format!("## `[{key}"));
        assert!(explained, "docs/CONFIGURATION.md does not explain {key}");
    }
}

/// Collects the names of all properties in a JSON Schema.
fn properties(schema: &Value, keys: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(named)) = fields.get("properties") {
                keys.extend(named.keys().cloned());
            }
            fields.values().for_each(|field| properties(field, keys));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
