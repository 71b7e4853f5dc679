"""The reader alone in Polars for Python: every typed column into a frame in memory; bad records would be an error.

polars_reader.py CSV read_csv|streamed. Prints the number of rows. Both forms read times as text and convert them after
that; `read_csv` is as one writes it, `streamed` converts them batch by batch. POLARS_MAX_THREADS says on how many threads.
"""

import sys

import polars as pl

from polars_job import schema, typed


def main(csv: str, form: str) -> None:
    text = schema(datetime=pl.String)
    if form == "read_csv":
        print(typed(pl.read_csv(csv, schema=text).lazy()).collect().height)
    else:
        print(typed(pl.scan_csv(csv, schema=text)).collect(engine="streaming").height)


if __name__ == "__main__":
    main(*sys.argv[1:])
