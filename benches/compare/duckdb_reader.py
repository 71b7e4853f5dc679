"""The reader alone in DuckDB: every typed column into a table in memory, with an account of what could not be read.

duckdb_reader.py CSV THREADS. Prints the number of rows.
"""

import sys

import duckdb

from duckdb_job import reader


def main(csv: str, threads: int) -> None:
    db = duckdb.connect()
    db.execute(f"SET threads = {threads}")
    db.execute("SET preserve_insertion_order = false")
    db.execute(f"CREATE TEMP TABLE rows AS FROM {reader(csv)}")
    print(*db.execute("SELECT count(*) FROM rows").fetchone())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
