"""The whole job in Polars for Python: streamed into Parquet, the aggregate from that file.

polars_job.py CSV OUT MEDIAN TIMES: MEDIAN is 0 or 1, for another aggregate. POLARS_MAX_THREADS says on how many threads.
TIMES is `schema`, as one writes it at first, with the times read by the CSV reader; or `text`, the fastest way there is: they
are read as text and then converted.
"""

import sys
from pathlib import Path

import polars as pl

from columns import DATETIME_FORMAT, columns
from durable import sync

TYPES = {"int64": pl.Int64, "float64": pl.Float64, "string": pl.String, "datetime": pl.Datetime("us")}
TIMES = [name for name, kind in columns().items() if kind == "datetime"]


def typed(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Returns the frame with its times converted."""
    return frame.with_columns(pl.col(TIMES).str.to_datetime(DATETIME_FORMAT, time_unit="us"))


def schema(**other: pl.DataType) -> pl.Schema:
    """Returns what the CSV reader reads, with `other` types for some kinds of columns."""
    types = {**TYPES, **other}
    return pl.Schema({name: types[kind] for name, kind in columns().items()})


def read(csv: str, times: str) -> pl.LazyFrame:
    """Returns the typed rows."""
    if times == "schema":
        return pl.scan_csv(csv, schema=schema())
    return typed(pl.scan_csv(csv, schema=schema(datetime=pl.String)))


def main(csv: str, out: Path, median: bool, times: str) -> None:
    rows, hourly = out / "rows.parquet", out / "hourly.parquet"
    more = {"median_fare": pl.col("fare_amount").median()} if median else {}
    (
        read(csv, times)
        .filter(
            pl.col("fare_amount") > 0,
            pl.col("tpep_dropoff_datetime") > pl.col("tpep_pickup_datetime"),
            pl.col("pickup_longitude").is_between(-74.3, -73.7),
            pl.col("trip_distance") > 0,
            pl.col("trip_distance") < 23,
        )
        .with_columns(pickup_hour=pl.col("tpep_pickup_datetime").dt.truncate("1h"))
        .sink_parquet(rows, compression="zstd", compression_level=1)
    )
    (
        pl.scan_parquet(rows)
        .group_by("pickup_hour")
        .agg(trips=pl.len(), mean_fare=pl.col("fare_amount").mean(), **more)
        .sort("pickup_hour")
        .collect(engine="streaming")
        .write_parquet(hourly, compression="zstd", compression_level=1)
    )
    sync([rows, hourly])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "1", sys.argv[4])
