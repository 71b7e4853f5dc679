//! Which columns are stored as a dictionary and indices, and the dictionary itself.
//!
//! Polars' writer never makes one for floats, and decides for the rest by an estimate of its own that costs as much as
//! trying. Money, counts, codes and coordinates repeat: their indices are an eighth of the bytes the compressor would see.

use polars_arrow::array::{Array, DictionaryArray, PrimitiveArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::{ArrowDataType, IntegerType, PhysicalType};
use polars_arrow::types::{NativeType, PrimitiveType};

/// The share of its plain size below which a column of floats is stored as a dictionary. Their mantissas hardly compress.
const WORTH_FLOATS: f64 = 0.75;

/// The same for integers and times: neighbours are alike, so their plain bytes compress well.
const WORTH_INTEGERS: f64 = 0.5;

/// Returns whether [`of`] decides about columns of this kind. 8 and 16 bits are left to Polars' direct table.
#[must_use]
pub const fn judges(kind: PrimitiveType) -> bool {
    matches!(
        kind,
        PrimitiveType::Int32
            | PrimitiveType::UInt32
            | PrimitiveType::Int64
            | PrimitiveType::UInt64
            | PrimitiveType::Float32
            | PrimitiveType::Float64
    )
}

/// Returns `array` as a dictionary if that is worth it; `None` leaves it as it is.
#[must_use]
pub fn of(array: &dyn Array) -> Option<DictionaryArray<u32>> {
    let PhysicalType::Primitive(kind) = array.dtype().to_physical_type() else { return None };
    match kind {
        PrimitiveType::Int32 => numbers::<i32>(array, WORTH_INTEGERS, |value| u64::from(value.cast_unsigned())),
        PrimitiveType::UInt32 => numbers::<u32>(array, WORTH_INTEGERS, u64::from),
        PrimitiveType::Int64 => numbers::<i64>(array, WORTH_INTEGERS, i64::cast_unsigned),
        PrimitiveType::UInt64 => numbers::<u64>(array, WORTH_INTEGERS, |value| value),
        // By their bits: 0.0 and -0.0 are two values, and a NaN is itself.
        PrimitiveType::Float32 => numbers::<f32>(array, WORTH_FLOATS, |value| u64::from(value.to_bits())),
        PrimitiveType::Float64 => numbers::<f64>(array, WORTH_FLOATS, f64::to_bits),
        _ => None,
    }
}

fn numbers<T: NativeType>(array: &dyn Array, worth: f64, bits: impl Fn(T) -> u64 + Copy) -> Option<DictionaryArray<u32>> {
    let array = array.as_any().downcast_ref::<PrimitiveArray<T>>()?;
    let most = most_distinct(array.len(), size_of::<T>(), worth);
    let (keys, distinct) = index(array.values(), array.validity(), most, bits)?;
    let values = PrimitiveArray::new(array.dtype().clone(), distinct.into(), None);
    let keys = PrimitiveArray::new(ArrowDataType::UInt32, keys.into(), array.validity().cloned());
    let dtype = ArrowDataType::Dictionary(IntegerType::UInt32, Box::new(array.dtype().clone()), false);
    DictionaryArray::try_new(dtype, keys, values.boxed()).ok()
}

/// Returns the most distinct values with which `rows` indices and a dictionary stay below `worth` of the plain bytes.
fn most_distinct(rows: usize, width: usize, worth: f64) -> usize {
    let bytes = |distinct: usize| distinct * width + rows * (usize::BITS - distinct.leading_zeros()) as usize / 8;
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if bytes(middle) as f64 <= worth * (rows * width) as f64 { low = middle } else { high = middle - 1 }
    }
    low
}

/// Returns the index of every value in the list of distinct values, in order of first appearance; `None` if there are more
/// than `most`, or none at all. A null has index 0.
fn index<T: NativeType>(
    values: &[T],
    validity: Option<&Bitmap>,
    most: usize,
    bits: impl Fn(T) -> u64 + Copy,
) -> Option<(Vec<u32>, Vec<T>)> {
    let mut table = Table::new(most);
    let keys: Option<Vec<u32>> = match validity {
        None => values.iter().map(|value| table.index(*value, bits)).collect(),
        Some(validity) => {
            let indices = values.iter().zip(validity);
            indices.map(|(value, valid)| if valid { table.index(*value, bits) } else { Some(0) }).collect()
        }
    };
    if table.distinct.is_empty() { None } else { Some((keys?, table.distinct)) }
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

    #[expect(clippy::cast_possible_truncation, reason = "a row group has far fewer than 2^32 rows")]
    fn index(&mut self, value: T, bits: impl Fn(T) -> u64 + Copy) -> Option<u32> {
        let mut slot = self.first_slot(bits(value));
        loop {
            let found = self.slots.get_mut(slot)?;
            if *found == 0 {
                if self.distinct.len() >= self.most {
                    return None;
                }
                self.distinct.push(value);
                *found = self.distinct.len() as u32;
                if self.distinct.len() * 2 > self.slots.len() {
                    self.grow(bits);
                }
                return Some(self.distinct.len() as u32 - 1);
            }
            if bits(*self.distinct.get(*found as usize - 1)?) == bits(value) {
                return Some(*found - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
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
