"""The whole job in DuckDB, the way that was fastest: one pass straight into Parquet, the aggregate from that file.

duckdb_job.py CSV OUT THREADS MEDIAN: MEDIAN is 0 or 1, for another aggregate. Rows may come out in another order.
"""

import sys
from pathlib import Path

import duckdb

from columns import DATETIME_FORMAT, columns
from durable import sync

TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "datetime": "TIMESTAMP"}
PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"


def reader(csv: str) -> str:
    """Returns the table function over the file: typed, and accounting for what it cannot read."""
    names = ", ".join(f"'{name}': '{TYPES[kind]}'" for name, kind in columns().items())
    return (
        f"read_csv('{csv}', columns = {{{names}}}, header = true, delim = ',', quote = '\"', auto_detect = false, "
        f"timestampformat = '{DATETIME_FORMAT}', store_rejects = true)"
    )


def main(csv: str, out: Path, threads: int, median: bool) -> None:
    rows, hourly = out / "rows.parquet", out / "hourly.parquet"
    more = ", median(fare_amount) AS median_fare" if median else ""
    db = duckdb.connect()
    db.execute(f"SET threads = {threads}")
    db.execute("SET preserve_insertion_order = false")
    db.execute(f"""
        COPY (
            SELECT *, date_trunc('hour', tpep_pickup_datetime) AS pickup_hour FROM {reader(csv)}
            WHERE fare_amount > 0
              AND tpep_dropoff_datetime > tpep_pickup_datetime
              AND pickup_longitude BETWEEN -74.3 AND -73.7
              AND trip_distance > 0 AND trip_distance < 23
        ) TO '{rows}' {PARQUET}
    """)
    db.execute(f"""
        COPY (
            SELECT pickup_hour, count(*) AS trips, avg(fare_amount) AS mean_fare{more}
            FROM '{rows}' GROUP BY pickup_hour ORDER BY pickup_hour
        ) TO '{hourly}' {PARQUET}
    """)
    sync([rows, hourly])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
