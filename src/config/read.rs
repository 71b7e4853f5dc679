//! The whole file: syntax, then `[server]`, `[paths]`, `[limits]` and the pipelines.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::decode::{Document, Item, Place, Section};
use super::effective::effective;
use super::error::ConfigErrors;
use super::logic::Depth;
use super::{Config, Pipeline, folders, pipeline};

/// Reads and validates the file at `path`, its SQL by planning it and running it over no rows.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    parse(&read_text(path)?, path)
}

/// Reads the file at `path` and judges nothing yet.
pub fn read_text(path: &Path) -> Result<String, ConfigErrors> {
    let text = std::fs::read(path).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::NotFound {
            "name another with -c, or make one with `forebay init FILE.csv > forebay.toml`"
        } else if error.kind() == std::io::ErrorKind::IsADirectory {
            "name the file in it with -c"
        } else {
            "the file must be readable for the user forebay runs as"
        };
        ConfigErrors::whole(path, format!("the configuration cannot be read: {error}"), hint)
    })?;
    String::from_utf8(text)
        .map_err(|_| ConfigErrors::whole(path, "the configuration is not UTF-8", "save it as UTF-8 text"))
}

/// Validates `text` as if it stood in the file `origin`: relative paths are relative to that file's folder.
pub fn parse(text: &str, origin: &Path) -> Result<Config, ConfigErrors> {
    decode(text, origin, Depth::Run)
}

/// As [`parse`], but without running its SQL, which would make Polars' engine resident: for a text that was accepted before.
pub fn parse_planned(text: &str, origin: &Path) -> Result<Config, ConfigErrors> {
    decode(text, origin, Depth::Plan)
}

/// As [`parse`], but without looking at its SQL at all, so that no job can be run with it: for a process that must stay small
/// and whole, and a text that was accepted before.
pub fn parse_outline(text: &str, origin: &Path) -> Result<Config, ConfigErrors> {
    decode(text, origin, Depth::Outline)
}

fn decode(text: &str, origin: &Path, depth: Depth) -> Result<Config, ConfigErrors> {
    let doc = Document::new(text, depth);
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut config = Config { text: text.into(), ..read(&doc, table.get_ref(), origin) };
    let errors = doc.finish(&syntax);
    if !errors.is_empty() {
        return Err(ConfigErrors::new(origin, errors));
    }
    config.effective = effective(text, &config);
    Ok(config)
}

/// Reads the root table. Faults are reported to `doc`; the value is whole even so.
pub(super) fn read<'a>(doc: &'a Document, table: &'a DeTable<'a>, origin: &Path) -> Config {
    let root = Section::root(doc, table);
    let server_section = root.section("server", "server");
    let (folders, state) = paths(root.section("paths", "paths"), origin);
    let server = server(server_section, &folders);
    let limits = limits(root.section("limits", "limits"));
    let mut pipelines: Vec<(Place, Arc<Pipeline>)> = Vec::new();
    let faults = doc.faults();
    for (name, item) in root.named("pipelines") {
        pipelines.push((item.place.clone(), Arc::new(pipeline::read(&name, &item, &folders))));
    }
    if pipelines.is_empty() && doc.faults() == faults {
        let place = Place { key: "pipelines".to_owned(), at: 0 };
        doc.misplaced(&place, "there is no pipeline", "add [pipelines.NAME] with its columns");
    }
    root.finish();
    let config = Config {
        file: std::path::absolute(origin).unwrap_or_else(|_| origin.to_owned()),
        text: Arc::default(),
        listen: server.listen,
        web_config_file: server.web_config_file,
        enable_lifecycle: server.enable_lifecycle,
        effective: String::new(),
        state,
        workers: limits.workers,
        memory: limits.memory,
        drain: limits.drain,
        stall_timeout: limits.stall_timeout,
        job_timeout: limits.job_timeout,
        pipelines: pipelines.iter().map(|(_, pipeline)| Arc::clone(pipeline)).collect(),
    };
    let places: Vec<_> = pipelines.into_iter().map(|(place, _)| place).collect();
    for overlap in folders::overlaps(&config, lexical) {
        let at = overlap.pipeline.and_then(|index| places.get(index)).map_or(0, |place| place.at);
        doc.misplaced(&Place { key: overlap.key, at }, overlap.message, folders::HINT);
    }
    config
}

struct Server {
    listen: Vec<SocketAddr>,
    web_config_file: Option<PathBuf>,
    enable_lifecycle: bool,
}

fn server(section: Section<'_>, folders: &Folders) -> Server {
    let listen = section.opt("listen").map(|item| addresses(&item)).unwrap_or_default();
    let enable_lifecycle = section.opt("enable_lifecycle").and_then(|item| item.flag()).unwrap_or(false);
    let web_config_file = section.opt("web_config_file").and_then(|item| folders.given(&item));
    section.finish();
    let default = SocketAddr::from(([127, 0, 0, 1], 17170));
    let listen = if listen.is_empty() { vec![default] } else { listen };
    Server { listen, web_config_file, enable_lifecycle }
}

/// Reads one address, or a list of them.
fn addresses(item: &Item<'_>) -> Vec<SocketAddr> {
    if !item.is_list() {
        return item.text().and_then(|text| address(item, text)).into_iter().collect();
    }
    let texts = item.texts().unwrap_or_default();
    if texts.is_empty() {
        item.wrong("an empty list is no address", "leave it out for \"127.0.0.1:17170\"");
    }
    let mut listen = Vec::new();
    for (item, text) in texts {
        match address(&item, text) {
            Some(address) if address.port() != 0 && listen.contains(&address) => {
                item.wrong(format!("{text} is listed twice"), ());
            }
            found => listen.extend(found),
        }
    }
    listen
}

fn address(item: &Item<'_>, text: &str) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let hint = match text.rsplit_once(':') {
            Some(("", port)) => {
                format!("write \"0.0.0.0:{port}\" for every address, \"127.0.0.1:{port}\" for this machine")
            }
            Some(("localhost", port)) => format!("write \"127.0.0.1:{port}\""),
            _ => "for instance \"127.0.0.1:17170\"".to_owned(),
        };
        item.wrong(format!("{text:?} is no address and port"), hint);
    }
    address
}

/// Turns the paths of the file into absolute ones.
pub(super) struct Folders {
    /// Folder of the configuration file.
    home: PathBuf,
    /// Folder from which the defaults derive.
    pub(super) base: PathBuf,
}

impl Folders {
    /// Returns the absolute path a value names.
    pub(super) fn given(&self, item: &Item<'_>) -> Option<PathBuf> {
        let text = item.text()?;
        if text.is_empty() || text.contains('\0') {
            item.wrong("a path cannot be empty or hold a NUL byte", ());
            return None;
        }
        if text == "~" || text.starts_with("~/") {
            item.wrong("~ is not expanded", "write the folder in full");
            return None;
        }
        Some(tidy(&self.home.join(text)))
    }
}

fn paths(section: Section<'_>, origin: &Path) -> (Folders, PathBuf) {
    let origin = std::path::absolute(origin).unwrap_or_else(|_| origin.to_owned());
    let home = tidy(origin.parent().unwrap_or(Path::new("/")));
    let mut folders = Folders { base: home.join("data"), home };
    if let Some(base) = section.opt("base").and_then(|item| folders.given(&item)) {
        folders.base = base;
    }
    let state = section.opt("state").and_then(|item| folders.given(&item));
    section.finish();
    let state = state.unwrap_or_else(|| folders.base.join("state"));
    (folders, state)
}

/// Drops `.` and doubled slashes; `..` stays, since behind a symlink it means something else.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Resolves `..` by the letter, for comparing paths without a look at the disk.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

const WEEK: Duration = Duration::from_hours(7 * 24);

struct Limits {
    workers: usize,
    memory: Option<u64>,
    drain: Duration,
    stall_timeout: Duration,
    job_timeout: Duration,
}

fn limits(section: Section<'_>) -> Limits {
    let workers = section.opt("workers").and_then(|item| item.whole(1..=256));
    let memory = section.opt("memory").and_then(|item| item.size((64 << 20)..=(1 << 50)));
    let drain = section.opt("drain").and_then(|item| item.duration(Duration::ZERO..=Duration::from_hours(1)));
    let stall =
        section.opt("stall_timeout").and_then(|item| item.duration(Duration::from_secs(1)..=Duration::from_hours(24)));
    let job = section.opt("job_timeout").and_then(|item| item.duration(Duration::from_secs(1)..=WEEK));
    section.finish();
    Limits {
        workers: workers.and_then(|count| usize::try_from(count).ok()).unwrap_or_else(default_workers),
        memory,
        drain: drain.unwrap_or(Duration::from_secs(30)),
        stall_timeout: stall.unwrap_or(Duration::from_mins(10)),
        job_timeout: job.unwrap_or(Duration::from_hours(6)),
    }
}

/// As many as there are cores (within the cgroup's quota), but not more than disks and memory usually bear.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
}

#[cfg(test)]
mod tests {
    use super::super::{Compression, OnExtra, OnMissing, RowFormat, RuleAction};
    use super::*;

    fn sound(text: &str) -> Config {
        parse(text, Path::new("/etc/forebay/forebay.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn what_is_not_said_has_the_documented_default() {
        let config = sound("[pipelines.sales.columns]\na = \"int64\"\n[pipelines.sales.rules]\nr = \"a > 0\"");
        assert_eq!(config.file, Path::new("/etc/forebay/forebay.toml"));
        assert_eq!(config.listen, ["127.0.0.1:17170".parse().unwrap()]);
        assert_eq!(config.web_config_file, None);
        assert!(!config.enable_lifecycle);
        assert_eq!(config.state, Path::new("/etc/forebay/data/state"));
        assert_eq!(config.drain, Duration::from_secs(30));
        assert_eq!(config.memory, None);
        assert_eq!(config.stall_timeout, Duration::from_mins(10));
        assert_eq!(config.job_timeout, Duration::from_hours(6));
        assert!((1..=8).contains(&config.workers));
        let sales = config.pipelines.first().unwrap();
        assert_eq!(sales.input, Path::new("/etc/forebay/data/in/sales"));
        assert_eq!(sales.output, Path::new("/etc/forebay/data/out/sales"));
        assert_eq!(sales.archive, Path::new("/etc/forebay/data/archive/sales"));
        assert_eq!(sales.quarantine, Path::new("/etc/forebay/data/quarantine/sales"));
        assert!(sales.files.is_match("x.csv") && sales.files.is_match("x.csv.gz") && sales.files.is_match("x.csv.zst"));
        assert!(!sales.files.is_match("x.txt") && !sales.files.is_match("x.csv.done"));
        assert_eq!((sales.settle, sales.scan_interval), (Duration::from_secs(2), Duration::from_secs(30)));
        assert_eq!((sales.accept.max_reject_ratio, sales.accept.max_rejects, sales.accept.min_rows), (0.05, 10, 0));
        assert_eq!((sales.drift.extra, sales.drift.missing), (OnExtra::Ignore, OnMissing::Quarantine));
        assert_eq!((sales.rows.format, sales.rows.compression), (RowFormat::Parquet, Compression::Zstd));
        assert_eq!((sales.csv.delimiter, sales.csv.quote, sales.csv.max_record_bytes), (b',', Some(b'"'), 1 << 20));
        assert_eq!(sales.rules.first().unwrap().action, RuleAction::Reject);
        assert_eq!((sales.freshness, sales.latency), (None, None));
    }

    #[test]
    fn each_format_has_its_own_default_compression() {
        for (format, compression) in [
            ("parquet", Compression::Zstd),
            ("ipc", Compression::Zstd),
            ("csv", Compression::None),
            ("ndjson", Compression::None),
        ] {
            let config = sound(&format!("[pipelines.p]\ncolumns.a = \"int64\"\nrows.format = \"{format}\""));
            assert_eq!(config.pipelines.first().unwrap().rows.compression, compression, "{format}");
        }
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        let config =
            sound("[paths]\nbase = \"./pool\"\n[pipelines.p]\ninput = \"../drops//p/\"\ncolumns.a = \"int64\"");
        let pipeline = config.pipelines.first().unwrap();
        assert_eq!(pipeline.input, Path::new("/etc/forebay/../drops/p"));
        assert_eq!(pipeline.output, Path::new("/etc/forebay/pool/out/p"));
        assert_eq!(config.state, Path::new("/etc/forebay/pool/state"));
    }

    #[test]
    fn the_endpoint_may_have_several_addresses_and_a_web_config_beside_the_file() {
        let config = sound(
            "[server]\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]\nweb_config_file = \"web.yml\"\n[pipelines.p]\ncolumns.a = \"int64\"",
        );
        assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()]);
        assert_eq!(config.web_config_file.unwrap(), Path::new("/etc/forebay/web.yml"));
    }

    #[test]
    fn order_is_the_order_of_the_file() {
        let config = sound("[pipelines.z.columns]\nz = \"int64\"\na = \"int64\"\n[pipelines.a.columns]\nx = \"int64\"");
        let names: Vec<_> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
        assert_eq!(names, ["z", "a"]);
        let columns: Vec<_> = config.pipelines.first().unwrap().columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(columns, ["z", "a"]);
    }

    #[test]
    fn the_hash_follows_the_meaning_not_the_spelling() {
        let hash = |text: &str| sound(text).pipelines.first().unwrap().config_hash.clone();
        let plain = hash("[pipelines.p]\nsettle = \"2s\"\n[pipelines.p.columns]\na = \"int64\"\nb = \"string\"");
        assert_eq!(plain.len(), 16);
        assert!(plain.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let respelled = "# a comment\n[limits]\nworkers = 1\n[pipelines]\n\
            p = { settle = '2s', columns = { \"a\" = \"int64\", b = '''string''' } }";
        assert_eq!(hash(respelled), plain);
        for other in [
            "[pipelines.p]\nsettle = \"3s\"\n[pipelines.p.columns]\na = \"int64\"\nb = \"string\"",
            "[pipelines.p]\nsettle = \"2s\"\n[pipelines.p.columns]\nb = \"string\"\na = \"int64\"",
            "[pipelines.p]\nsettle = \"2s\"\n[pipelines.p.columns]\na = \"int64\"\nb = \"int64\"",
        ] {
            assert_ne!(hash(other), plain, "{other}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_so() {
        let errors = load(Path::new("/nowhere/forebay.toml")).unwrap_err().to_string();
        assert!(errors.starts_with("/nowhere/forebay.toml: the configuration cannot be read:"), "{errors}");
        assert!(errors.contains("-c"), "{errors}");
    }

    #[test]
    fn sql_is_looked_at_as_closely_as_was_asked_for() {
        let file = Path::new("f.toml");
        let text = "[pipelines.p.columns]\nb = \"string\"\n[pipelines.p.rules]\nr = \"b > 5\"\n\
            [pipelines.p.aggregates.a]\nsql = \"SELECT COUNT(*) AS n FROM rows WHERE b > 5\"";
        assert!(parse_planned(text, file).is_ok());
        let keys = |errors: ConfigErrors| errors.errors.into_iter().map(|error| error.key).collect::<Vec<_>>();
        assert_eq!(keys(parse(text, file).unwrap_err()), ["pipelines.p.rules.r", "pipelines.p.aggregates.a.sql"]);
        let unplannable = text.replace("b > 5", "c > 5");
        assert_eq!(keys(parse_planned(&unplannable, file).unwrap_err()).len(), 2);
        assert!(parse_outline(&unplannable, file).is_ok());
        let misspelt = format!("[pipelines.p]\nsetle = \"1s\"\n{unplannable}");
        assert_eq!(keys(parse_outline(&misspelt, file).unwrap_err()), ["pipelines.p.setle"], "the rest is judged");
    }

    #[test]
    fn an_outline_differs_from_the_whole_in_the_compiled_sql_alone() {
        let text = "[pipelines.p]\ncolumns = { at = \"datetime\", n = \"int64\" }\nderive = { day = \"CAST(at AS DATE)\", m = \"n + 1\" }\n\
            rules = { r = \"m > 0\", w = { check = \"n < 9\", action = \"warn\" } }\nrows.partition_by = [\"day\"]\n\
            aggregates.a.sql = \"SELECT COUNT(*) AS n FROM rows\"";
        let (whole, outline) = (sound(text), parse_outline(text, Path::new("/etc/forebay/forebay.toml")).unwrap());
        let mut stripped = Pipeline::clone(whole.pipelines.first().unwrap());
        stripped.derive.iter_mut().for_each(|derive| assert!(derive.expr.take().is_some()));
        stripped.rules.iter_mut().for_each(|rule| assert!(rule.expr.take().is_some()));
        stripped.aggregates.iter_mut().for_each(|aggregate| assert!(aggregate.steps.take().is_some()));
        let stripped = Config { pipelines: vec![Arc::new(stripped)], ..whole };
        assert_eq!(format!("{outline:?}"), format!("{stripped:?}"));
    }

    #[test]
    fn lines_count_from_one_and_point_at_the_value() {
        let errors = parse("\n[pipelines.p]\n\nsettle = 2\ncolumns.a = \"int64\"", Path::new("f.toml")).unwrap_err();
        let lines: Vec<_> = errors.errors.iter().map(|error| (error.line, error.key.as_str())).collect();
        assert_eq!(lines, [(Some(4), "pipelines.p.settle")]);
    }
}
