//! The partner who sends the files: puts them into the inboxes the way people do, careful and careless.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::feed::{Delivery, Drop};

/// Time between two drops.
const PACE: Duration = Duration::from_millis(200);
/// Time a careless producer takes between two pieces of a file.
const PIECE: Duration = Duration::from_millis(350);
/// Pieces of such a file.
const PIECES: usize = 6;

/// Puts `drop` into the inbox below `base`.
pub(super) async fn deliver(base: &Path, drop: &Drop) -> io::Result<()> {
    let inbox = base.join("in").join(drop.pipeline);
    let path = inbox.join(&drop.name);
    // A partner who sends a name again waits until the first is fetched; else it would be overwritten.
    while path.try_exists()? {
        tokio::time::sleep(PIECE).await;
    }
    match drop.delivery {
        Delivery::Rename => {
            let aside = inbox.join(format!(".{}.tmp", drop.name));
            std::fs::File::create(&aside)?.write_all(&drop.bytes)?;
            rename(&aside, &path)?;
        }
        Delivery::Part => {
            let aside = inbox.join(format!("{}.part", drop.name));
            slowly(&aside, &drop.bytes).await?;
            rename(&aside, &path)?;
        }
        Delivery::Slow => slowly(&path, &drop.bytes).await?,
        Delivery::Symlink => {
            let target = base.join("elsewhere.csv");
            std::fs::File::create(&target)?.write_all(b"not,for,you\n")?;
            std::os::unix::fs::symlink(&target, &path)?;
        }
    }
    tokio::time::sleep(PACE).await;
    Ok(())
}

async fn slowly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    for piece in bytes.chunks(bytes.len() / PIECES + 1) {
        file.write_all(piece)?;
        tokio::time::sleep(PIECE).await;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the demo plays the producer, who owes nobody durability")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}
