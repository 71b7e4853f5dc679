//! What a sender does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The columns of every pipeline here.
pub(crate) const COLUMNS: &str = "columns = { id = \"int64\", amount = \"float64\" }";

/// An inbox, seen by the sender.
#[derive(Debug)]
pub(crate) struct Inbox(PathBuf);

impl Inbox {
    pub(crate) fn at(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Drops a file: it appears whole.
    pub(crate) fn drop_file(&self, name: &str, text: &str) {
        let aside = self.0.join(format!(".{name}.tmp"));
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.0.join(name)).unwrap();
    }

    /// Drops a file of so many rows, the first of which are bad. No two files have the same content.
    pub(crate) fn drop_rows(&self, name: &str, rows: usize, bad: usize) {
        self.drop_file(name, &text(rows, bad));
    }

    /// Tells that a file is whole, for pipelines that ask for it.
    pub(crate) fn mark(&self, name: &str) {
        self.drop_file(&format!("{name}.done"), "");
    }
}

/// Returns a file of so many rows, the first of which are bad. No two have the same content.
pub(crate) fn text(rows: usize, bad: usize) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let row = |at| if at < bad { format!("{serial},much\n") } else { format!("{serial},{at}.5\n") };
    std::iter::once("id,amount\n".to_owned()).chain((0..rows).map(row)).collect()
}
