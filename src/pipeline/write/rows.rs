//! Clean rows in the format of `rows.format`.

use polars::io::csv::write::BatchedWriter as CsvBatchedWriter;
use polars::io::ipc;
use polars::io::json::BatchedWriter as NdjsonWriter;
use polars::prelude::*;
use polars_arrow::io::ipc::write::default_ipc_fields;

use super::parquet::ParquetFile;
use super::sink::{Packing, Sink, Staging};
use crate::config::{Compression, RowFormat, Rows};
use crate::job::{JobError, OutputFile};

/// The fast end of zstd: on numbers, higher levels cost several times the time for a few percent.
const ZSTD_LEVEL: i32 = 1;

/// One file of rows.
pub struct RowWriter<'p> {
    encoder: Encoder<'p>,
    sink: Sink<'p>,
    rows: u64,
}

enum Encoder<'p> {
    Parquet(Box<ParquetFile<'p>>),
    Ipc(Box<ipc::BatchedWriter<Sink<'p>>>),
    Csv(Box<CsvBatchedWriter<Sink<'p>>>),
    Ndjson(NdjsonWriter<Sink<'p>>),
}

/// Returns the name of the rows file. Compressed text says so in its name, since its readers go by it.
#[must_use]
pub const fn file_name(rows: &Rows) -> &'static str {
    match (rows.format, rows.compression) {
        (RowFormat::Parquet | RowFormat::None, _) => "rows.parquet",
        (RowFormat::Ipc, _) => "rows.arrow",
        (RowFormat::Csv, Compression::Gzip) => "rows.csv.gz",
        (RowFormat::Csv, Compression::Zstd) => "rows.csv.zst",
        (RowFormat::Csv, _) => "rows.csv",
        (RowFormat::Ndjson, Compression::Gzip) => "rows.ndjson.gz",
        (RowFormat::Ndjson, Compression::Zstd) => "rows.ndjson.zst",
        (RowFormat::Ndjson, _) => "rows.ndjson",
    }
}

impl<'p> RowWriter<'p> {
    /// Creates the file `name` for rows of `schema`.
    pub fn new(staging: &Staging<'p>, name: &str, rows: &Rows, schema: &Schema) -> Result<Self, JobError> {
        let sink = staging.create(name, packing(rows))?;
        let encoder = encoder(sink.clone(), rows, schema).map_err(|error| sink.failed(&error))?;
        Ok(Self { encoder, sink, rows: 0 })
    }

    /// Ends row groups after so many rows already, where rows come seldom and would wait here for most of the file.
    #[must_use]
    pub fn with_group_rows(mut self, rows: usize) -> Self {
        if let Encoder::Parquet(file) = &mut self.encoder {
            file.set_group_rows(rows);
        }
        self
    }

    /// Appends rows.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), JobError> {
        if frame.height() == 0 {
            return Ok(());
        }
        self.rows += frame.height() as u64;
        self.encode(frame).map_err(|error| self.sink.failed(&error))
    }

    fn encode(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        match &mut self.encoder {
            Encoder::Parquet(file) => file.write(&compact(frame)?),
            Encoder::Ipc(writer) => writer.write_batch(&single_chunk(frame)),
            Encoder::Csv(writer) => writer.write_batch(&single_chunk(frame)),
            Encoder::Ndjson(writer) => writer.write_batch(&single_chunk(frame)),
        }
    }

    /// Ends the file and returns its facts.
    pub fn finish(mut self) -> Result<OutputFile, JobError> {
        self.end().map_err(|error| self.sink.failed(&error))?;
        self.sink.close(self.rows)
    }

    fn end(&mut self) -> PolarsResult<()> {
        match &mut self.encoder {
            Encoder::Parquet(file) => file.finish(),
            Encoder::Ipc(writer) => writer.finish(),
            Encoder::Csv(writer) => writer.finish(),
            Encoder::Ndjson(_) => Ok(()),
        }
    }
}

fn encoder<'p>(sink: Sink<'p>, rows: &Rows, schema: &Schema) -> PolarsResult<Encoder<'p>> {
    Ok(match rows.format {
        RowFormat::Parquet | RowFormat::None => {
            Encoder::Parquet(Box::new(ParquetFile::new(sink, parquet_compression(rows.compression)?, schema)?))
        }
        RowFormat::Ipc => {
            let compression = match rows.compression {
                Compression::Lz4 => Some(IpcCompression::LZ4),
                Compression::Zstd => {
                    Some(IpcCompression::ZSTD(polars::polars_utils::compression::ZstdLevel::try_new(ZSTD_LEVEL)?))
                }
                Compression::None | Compression::Snappy | Compression::Gzip => None,
            };
            let fields = schema.to_arrow(CompatLevel::newest());
            let fields = default_ipc_fields(fields.iter_values());
            let writer = IpcWriter::new(sink).with_compression(compression);
            Encoder::Ipc(Box::new(writer.batched(schema, fields)?))
        }
        RowFormat::Csv => Encoder::Csv(Box::new(CsvWriter::new(sink).batched(schema)?)),
        RowFormat::Ndjson => Encoder::Ndjson(NdjsonWriter::new(sink)),
    })
}

fn parquet_compression(compression: Compression) -> PolarsResult<ParquetCompression> {
    Ok(match compression {
        Compression::None => ParquetCompression::Uncompressed,
        Compression::Snappy => ParquetCompression::Snappy,
        Compression::Lz4 => ParquetCompression::Lz4Raw,
        Compression::Gzip => ParquetCompression::Gzip(None),
        Compression::Zstd => {
            ParquetCompression::Zstd(Some(polars::polars_utils::compression::ZstdLevel::try_new(ZSTD_LEVEL)?))
        }
    })
}

const fn packing(rows: &Rows) -> Packing {
    match (rows.format, rows.compression) {
        (RowFormat::Csv | RowFormat::Ndjson, Compression::Gzip) => Packing::Gzip,
        (RowFormat::Csv | RowFormat::Ndjson, Compression::Zstd) => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// Lets go of text that was filtered out: Polars' views keep the whole buffer of a batch alive for one row of it, and
/// rows wait here for a full row group.
fn compact(frame: &DataFrame) -> PolarsResult<DataFrame> {
    let column = |column: &Column| -> PolarsResult<Column> {
        if column.dtype() != &DataType::String {
            return Ok(column.clone());
        }
        let texts = column.str()?;
        let chunks = texts.downcast_iter().map(|chunk| {
            let wasteful = chunk.total_buffer_len() > chunk.total_bytes_len().saturating_mul(2);
            if wasteful { chunk.clone().gc() } else { chunk.clone() }
        });
        Ok(StringChunked::from_chunk_iter(column.name().clone(), chunks).into_column())
    };
    DataFrame::new(frame.height(), frame.columns().iter().map(column).collect::<PolarsResult<_>>()?)
}

fn single_chunk(frame: &DataFrame) -> DataFrame {
    let mut frame = frame.clone();
    frame.rechunk_mut_par();
    frame
}

/// Writes a whole small frame as Parquet.
pub fn write_parquet(staging: &Staging<'_>, name: &str, frame: &DataFrame) -> Result<OutputFile, JobError> {
    let rows = Rows { format: RowFormat::Parquet, compression: Compression::Zstd, partition_by: Vec::new() };
    let mut writer = RowWriter::new(staging, name, &rows, frame.schema())?;
    writer.write(frame)?;
    writer.finish()
}
