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
    use proptest::prelude::*;

    use super::*;

    /// Every encoding of the WHATWG standard.
    const ENCODINGS: [&Encoding; 39] = [
        encoding_rs::BIG5,
        encoding_rs::EUC_JP,
        encoding_rs::EUC_KR,
        encoding_rs::GB18030,
        encoding_rs::GBK,
        encoding_rs::IBM866,
        encoding_rs::ISO_2022_JP,
        encoding_rs::ISO_8859_2,
        encoding_rs::ISO_8859_3,
        encoding_rs::ISO_8859_4,
        encoding_rs::ISO_8859_5,
        encoding_rs::ISO_8859_6,
        encoding_rs::ISO_8859_7,
        encoding_rs::ISO_8859_8,
        encoding_rs::ISO_8859_8_I,
        encoding_rs::ISO_8859_10,
        encoding_rs::ISO_8859_13,
        encoding_rs::ISO_8859_14,
        encoding_rs::ISO_8859_15,
        encoding_rs::ISO_8859_16,
        encoding_rs::KOI8_R,
        encoding_rs::KOI8_U,
        encoding_rs::MACINTOSH,
        encoding_rs::SHIFT_JIS,
        encoding_rs::UTF_8,
        encoding_rs::UTF_16BE,
        encoding_rs::UTF_16LE,
        encoding_rs::WINDOWS_874,
        encoding_rs::WINDOWS_1250,
        encoding_rs::WINDOWS_1251,
        encoding_rs::WINDOWS_1252,
        encoding_rs::WINDOWS_1253,
        encoding_rs::WINDOWS_1254,
        encoding_rs::WINDOWS_1255,
        encoding_rs::WINDOWS_1256,
        encoding_rs::WINDOWS_1257,
        encoding_rs::WINDOWS_1258,
        encoding_rs::X_MAC_CYRILLIC,
        encoding_rs::X_USER_DEFINED,
    ];

    /// Gives its bytes a few at a time.
    struct Pieces<'a> {
        bytes: &'a [u8],
        most: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.most.min(buffer.len());
            self.bytes.read(&mut buffer[..most])
        }
    }

    /// Bytes of which many begin, end or are characters of several bytes, or change the state of a decoder that has one.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            any::<[u8; 2]>().prop_map(Vec::from),
            any::<char>().prop_map(|character| character.to_string().into_bytes()),
            any::<char>().prop_map(|c| c
                .encode_utf16(&mut [0; 2])
                .iter()
                .flat_map(|unit| unit.to_le_bytes())
                .collect()),
            prop::sample::select(vec!["\x1b(B", "\x1b(J", "\x1b(I", "\x1b$B", "\x1b$@", "\n", ",", "\""])
                .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn pieces_decode_to_what_the_whole_does(
            encoding in prop::sample::select(ENCODINGS.to_vec()), bytes in bytes(), most in 1_usize..9,
        ) {
            let mut text = Vec::new();
            Decoding::new(Pieces { bytes: &bytes, most }, encoding).read_to_end(&mut text).unwrap();
            let marked = text.split(|byte| *byte == UNDECODABLE).collect::<Vec<_>>().join("\u{fffd}".as_bytes());
            let (whole, _) = encoding.decode_without_bom_handling(&bytes);
            prop_assert_eq!(String::from_utf8(marked).unwrap(), whole, "{}", encoding.name());
        }
    }

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
