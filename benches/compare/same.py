"""same.py NAME DIR NAME DIR ...: did all programs do the same job? Exits with 1 and says what differs if they did not.

Compares the number of clean rows, a checksum over every cell of every row (whatever the order of the rows), and the
aggregate. Prints the number of rows.
"""

import math
import sys
from typing import NamedTuple

import duckdb


class Result(NamedTuple):
    rows: int
    columns: list[tuple[str, str]]
    checksum: int
    hourly: list[tuple]


def read(folder: str) -> Result:
    db = duckdb.connect()
    # forebay's folders are called like partitions; that is no column of the rows.
    rows = f"read_parquet('{folder}/rows.parquet', hive_partitioning = false)"
    columns = [(name, kind) for name, kind, *_ in db.execute(f"DESCRIBE FROM {rows}").fetchall()]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    count, checksum = db.execute(f"SELECT count(*), sum(hash({names})::HUGEINT) FROM {rows}").fetchone()
    hourly = db.execute(f"FROM read_parquet('{folder}/hourly.parquet', hive_partitioning = false)").fetchall()
    return Result(count, columns, checksum, sorted(hourly))


def same_hour(one: tuple, other: tuple) -> bool:
    """Sums of floats depend on their order, so means may differ in the last digits; nothing else may."""
    pairs = zip(one, other, strict=True)
    return all(math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) else a == b for a, b in pairs)


def difference(one: Result, other: Result) -> str | None:
    if one.rows != other.rows:
        return f"{one.rows} rows against {other.rows}"
    if one.columns != other.columns:
        return f"columns {one.columns} against {other.columns}"
    if one.checksum != other.checksum:
        return "some cell differs"
    hours = len(one.hourly) == len(other.hourly)
    if not hours or not all(map(same_hour, one.hourly, other.hourly)):
        return "the aggregate differs"
    return None


def main(arguments: list[str]) -> None:
    (first, expected), *others = [(name, read(folder)) for name, folder in zip(arguments[::2], arguments[1::2])]
    for name, result in others:
        if fault := difference(expected, result):
            sys.exit(f"{first} and {name} did not do the same: {fault}")
    print(expected.rows)


if __name__ == "__main__":
    main(sys.argv[1:])
