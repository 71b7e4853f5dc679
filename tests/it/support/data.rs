//! The shared real data, which not every checkout has.

use std::path::{Path, PathBuf};

/// Returns a file of the shared data, or says loudly that the test is left out.
///
/// With `FOREBAY_REQUIRE_DATA=1` (as in CI) an absent file stops the test.
#[track_caller]
pub(crate) fn shared_data(path: &str) -> Option<PathBuf> {
    find(&format!("../shared/data/{path}"))
}

/// Returns a tool that comes with the shared data.
#[track_caller]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    find(&format!("../shared/tools/{name}"))
}

#[track_caller]
fn find(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("FOREBAY_REQUIRE_DATA").is_none_or(|value| value != "1"), "{path} is absent and required");
    eprintln!("LEFT OUT: {path} absent");
    None
}
