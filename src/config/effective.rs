//! The configuration in force: what the file says, with every default it leaves to us.
//!
//! It is TOML again, and sound: reading it gives the same. Nothing in it is secret: passwords and keys stand in the web
//! config file, which it only names.

use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use super::{Config, Pipeline, RowFormat, pipeline};

/// Returns `text`, which `config` was read from, with the defaults filled in.
pub(super) fn effective(text: &str, config: &Config) -> String {
    // Only called with a text that was read before.
    let mut root: Table = text.parse().unwrap_or_default();
    let server = table(&mut root, "server");
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    server.insert("listen".to_owned(), listen.into());
    put(server, "enable_lifecycle", config.enable_lifecycle);
    if let Some(file) = &config.web_config_file {
        server.insert("web_config_file".to_owned(), shown(file));
    }
    let paths = table(&mut root, "paths");
    paths.remove("base");
    paths.insert("state".to_owned(), shown(&config.state));
    let limits = table(&mut root, "limits");
    put(limits, "workers", whole(config.workers));
    put(limits, "drain", duration(config.drain));
    put(limits, "stall_timeout", duration(config.stall_timeout));
    put(limits, "job_timeout", duration(config.job_timeout));
    let pipelines = table(&mut root, "pipelines");
    for pipeline in &config.pipelines {
        fill(table(pipelines, &pipeline.name), pipeline);
    }
    let mut written = String::new();
    write(&mut written, "", &root, 0);
    written
}

fn fill(own: &mut Table, of: &Pipeline) {
    for (key, path) in
        [("input", &of.input), ("output", &of.output), ("archive", &of.archive), ("quarantine", &of.quarantine)]
    {
        own.insert(key.to_owned(), shown(path));
    }
    put(own, "files", pipeline::FILES.map(str::to_owned).to_vec());
    put(own, "settle", duration(of.settle));
    put(own, "scan_interval", duration(of.scan_interval));
    put(own, "on_success", spelling(&pipeline::ON_SUCCESS, &of.on_success));
    put(own, "max_decompressed_bytes", whole(of.inflate.max_bytes));
    put(own, "max_decompression_ratio", whole(of.inflate.max_ratio));
    let csv = table(own, "csv");
    let byte = |byte: Option<u8>| byte.map(char::from).map_or_else(String::new, String::from);
    put(csv, "delimiter", byte(Some(of.csv.delimiter)));
    put(csv, "quote", byte(of.csv.quote));
    put(csv, "encoding", of.csv.encoding.name());
    put(csv, "null_values", Vec::<String>::new());
    put(csv, "header", of.csv.header);
    put(csv, "skip_lines", whole(of.csv.skip_lines));
    put(csv, "max_record_bytes", whole(of.csv.max_record_bytes));
    let accept = table(own, "accept");
    put(accept, "max_reject_ratio", of.accept.max_reject_ratio);
    put(accept, "max_rejects", whole(of.accept.max_rejects));
    put(accept, "min_rows", whole(of.accept.min_rows));
    // Without a header there is nothing that could differ, and the section has no business there.
    if of.csv.header {
        let drift = table(own, "drift");
        put(drift, "extra", spelling(&pipeline::ON_EXTRA, &of.drift.extra));
        put(drift, "missing", spelling(&pipeline::ON_MISSING, &of.drift.missing));
    }
    let rows = table(own, "rows");
    let format = pipeline::FORMATS.iter().find(|(_, format, _)| *format == of.rows.format);
    put(rows, "format", format.map_or("", |(name, ..)| name));
    if of.rows.format != RowFormat::None {
        put(rows, "compression", spelling(&pipeline::COMPRESSIONS, &of.rows.compression));
    }
}

/// Sections go down to `[pipelines.NAME.columns]`; what is below stays on one line, so that columns and rules keep their order.
const DEEPEST: usize = 3;

fn write(text: &mut String, path: &str, table: &Table, depth: usize) {
    let is_section = |value: &Value| depth < DEEPEST && value.is_table();
    if table.values().any(|value| !is_section(value)) {
        text.extend(["\n[", path, "]\n"]);
    }
    for (key, value) in table.iter().filter(|(_, value)| !is_section(value)) {
        text.extend([&quoted(key), " = ", &value.to_string(), "\n"]);
    }
    for (key, value) in table {
        if let (true, Some(below)) = (is_section(value), value.as_table()) {
            let path = if path.is_empty() { quoted(key) } else { format!("{path}.{}", quoted(key)) };
            write(text, &path, below, depth + 1);
        }
    }
}

fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.to_owned() } else { Value::from(key).to_string() }
}

/// Returns the table under `key`, which is there afterwards.
fn table<'t>(parent: &'t mut Table, key: &str) -> &'t mut Table {
    let value = parent.entry(key).or_insert_with(|| Value::Table(Table::new()));
    if !value.is_table() {
        *value = Value::Table(Table::new());
    }
    match value {
        Value::Table(table) => table,
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => unreachable!("it was made a table above"),
    }
}

/// Fills in what the file leaves out.
fn put(table: &mut Table, key: &str, default: impl Into<Value>) {
    table.entry(key).or_insert_with(|| default.into());
}

fn shown(path: &Path) -> Value {
    path.display().to_string().into()
}

fn duration(of: Duration) -> String {
    humantime::format_duration(of).to_string()
}

fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn spelling<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_configuration_in_force_is_sound_and_says_the_same() {
        for sample in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/config/valid")).unwrap() {
            let path = sample.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let first = super::super::parse(&text, Path::new("/etc/forebay/forebay.toml")).unwrap();
            // Another folder: every path is already whole.
            let again = super::super::parse(&first.effective, Path::new("/elsewhere/forebay.toml"))
                .unwrap_or_else(|errors| panic!("{}: {errors}\n{}", path.display(), first.effective));
            assert_eq!(first.effective, again.effective, "{}", path.display());
            let shape = |config: &super::Config| {
                let pipelines = config.pipelines.iter().map(|of| {
                    let paths = (of.input.clone(), of.output.clone(), of.archive.clone(), of.quarantine.clone());
                    let times = (of.settle, of.scan_interval, of.freshness, of.latency);
                    let names: Vec<_> = of.columns.iter().map(|column| column.name.clone()).collect();
                    (paths, times, names, format!("{:?} {:?} {:?} {:?}", of.csv, of.accept, of.drift, of.rows))
                });
                (config.listen.clone(), config.state.clone(), config.workers, pipelines.collect::<Vec<_>>())
            };
            assert_eq!(shape(&first), shape(&again), "{}", path.display());
        }
    }

    #[test]
    fn defaults_are_filled_in_and_what_is_given_stays() {
        let text = "[pipelines.p]\nsettle = \"7s\"\ncolumns.a = \"int64\"";
        let config = super::super::parse(text, Path::new("/etc/forebay/forebay.toml")).unwrap();
        for line in [
            "listen = [\"127.0.0.1:17170\"]",
            "state = \"/etc/forebay/data/state\"",
            "settle = \"7s\"",
            "scan_interval = \"30s\"",
            "input = \"/etc/forebay/data/in/p\"",
            "max_record_bytes = 1048576",
            "max_reject_ratio = 0.05",
        ] {
            assert!(config.effective.lines().any(|found| found == line), "{line} in\n{}", config.effective);
        }
    }
}
