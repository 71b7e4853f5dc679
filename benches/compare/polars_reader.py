"""The reader alone in Polars for Python: every typed column into a frame in memory; bad records would be an error.

polars_reader.py CSV. Prints the number of rows. POLARS_MAX_THREADS says on how many threads.
"""

import sys

import polars as pl

from polars_job import schema, typed


def main(csv: str) -> None:
    print(typed(pl.scan_csv(csv, schema=schema(datetime=pl.String))).collect(engine="streaming").height)


if __name__ == "__main__":
    main(sys.argv[1])
