"""Compares a published directory with a plain read of its CSV, cell by cell, in DuckDB, Polars and pyarrow.

    check_cells.py INPUT.csv PUBLISHED_DIRECTORY

The CSV is cut by the few lines below and its values read by Python itself: no CSV library and no forebay code has a say.
Rows that `rejects.parquet` names are left out; rows that a rule dropped are found as what is missing in order.
Exit status 0: every cell is the same.
"""

import datetime
import json
import os
import sys

import duckdb
import polars
import pyarrow.parquet


def records(text):
    """Yields the fields of each record as (value, was quoted)."""
    fields, value, quoted, inside, at = [], [], False, False, 0
    while at < len(text):
        c = text[at]
        if inside:
            if c == '"' and text[at + 1 : at + 2] == '"':
                value.append('"')
                at += 1
            elif c == '"':
                inside = False
            else:
                value.append(c)
        elif c == '"' and not value and not quoted:
            inside = quoted = True
        elif c in ",\n\r":
            fields.append(("".join(value), quoted))
            value, quoted = [], False
            if c != ",":
                if c == "\r" and text[at + 1 : at + 2] == "\n":
                    at += 1
                if fields != [("", False)]:
                    yield fields
                fields = []
        else:
            value.append(c)
        at += 1
    if value or quoted or fields:
        yield fields + [("".join(value), quoted)]


def expected(field, dtype):
    """The Python value of a field in a column of this Polars type."""
    text, quoted = field
    if dtype == polars.String:
        return text if text or quoted else None
    if not text:
        return None
    if dtype.is_integer():
        return int(text)
    if dtype.is_float():
        return float(text)
    if dtype == polars.Boolean:
        return text.lower() in ("true", "t", "yes", "y", "1")
    if dtype == polars.Date:
        return datetime.date.fromisoformat(text)
    if dtype == polars.Time:
        return datetime.time.fromisoformat(text)
    if dtype == polars.Datetime:
        return datetime.datetime.fromisoformat(text)
    raise SystemExit(f"no rule for {dtype}")


def main():
    source, published = sys.argv[1:]
    header, *rows = records(open(source, encoding="utf-8", newline="").read())
    names = [name.strip() for name, _ in header]
    path = os.path.join(published, "rows.parquet")
    frame = polars.read_parquet(path)
    columns = [name for name in frame.columns if name in names]
    rejects = os.path.join(published, "rejects.parquet")
    gone = set(polars.read_parquet(rejects)["record"]) if os.path.exists(rejects) else set()
    places = [(names.index(name), frame.schema[name]) for name in columns]
    plain = [
        tuple(expected(row[place], dtype) for place, dtype in places)
        for number, row in enumerate(rows, 1)
        if number not in gone
    ]
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = true")
    by_duckdb = connection.execute(f"SELECT {quoted} FROM read_parquet(?)", [path]).fetchall()
    dropped = json.load(open(os.path.join(published, "_manifest.json")))["rows"]["dropped"]
    by_pyarrow = pyarrow.parquet.read_table(path, columns=columns).select(columns).to_pydict()
    tools = {
        "Polars": frame.select(columns).rows(),
        "DuckDB": by_duckdb,
        "pyarrow": list(zip(*(by_pyarrow[name] for name in columns))),
    }
    for tool, found in tools.items():
        missing = 0
        candidates = iter(plain)
        for row in found:
            for candidate in candidates:
                if candidate == row:
                    break
                missing += 1
            else:
                raise SystemExit(f"{tool}: a row of {path} is not in {source}, or out of order: {row}")
        missing += sum(1 for _ in candidates)
        if missing != dropped:
            raise SystemExit(f"{tool}: {missing} rows of {source} are missing in {path}, the manifest says {dropped} dropped")
        print(f"{tool}: {len(found)} rows of {len(columns)} columns are the same, {missing} dropped")


main()
