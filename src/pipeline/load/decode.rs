//! Other encodings into UTF-8, as a stream.
#![expect(clippy::indexing_slicing, reason = "ranges come from the decoder over the same buffers")]

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

/// Never part of valid UTF-8: stands where the input could not be decoded, so that the record is rejected as
/// `invalid_encoding` instead of holding a replacement character nobody sent.
const UNDECODABLE: u8 = 0xff;

const BUFFER: usize = 64 << 10;

/// Reads `inner` as another encoding and gives UTF-8.
pub struct Decoding<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_range: std::ops::Range<usize>,
    text: Vec<u8>,
    text_range: std::ops::Range<usize>,
    /// All input was read; the decoder may still hold an incomplete character.
    ended: bool,
    flushed: bool,
}

impl<R: Read> Decoding<R> {
    /// Returns a reader of `inner`, whose byte order mark was taken off, in `encoding`.
    pub fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; BUFFER],
            raw_range: 0..0,
            text: vec![0; BUFFER * 3 + 16],
            text_range: 0..0,
            ended: false,
            flushed: false,
        }
    }

    /// Decodes until there is text or the input ends.
    fn refill(&mut self) -> io::Result<()> {
        while self.text_range.is_empty() && !self.flushed {
            if self.raw_range.is_empty() && !self.ended {
                let read = self.inner.read(&mut self.raw)?;
                self.ended = read == 0;
                self.raw_range = 0..read;
            }
            // One place is kept for the mark of an undecodable byte.
            let room = self.text.len() - 1;
            let (result, read, mut written) = self.decoder.decode_to_utf8_without_replacement(
                &self.raw[self.raw_range.clone()],
                &mut self.text[..room],
                self.ended,
            );
            self.raw_range.start += read;
            match result {
                DecoderResult::InputEmpty => self.flushed = self.ended,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    self.text[written] = UNDECODABLE;
                    written += 1;
                }
            }
            self.text_range = 0..written;
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.refill()?;
        let count = self.text_range.len().min(buffer.len());
        let from = self.text_range.start;
        buffer[..count].copy_from_slice(&self.text[from..from + count]);
        self.text_range.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], encoding: &'static Encoding) -> Vec<u8> {
        let mut text = Vec::new();
        Decoding::new(bytes, encoding).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn text_is_decoded_across_buffer_ends() {
        let long: String = "aé€😀\n".repeat(BUFFER / 3);
        let utf16: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16, encoding_rs::UTF_16LE), long.as_bytes());
        assert_eq!(decode(b"caf\xe9", encoding_rs::WINDOWS_1252), "café".as_bytes());
    }

    #[test]
    fn what_cannot_be_decoded_becomes_invalid_text_not_a_replacement() {
        assert_eq!(decode(b"a\x00\x00\xd8b\x00", encoding_rs::UTF_16LE), b"a\xffb");
        assert_eq!(decode(b"a\x00b", encoding_rs::UTF_16LE), b"a\xff");
    }
}
