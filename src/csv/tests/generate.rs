//! Cases: every option and every type of column, over texts of every sort.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::Case;
use super::pieces;
use crate::config::{Column, ColumnType, CsvOptions, Drift, OnExtra, OnMissing};

pub(super) fn kinds() -> impl Strategy<Value = ColumnType> {
    prop_oneof![3 => Just(ColumnType::String), 4 => select(all_kinds())]
}

pub(super) fn all_kinds() -> Vec<ColumnType> {
    let date = |format: Option<&str>| ColumnType::Date { format: format.map(str::to_owned) };
    let time = |format: Option<&str>| ColumnType::Time { format: format.map(str::to_owned) };
    let datetime = |format: Option<&str>| ColumnType::Datetime { format: format.map(str::to_owned), time_zone: None };
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    let mut kinds = vec![ColumnType::String, ColumnType::Bool, ColumnType::Float32, ColumnType::Float64];
    kinds.extend([8, 16, 32, 64].map(ColumnType::Int));
    kinds.extend([8, 16, 32, 64].map(ColumnType::UInt));
    kinds.extend([decimal(5, 2), decimal(38, 0), decimal(3, 3)]);
    kinds.extend([date(None), date(Some("%d.%m.%Y")), time(None), time(Some("%H%M"))]);
    kinds.extend([datetime(None), datetime(Some("%Y-%m-%d %H:%M:%S")), datetime(Some("%d/%m/%Y %H:%M"))]);
    kinds
}

pub(super) fn fractional(kind: &ColumnType) -> bool {
    matches!(kind, ColumnType::Float32 | ColumnType::Float64 | ColumnType::Decimal { .. })
}

fn column(name: &'static str) -> impl Strategy<Value = Column> {
    let flags = (any::<bool>(), weighted(0.8), weighted(0.3), weighted(0.3), any::<bool>());
    (kinds(), flags).prop_map(move |(kind, (alias, nullable, optional, trim, comma))| {
        let aliases = if alias { vec![name.to_uppercase()] } else { Vec::new() };
        let decimal_comma = comma && fractional(&kind);
        Column { aliases, kind, nullable, optional, trim, decimal_comma, ..Column::plain(name) }
    })
}

fn weighted(odds: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(odds)
}

pub(super) fn columns() -> impl Strategy<Value = Vec<Column>> {
    let all = (column("a"), column("b"), column("c"), column("d"));
    (all, 1_usize..=4).prop_map(|((a, b, c, d), count)| [a, b, c, d].into_iter().take(count).collect())
}

pub(super) fn options() -> impl Strategy<Value = CsvOptions> {
    let delimiter = prop_oneof![6 => Just(b','), 2 => Just(b';'), 1 => Just(b'\t'), 1 => Just(b' '), 1 => Just(b'-')];
    let quote = prop_oneof![7 => Just(Some(b'"')), 1 => Just(Some(b'\'')), 2 => Just(None)];
    let comment = prop_oneof![3 => Just(None), 2 => Just(Some(b'#')), 1 => Just(Some(b'1'))];
    let max_record = prop_oneof![1 => 1_usize..8, 3 => 8_usize..60, 4 => 60_usize..400, 2 => Just(1 << 20)];
    let nulls = prop::collection::vec(select(vec!["NA", "a", "0", "1.5", "\"", "''"]), 0..3);
    (delimiter, quote, comment, max_record, nulls, any::<bool>(), prop_oneof![3 => Just(0_u64), 1 => 1_u64..4])
        .prop_map(|(delimiter, quote, comment, max_record_bytes, nulls, header, skip_lines)| CsvOptions {
            delimiter,
            quote,
            comment,
            max_record_bytes,
            null_values: nulls.into_iter().map(|null| null.as_bytes().to_vec()).collect(),
            header,
            skip_lines,
            ..CsvOptions::default()
        })
}

pub(super) fn drift() -> impl Strategy<Value = Drift> {
    let extra = select(vec![OnExtra::Keep, OnExtra::Ignore, OnExtra::Keep, OnExtra::Ignore, OnExtra::Quarantine]);
    (extra, prop_oneof![5 => Just(OnMissing::Null), 1 => Just(OnMissing::Quarantine)])
        .prop_map(|(extra, missing)| Drift { extra, missing })
}

/// Any case.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let text = prop_oneof![12 => pieces::texts().prop_map(Ok), 1 => bytes.prop_map(Err)];
    (text, options(), columns(), drift(), pieces::changes(), select(vec![0, 3])).prop_map(
        |(text, csv, columns, drift, changes, bom)| {
            let text = text.map_or_else(|bytes| bytes, |pieces| pieces::render(&pieces, &csv, &columns));
            let mut case = Case { text, csv, columns, drift, bom };
            pieces::change(&mut case, &changes);
            case
        },
    )
}
