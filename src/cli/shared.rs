//! What several commands need.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads at most `limit` bytes from the start of a file, decompressed, and says whether there is more.
pub(super) fn text_start(path: &Path, limit: u64) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let whole = std::io::Cursor::new(magic.clone()).chain(file);
    let mut text: Box<dyn Read> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    };
    let mut bytes = Vec::new();
    text.by_ref().take(limit).read_to_end(&mut bytes)?;
    let cut = text.read(&mut [0])? > 0;
    Ok((bytes, cut))
}
