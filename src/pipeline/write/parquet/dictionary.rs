//! Which columns are stored as a dictionary and indices, and the dictionary itself.
//!
//! Polars' writer never makes one for floats, and decides for the rest by an estimate of its own that costs as much as
//! trying. Money, counts, codes and coordinates repeat: their indices are an eighth of the bytes the compressor would see.

use polars_arrow::array::{ArrayRef, PrimitiveArray};
use polars_arrow::bitmap::{Bitmap, BitmapBuilder};
use polars_arrow::datatypes::PhysicalType;
use polars_arrow::types::{NativeType, PrimitiveType};

/// Percent of its plain size up to which a column of floats is stored as a dictionary. Their mantissas hardly compress.
const WORTH_FLOATS: usize = 75;

/// The same for integers and times: neighbours are alike, so their plain bytes compress well.
const WORTH_INTEGERS: usize = 50;

/// How a column is stored.
pub enum Choice {
    /// As this dictionary and its indices.
    Dictionary(Dictionary),
    /// As it is: a dictionary would not pay.
    Plain,
    /// As Polars' writer thinks best: it is none of the columns judged here.
    Unjudged,
}

/// A column as indices into its distinct values.
pub struct Dictionary {
    /// The distinct values, in order of first appearance; at least one.
    pub values: ArrayRef,
    /// The index of every value that is not null.
    pub keys: Vec<u32>,
    /// Which rows are not null; `None`: all.
    pub valid: Option<Bitmap>,
}

/// Chooses for a column, given in pieces. Judged are numbers and times of 32 and 64 bits; for 8 and 16, Polars has a direct
/// table, and for text its views make a good dictionary.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other type is left to Polars")]
#[must_use]
pub fn choose(pieces: &[ArrayRef]) -> Choice {
    let kind = pieces.first().map(|piece| piece.dtype().to_physical_type());
    let Some(PhysicalType::Primitive(kind)) = kind else { return Choice::Unjudged };
    let dictionary = match kind {
        PrimitiveType::Int32 => numbers::<i32>(pieces, WORTH_INTEGERS, |value| u64::from(value.cast_unsigned())),
        PrimitiveType::UInt32 => numbers::<u32>(pieces, WORTH_INTEGERS, u64::from),
        PrimitiveType::Int64 => numbers::<i64>(pieces, WORTH_INTEGERS, i64::cast_unsigned),
        PrimitiveType::UInt64 => numbers::<u64>(pieces, WORTH_INTEGERS, |value| value),
        // By their bits: 0.0 and -0.0 are two values, and a NaN is itself.
        PrimitiveType::Float32 => numbers::<f32>(pieces, WORTH_FLOATS, |value| u64::from(value.to_bits())),
        PrimitiveType::Float64 => numbers::<f64>(pieces, WORTH_FLOATS, f64::to_bits),
        _ => return Choice::Unjudged,
    };
    dictionary.map_or(Choice::Plain, Choice::Dictionary)
}

fn numbers<T: NativeType>(pieces: &[ArrayRef], worth: usize, bits: impl Fn(T) -> u64 + Copy) -> Option<Dictionary> {
    let rows = pieces.iter().map(|piece| piece.len()).sum();
    let mut table = Table::new(most_distinct(rows, size_of::<T>(), worth));
    let mut keys = Vec::with_capacity(rows);
    let mut valid = BitmapBuilder::new();
    for piece in pieces {
        let piece = piece.as_any().downcast_ref::<PrimitiveArray<T>>()?;
        match piece.validity().filter(|validity| validity.unset_bits() > 0) {
            None => {
                valid.extend_constant(piece.len(), true);
                for value in piece.values().iter() {
                    keys.push(table.index(*value, bits)?);
                }
            }
            Some(validity) => {
                valid.extend_from_bitmap(validity);
                for (value, valid) in piece.values().iter().zip(validity) {
                    if valid {
                        keys.push(table.index(*value, bits)?);
                    }
                }
            }
        }
    }
    if table.distinct.is_empty() {
        return None;
    }
    let values = PrimitiveArray::new(pieces.first()?.dtype().clone(), table.distinct.into(), None);
    Some(Dictionary { values: values.boxed(), keys, valid: valid.into_opt_validity() })
}

/// Returns the most distinct values with which `rows` indices and a dictionary stay below `worth` percent of the
/// plain bytes.
fn most_distinct(rows: usize, width: usize, worth: usize) -> usize {
    let bytes = |distinct: usize| distinct * width + rows * (usize::BITS - distinct.leading_zeros()) as usize / 8;
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if bytes(middle) * 100 <= worth * rows * width { low = middle } else { high = middle - 1 }
    }
    low
}

/// An open-addressing hash table from a value to its index. It starts small and grows, so that the table of a column with
/// few values stays in the first-level cache.
struct Table<T> {
    /// Index of a distinct value plus one; 0 is free.
    slots: Vec<u32>,
    distinct: Vec<T>,
    most: usize,
}

impl<T: Copy> Table<T> {
    fn new(most: usize) -> Self {
        Self { slots: vec![0; 256], distinct: Vec::new(), most }
    }

    /// Returns the index of `value` in the list of distinct values, in order of first appearance; `None` if there are too
    /// many of them.
    #[expect(clippy::cast_possible_truncation, reason = "a row group has far fewer than 2^32 rows")]
    #[inline]
    fn index(&mut self, value: T, bits: impl Fn(T) -> u64 + Copy) -> Option<u32> {
        let mut slot = self.first_slot(bits(value));
        loop {
            let found = self.slots.get_mut(slot)?;
            if *found == 0 {
                *found = self.distinct.len() as u32 + 1;
                return self.add(value, bits);
            }
            if bits(*self.distinct.get(*found as usize - 1)?) == bits(value) {
                return Some(*found - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Appends a distinct value, whose slot is taken already.
    #[expect(clippy::cast_possible_truncation, reason = "a row group has far fewer than 2^32 rows")]
    fn add(&mut self, value: T, bits: impl Fn(T) -> u64 + Copy) -> Option<u32> {
        if self.distinct.len() >= self.most {
            return None;
        }
        self.distinct.push(value);
        if self.distinct.len() * 2 > self.slots.len() {
            self.grow(bits);
        }
        Some(self.distinct.len() as u32 - 1)
    }

    /// Fibonacci hashing: the high bits of the product depend on every bit of the value.
    #[expect(clippy::cast_possible_truncation, reason = "shifted to the number of slots")]
    const fn first_slot(&self, bits: u64) -> usize {
        let folded = bits ^ (bits >> 32);
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - self.slots.len().trailing_zeros())) as usize
    }

    fn grow(&mut self, bits: impl Fn(T) -> u64) {
        self.slots = vec![0; self.slots.len() * 4];
        for (number, value) in (1..).zip(&self.distinct) {
            let mut slot = self.first_slot(bits(*value));
            while let Some(taken) = self.slots.get(slot)
                && *taken != 0
            {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use polars_arrow::array::Float64Array;
    use proptest::prelude::*;

    use super::*;

    fn floats(values: &[Option<f64>]) -> ArrayRef {
        Float64Array::from(values).boxed()
    }

    /// The values a reader of the dictionary sees, by their bits.
    fn read(dictionary: &Dictionary) -> Vec<Option<u64>> {
        let values = dictionary.values.as_any().downcast_ref::<Float64Array>().unwrap();
        let mut keys = dictionary.keys.iter();
        let all = vec![true; dictionary.keys.len()];
        let valid = dictionary.valid.as_ref().map_or(all, |valid| valid.iter().collect());
        let value = |valid: bool| valid.then(|| values.value(*keys.next().unwrap() as usize).to_bits());
        valid.into_iter().map(value).collect()
    }

    fn of(pieces: &[ArrayRef]) -> Option<Dictionary> {
        match choose(pieces) {
            Choice::Dictionary(dictionary) => Some(dictionary),
            Choice::Plain | Choice::Unjudged => None,
        }
    }

    #[test]
    fn values_that_repeat_are_kept_once_each_by_their_bits() {
        let values = [Some(0.5), None, Some(-0.0), Some(0.0), Some(0.5), Some(f64::NAN)].repeat(100);
        let dictionary = of(&[floats(&values), floats(&values)]).unwrap();
        assert_eq!(dictionary.values.len(), 4);
        let expected: Vec<_> = values.iter().chain(&values).map(|value| value.map(f64::to_bits)).collect();
        assert_eq!(read(&dictionary), expected);
    }

    #[test]
    fn values_that_hardly_repeat_and_columns_of_nulls_are_left_alone() {
        let distinct: Vec<_> = (0..10_000).map(|n| Some(f64::from(n))).collect();
        assert!(of(&[floats(&distinct)]).is_none());
        assert!(of(&[floats(&[None; 100])]).is_none());
        assert!(of(&[]).is_none());
    }

    #[test]
    fn a_dictionary_is_only_as_large_as_it_pays() {
        // 16-bit indices are a quarter of 8-byte values: the rest of the half may be distinct values.
        let most = most_distinct(1 << 17, 8, 50);
        assert!((30_000..33_000).contains(&most), "{most}");
        assert_eq!(most_distinct(0, 8, 50), 0);
    }

    proptest! {
        #[test]
        fn every_value_is_read_back(numbers in prop::collection::vec(prop::option::of(0_u16..2000), 1..5000)) {
            let values: Vec<_> = numbers.iter().map(|number| number.map(|number| f64::from(number) * 0.01)).collect();
            let (first, second) = values.split_at(values.len() / 2);
            if let Some(dictionary) = of(&[floats(first), floats(second)]) {
                let expected: Vec<_> = values.iter().map(|value| value.map(f64::to_bits)).collect();
                prop_assert_eq!(read(&dictionary), expected);
            }
        }
    }
}
