//! The shape of the source: who may import whom, which files stay pure, and that the tour names what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module -> the modules of ours it may import. A new edge is a decision: make it here, and in `docs/ARCHITECTURE.md`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // The vocabulary and the two seams.
    ("job", &[]),
    ("clock", &["job"]),
    ("storage", &["job", "planted"]),
    // Bugs for the fault suites to find; nothing in a build without them.
    ("planted", &[]),
    // What the user wants.
    ("config", &["job", "sql"]),
    ("sql", &["config"]),
    // A file's life.
    ("discover", &["clock", "config", "job", "planted"]),
    ("engine", &["discover", "job"]),
    ("csv", &["config", "job"]),
    ("pipeline", &["clock", "config", "csv", "job", "sql", "storage", "telemetry"]),
    ("ledger", &["clock", "job", "planted", "storage"]),
    ("admit", &["clock", "config", "job", "ledger", "storage"]),
    ("publish", &["admit", "clock", "config", "job", "ledger", "planted", "storage"]),
    ("worker", &["clock", "config", "job", "pipeline", "telemetry"]),
    // What is told.
    ("telemetry", &["clock", "job", "planted"]),
    ("http", &["telemetry", "job"]),
    ("dashboards", &["telemetry"]),
    // The wiring.
    ("lifecycle", &[]),
    (
        "daemon",
        &[
            "admit",
            "clock",
            "config",
            "discover",
            "engine",
            "http",
            "job",
            "ledger",
            "lifecycle",
            "pipeline",
            "publish",
            "storage",
            "telemetry",
            "worker",
        ],
    ),
    (
        "cli",
        &[
            "admit",
            "clock",
            "config",
            "csv",
            "daemon",
            "dashboards",
            // The web config is `http`'s; `check` and `print scrape-config` ask whether it is sound.
            "http",
            "job",
            "ledger",
            "lifecycle",
            "pipeline",
            "publish",
            "storage",
            "telemetry",
            "worker",
        ],
    ),
];

/// Files (or folders) that decide and never do: no files, no network, no clock, no tasks, no logging.
const PURE: &[&str] = &[
    "src/job.rs",
    "src/job/",
    "src/engine.rs",
    "src/engine/",
    "src/discover/settle.rs",
    "src/dashboards/",
    "src/cli/print/pace.rs",
    "src/cli/init/sample.rs",
    "src/cli/init/guess.rs",
    "src/cli/init/render.rs",
    "src/cli/demo/feed.rs",
    "src/cli/demo/feed/",
];

/// What a pure file must not mention.
const IMPURE: &[&str] =
    &["std::fs", "std::env", "std::net", "std::process", "tokio", "tracing", "Instant::now", "SystemTime", "rusqlite"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every `.rs` file below a folder of the project, relative to its root.
fn sources(folder: &str) -> Vec<PathBuf> {
    super::support::files_under(&root().join(folder))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.strip_prefix(root()).unwrap().to_owned())
        .collect()
}

/// Returns the code of a file outside its unit tests, with comments and the insides of literals blanked.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let text = blank(&text);
    match text.find("#[cfg(test)]\nmod tests") {
        Some(tests) => text[..tests].to_owned(),
        None => text,
    }
}

/// Blanks comments, strings and character literals.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest, out.chars().last()) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = rest.find('"').unwrap() + 1;
            rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len())
        } else if c == '"' {
            string_end(rest, '"')
        } else if c == '\'' && is_char(rest) {
            string_end(rest, '\'')
        } else {
            0
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

/// Returns the number of hashes if a raw string starts here.
fn raw_string(rest: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    behind[hashes..].starts_with('"').then_some(hashes)
}

/// Returns whether a quote starts a character and not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

fn string_end(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Returns the top-level module a file belongs to; `None` for `main.rs`, `lib.rs` and `build.rs`.
fn module_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    let name = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
    (!["main", "lib", "build"].contains(&name.as_str())).then_some(name)
}

/// Returns whether a file is only compiled for tests: it, or a module it is in, is declared behind `#[cfg(test)]`.
fn is_test(path: &Path) -> bool {
    let mut at = path.with_extension("");
    while let Some(folder) = at.parent().filter(|folder| *folder != Path::new("src")) {
        let name = at.file_name().unwrap().to_str().unwrap();
        let parent = fs::read_to_string(root().join(folder.with_extension("rs"))).unwrap_or_default();
        let mut lines =
            parent.lines().map(str::trim).scan("", |before, line| Some((std::mem::replace(before, line), line)));
        if lines.any(|(before, line)| before == "#[cfg(test)]" && line.ends_with(&format!("mod {name};"))) {
            return true;
        }
        at = folder.to_owned();
    }
    false
}

/// Returns the identifier at the start of a text.
fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the modules of ours that a file names, by `crate::x` or by climbing with `super::`.
fn imports(path: &Path, modules: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let code = code(path);
    let depth = path.components().count() - 1;
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let name = identifier(&code[at + "crate::".len()..]);
        if name.is_empty() {
            return Err(format!(
                "{}: write `use crate::a::b`, one module at a time: braces hide what is imported",
                path.display()
            ));
        }
        found.insert(name);
    }
    for (at, _) in code.match_indices("super::") {
        let mut rest = &code[at..];
        let mut climbed = 0;
        while let Some(behind) = rest.strip_prefix("super::") {
            rest = behind;
            climbed += 1;
        }
        let name = identifier(rest);
        if climbed >= depth && modules.contains(&name) {
            found.insert(name);
        }
    }
    Ok(found)
}

#[test]
fn imports_run_one_way() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let files = sources("src");
    let modules: BTreeSet<String> = files.iter().filter_map(|path| module_of(path)).collect();
    let listed: BTreeSet<String> = table.keys().map(ToString::to_string).collect();
    assert_eq!(modules, listed, "MAY_IMPORT lists the top-level modules");

    let mut faults = Vec::new();
    for path in &files {
        let Some(module) = module_of(path).filter(|_| !is_test(path)) else { continue };
        match imports(path, &modules) {
            Err(fault) => faults.push(fault),
            Ok(found) => {
                for name in found {
                    if modules.contains(&name) && name != module && !table[module.as_str()].contains(&name.as_str()) {
                        faults.push(format!("{}: {module} may not import {name}", path.display()));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn test_files_are_told_apart() {
    assert!(is_test(Path::new("src/publish/crash_tests.rs")));
    assert!(!is_test(Path::new("src/publish/steps.rs")) && !is_test(Path::new("src/publish.rs")));
}

#[test]
fn nobody_imports_the_command_line() {
    for (module, allowed) in MAY_IMPORT {
        assert!(!allowed.contains(&"cli"), "{module}");
    }
}

#[test]
fn pure_files_stay_pure() {
    let files = sources("src");
    let mut faults = Vec::new();
    for pure in PURE {
        let covered: Vec<&PathBuf> = files
            .iter()
            .filter(|path| path.to_str().unwrap() == *pure || (pure.ends_with('/') && path.starts_with(pure)))
            .collect();
        if covered.is_empty() && !pure.ends_with('/') {
            faults.push(format!("{pure} is listed as pure and not there"));
        }
        for path in covered {
            let code = code(path);
            for word in IMPURE {
                if code.contains(word) {
                    faults.push(format!("{} mentions {word}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Checks that every file below `folder` is declared as a module by its parent: an undeclared one would never be compiled.
fn undeclared(folder: &str, roots: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for path in sources(folder) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "mod" {
            faults.push(format!("{}: the house style is name.rs and name/", path.display()));
        }
        let directory = path.parent().unwrap();
        let parents: Vec<PathBuf> = if directory == Path::new(folder) {
            if roots.contains(&name) || name == "build" {
                continue;
            }
            roots.iter().map(|root| directory.join(format!("{root}.rs"))).collect()
        } else {
            vec![directory.with_extension("rs")]
        };
        let declared = parents.iter().any(|parent| {
            let text = fs::read_to_string(root().join(parent)).unwrap_or_default();
            text.lines().any(|line| line.trim().split(' ').rev().take(2).eq([format!("{name};").as_str(), "mod"]))
        });
        if !declared {
            faults.push(format!("{} is declared nowhere", path.display()));
        }
    }
    faults
}

#[test]
fn no_file_is_forgotten() {
    let faults =
        [undeclared("src", &["main", "lib"]), undeclared("tests/it", &["main"]), undeclared("tests/faults", &["main"])]
            .concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_architecture_document_names_what_is_there() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let mut faults = Vec::new();
    for module in sources("src").iter().filter_map(|path| module_of(path)).collect::<BTreeSet<_>>() {
        let names = [format!("`src/{module}.rs`"), format!("`src/{module}/`"), format!("`{module}`")];
        if !names.iter().any(|name| text.contains(name)) {
            faults.push(format!("module {module} is not in the tour"));
        }
    }
    for word in text.split('`').skip(1).step_by(2) {
        let path = ["src/", "tests/", "docs/", ".ci/"].iter().any(|start| word.starts_with(start));
        if path && !word.contains(['*', '<', ' ']) && !root().join(word).exists() {
            faults.push(format!("{word} is named and not there"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Where series are made. Everywhere else a number can only move a series that is there: so no label value comes from a
/// file, a request or an error, and only the configuration can make them more.
const SERIES_ARE_MADE: &[&str] = &[
    // Everything of a pipeline and of the daemon, once: names of the config, words of closed sets.
    "src/telemetry/handles.rs",
    // One page of one run, and that of the process.
    "src/telemetry/oneshot.rs",
    "src/telemetry/process.rs",
    "src/telemetry/registry.rs",
    // What may vanish, and facts of the build: pipelines of the config, workers by number, log levels.
    "src/telemetry.rs",
];

#[test]
fn no_label_value_comes_from_outside() {
    const MAKING: &[&str] =
        &[".counter(", ".gauge(", ".histogram(", ".traced(", "per_word(", "Late::new(", "page.add(", "Key::from"];
    let making = |path: &Path| code(path).lines().filter(|line| MAKING.iter().any(|word| line.contains(word))).count();
    let files = sources("src").into_iter().filter(|path| !is_test(path) && making(path) > 0);
    let made: Vec<String> = files.map(|path| path.to_str().unwrap().to_owned()).collect();
    assert_eq!(made, SERIES_ARE_MADE, "a new place where series are made: where do its label values come from?");
}

#[test]
fn the_scan_sees_through_comments_strings_and_lifetimes() {
    let text = "use crate::a; // crate::b\n/* crate::c */ let x = \"crate::d \\\" crate::e\"; r#\"crate::f\"# '\"' &'a crate::g";
    let blanked = blank(text);
    let seen: Vec<String> = blanked.match_indices("crate::").map(|(at, _)| identifier(&blanked[at + 7..])).collect();
    assert_eq!(seen, ["a", "g"]);
}
