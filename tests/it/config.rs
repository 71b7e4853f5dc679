//! Sample configurations: every file of `config/valid` is accepted, every file of `config/invalid` is refused with exactly
//! the errors of its `.txt` neighbour.

#![expect(clippy::unwrap_used, reason = "a broken test should stop at once")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use forebay::config;

fn samples(kind: &str, extension: &str) -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config").join(kind);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Parses a sample as if it stood in `/etc/forebay`, so that messages do not depend on the machine.
fn parse(sample: &Path) -> Result<config::Config, config::ConfigErrors> {
    let text = std::fs::read_to_string(sample).unwrap();
    config::parse(&text, &Path::new("/etc/forebay").join(sample.file_name().unwrap()))
}

#[test]
fn every_valid_sample_is_accepted() {
    let samples = samples("valid", "toml");
    assert!(samples.len() >= 8, "samples were lost: {samples:?}");
    for sample in samples {
        if let Err(errors) = parse(&sample) {
            panic!("{} is refused:\n{errors}", sample.display());
        }
    }
}

/// `FOREBAY_UPDATE_SAMPLES=1` writes the messages anew, to be read as a diff.
#[test]
#[expect(clippy::disallowed_methods, reason = "writes the project's own files, on request")]
fn every_invalid_sample_is_refused_with_its_message() {
    let samples = samples("invalid", "toml");
    assert!(samples.len() >= 25, "samples were lost: {samples:?}");
    let update = std::env::var_os("FOREBAY_UPDATE_SAMPLES").is_some();
    let mut wrong = Vec::new();
    for sample in samples {
        let said = match parse(&sample) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => format!("{}\n", errors.to_string().replace("/etc/forebay/", "")),
        };
        let message = sample.with_extension("txt");
        if update {
            std::fs::write(&message, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&message).unwrap_or_else(|_| "its message file is missing".to_owned());
        if said != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- said\n{said}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_message_is_forgotten_or_left_over() {
    let stems = |extension| -> BTreeSet<_> {
        samples("invalid", extension).iter().map(|path| path.file_stem().unwrap().to_owned()).collect()
    };
    assert_eq!(stems("toml"), stems("txt"), "each invalid sample needs its message, and each message its sample");
}
