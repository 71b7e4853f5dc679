//! Gzip as it comes: one member or several, and maybe zeros behind them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Inflates all members one after the other. Tapes and block devices fill up with zeros, which gzip itself does not mind either;
/// anything else behind a member is an error.
pub struct Members<R> {
    /// `None` after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// Returns a reader of what `packed` holds.
    pub fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(packed)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(ended) = self.member.take() else { break };
            let mut packed = ended.into_inner();
            let zeros = skip_zeros(&mut packed)?;
            if packed.fill_buf()?.is_empty() {
                break;
            }
            if zeros {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "there is something behind the zeros at its end",
                ));
            }
            self.member = Some(GzDecoder::new(packed));
        }
        Ok(0)
    }
}

/// Skips zeros, and returns whether there were any.
fn skip_zeros(packed: &mut impl BufRead) -> io::Result<bool> {
    let mut any = false;
    loop {
        let held = packed.fill_buf()?;
        let zeros = held.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(any);
        }
        any = true;
        packed.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        // A small buffer, so that members and zeros come in pieces.
        Members::new(BufReader::with_capacity(7, bytes)).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_each_other_and_zeros_end_them() {
        let (one, two) = (packed("one\n"), packed("two\n"));
        assert_eq!(unpacked(&one).unwrap(), "one\n");
        assert_eq!(unpacked(&[one.clone(), two.clone()].concat()).unwrap(), "one\ntwo\n");
        assert_eq!(unpacked(&[one.clone(), vec![0; 1_000]].concat()).unwrap(), "one\n");
        assert!(unpacked(&[one.clone(), vec![0; 9], two].concat()).is_err(), "zeros end it");
        assert!(unpacked(&[one.clone(), b"junk, which is no member".to_vec()].concat()).is_err());
        assert!(unpacked(one.get(..one.len() - 3).unwrap()).is_err(), "it ends early");
        assert_eq!(unpacked(&packed("")).unwrap(), "");
    }
}
