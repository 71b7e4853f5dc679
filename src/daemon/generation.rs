//! The configuration in force, and those before it that files in progress still go by.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::locks::Held;
use crate::config::{Config, OnSuccess, Pipeline};
use crate::discover::Names;

/// One configuration.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) config: Arc<Config>,
    pub(super) lanes: BTreeMap<Arc<str>, Arc<Lane>>,
}

/// What effects need to know of one pipeline. A file keeps the one it was claimed under.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: Arc<str>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) names: Names,
    pub(super) config: Arc<Config>,
    /// Held as long as a file needs this.
    pub(super) locks: Held,
}

impl Generation {
    pub(super) fn of(config: Config) -> Self {
        let config = Arc::new(config);
        let lane = |pipeline: &Arc<Pipeline>| {
            let key: Arc<str> = pipeline.name.as_str().into();
            let (pipeline, names, config) = (Arc::clone(pipeline), Names::of(pipeline), Arc::clone(&config));
            (Arc::clone(&key), Arc::new(Lane { key, pipeline, names, config, locks: Held::default() }))
        };
        Self { lanes: config.pipelines.iter().map(lane).collect(), config }
    }
}

/// The configuration in force, and the pipelines it lacks that still have files in progress.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) current: Arc<Generation>,
    pub(super) leaving: BTreeMap<Arc<str>, Arc<Lane>>,
}

impl Plans {
    pub(super) const fn new(current: Arc<Generation>) -> Self {
        Self { current, leaving: BTreeMap::new() }
    }

    /// Puts another configuration in force. The pipelines it lacks leave, until the engine lets go of them.
    pub(super) fn adopt(&mut self, next: Arc<Generation>) {
        self.leaving.extend(self.current.lanes.clone());
        self.leaving.retain(|key, _| !next.lanes.contains_key(key));
        self.current = next;
    }

    /// Returns the pipeline of that name, in force or leaving.
    pub(super) fn any(&self, key: &str) -> Option<&Arc<Lane>> {
        self.current.lanes.get(key).or_else(|| self.leaving.get(key))
    }

    /// Returns the keys of `next` that differ from what is in force and cannot change while the daemon runs.
    pub(super) fn fixed(&self, next: &Config) -> Vec<String> {
        let now = &self.current.config;
        let server = [
            ("server.listen", now.listen != next.listen),
            ("server.web_config_file", now.web_config_file != next.web_config_file),
            ("server.enable_lifecycle", now.enable_lifecycle != next.enable_lifecycle),
            ("paths.state", now.state != next.state),
        ];
        let mut keys: Vec<String> =
            server.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect();
        for pipeline in &next.pipelines {
            let Some(lane) = self.any(&pipeline.name) else { continue };
            let keep = |of: &Pipeline| of.on_success == OnSuccess::Keep;
            // Where files lie while they are in progress, and whether they are moved at all.
            if lane.pipeline.input != pipeline.input {
                keys.push(format!("pipelines.{}.input", pipeline.name));
            }
            if keep(&lane.pipeline) != keep(pipeline) {
                keys.push(format!("pipelines.{}.on_success", pipeline.name));
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = "[server]\nlisten = \"127.0.0.1:1\"\n[pipelines.a]\ncolumns.x = \"int64\"\n[pipelines.b]\ncolumns.x = \"int64\"";

    fn config(text: &str) -> Config {
        crate::config::parse(text, Path::new("/srv/forebay.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn plans() -> Plans {
        Plans::new(Arc::new(Generation::of(config(BASE))))
    }

    #[test]
    fn what_cannot_change_is_named() {
        for (from, to, keys) in [
            ("", "", &[][..]),
            ("[server]", "[limits]\nworkers = 7\nmemory = \"1GiB\"\ndrain = \"3s\"\n[server]", &[]),
            ("127.0.0.1:1", "127.0.0.1:2", &["server.listen"]),
            ("[server]", "[server]\nweb_config_file = \"web.yml\"", &["server.web_config_file"]),
            ("[server]", "[server]\nenable_lifecycle = true", &["server.enable_lifecycle"]),
            ("[server]", "[paths]\nstate = \"elsewhere\"\n[server]", &["paths.state"]),
            ("[server]", "[paths]\nbase = \"b\"\n[server]", &["paths.state", "pipelines.a.input", "pipelines.b.input"]),
            ("[pipelines.a]", "[pipelines.a]\ninput = \"elsewhere\"", &["pipelines.a.input"]),
            ("[pipelines.b]", "[pipelines.b]\non_success = \"keep\"", &["pipelines.b.on_success"]),
            ("[pipelines.b]", "[pipelines.b]\non_success = \"delete\"\noutput = \"o\"\nsettle = \"9s\"", &[]),
            ("[pipelines.b]", "[pipelines.c]\ninput = \"data/in/b\"", &[]),
        ] {
            assert_eq!(plans().fixed(&config(&BASE.replacen(from, to, 1))), keys, "{to}");
        }
    }

    #[test]
    fn a_pipeline_that_leaves_is_known_until_it_is_gone_or_back() {
        let mut plans = plans();
        let without_b = BASE.replace("[pipelines.b]\ncolumns.x = \"int64\"", "");
        plans.adopt(Arc::new(Generation::of(config(&without_b))));
        assert!(plans.leaving.contains_key("b") && plans.any("b").is_some() && plans.leaving.len() == 1);
        plans.adopt(Arc::new(Generation::of(config(&format!("{without_b}\nsettle = \"5s\"")))));
        assert!(plans.leaving.contains_key("b"), "still");
        let elsewhere = BASE.replace("[pipelines.b]", "[pipelines.b]\ninput = \"elsewhere\"");
        assert_eq!(plans.fixed(&config(&elsewhere)), ["pipelines.b.input"], "its files in progress lie in the old one");
        plans.adopt(Arc::new(Generation::of(config(BASE))));
        assert!(plans.leaving.is_empty());
    }
}
