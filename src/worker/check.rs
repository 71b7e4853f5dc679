//! A configuration is judged by a child, which runs its SQL; the daemon knows the outline. So the daemon stays small, and SQL
//! that ends whoever plans it ends the child.

use std::path::Path;

use super::pool::WorkerCommand;
use super::process::Process;
use crate::config::{self, Config, ConfigErrors};
use crate::job::CrashCause;

/// Why a configuration was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not sound.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Nobody could tell whether it is.
    #[error("cannot check the configuration: {0}")]
    Unchecked(String),
}

/// Reads the file at `path`, has a worker check it, and returns its outline: everything but the compiled SQL, which workers
/// have. The errors are those of [`config::load`].
pub fn load(command: &WorkerCommand, path: &Path) -> Result<Config, LoadError> {
    let text = config::read_text(path)?;
    match Process::check(command, path, &text) {
        Ok(errors) if errors.is_empty() => Ok(config::parse_outline(&text, path)?),
        Ok(errors) => Err(ConfigErrors::new(path, errors).into()),
        Err(death) if matches!(death.cause, CrashCause::Abort | CrashCause::Segfault) => {
            let message = format!("checking it crashed ({})", death.message);
            Err(ConfigErrors::whole(path, message, "some SQL in it is too much for Polars: make it simpler").into())
        }
        Err(death) => Err(LoadError::Unchecked(death.message)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What comes of a check by this program instead of ours.
    fn checked_by(program: &str, args: &[&str]) -> LoadError {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = args.iter().map(Into::into).collect();
        load(&WorkerCommand { program: program.into(), args }, file.path()).unwrap_err()
    }

    #[test]
    fn what_was_checked_is_what_is_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "pipelines.p.columns.a = \"int64\"";
        file.as_file().write_all(text.as_bytes()).unwrap();
        let answer = "{\"Checked\":{\"errors\":[]}}";
        let meanwhile = format!("read line; echo worse > {}; echo '{answer}'; read line", file.path().display());
        let command = WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), meanwhile.into()] };
        let config = load(&command, file.path()).unwrap();
        assert_eq!(&*config.text, text);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "worse\n");
    }

    #[test]
    fn a_check_that_crashes_is_held_against_the_configuration() {
        for signal in ["ABRT", "SEGV"] {
            let error = checked_by("/bin/sh", &["-c", &format!("read line; kill -{signal} $$")]);
            assert!(matches!(&error, LoadError::Config(_)), "{error:?}");
            assert!(error.to_string().contains("checking it crashed (signal: "), "{error}");
        }
    }

    #[test]
    fn a_check_that_does_not_come_about_is_not() {
        let killed = ["-c", "read line; kill -KILL $$"];
        let confused = ["-c", "read line; echo '{\"Ready\":{\"version\":\"1\",\"unconfined\":null}}'; read line"];
        for (program, args) in [("/nowhere/forebay", &[][..]), ("/bin/sh", &killed), ("/bin/sh", &confused)] {
            let error = checked_by(program, args);
            assert!(matches!(error, LoadError::Unchecked(_)), "{program} {args:?}: {error:?}");
        }
    }
}
