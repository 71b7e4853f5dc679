"""The reader alone: a file into typed columns in memory. forebay and DuckDB account for bad records on the way."""

import json
import sys
from functools import partial
from pathlib import Path

import prepare
from measure import comparison, pin, rounds, run, starts, warm
from options import Options
from prepare import HERE


def main(options: Options, folder: Path) -> str:
    prepare.room(options.rows * 160e-9 + 1)
    csv = options.csv or prepare.data(options.rows)
    reader, python = prepare.file_reader(options.profile), prepare.python()
    commands = {
        "forebay": [reader, prepare.config(folder, rules=False), csv],
        "DuckDB": [python, HERE / "duckdb_reader.py", csv, options.threads],
        "Polars": [python, HERE / "polars_reader.py", csv, "read_csv"],
        "Polars, fastest way": [python, HERE / "polars_reader.py", csv, "streamed"],
    }
    pin(options.threads)
    warm(csv)
    programs = {name: partial(run, command, folder, options.threads) for name, command in commands.items()}
    samples = rounds(programs, options.rounds)
    counted = {name: read(name, runs[0].printed) for name, runs in samples.items()}
    if len(set(counted.values())) != 1:
        sys.exit(f"they did not read the same rows: {counted}")
    size = csv.stat().st_size
    return (
        f"{counted['forebay']:,} rows, {size / 1e9:.2f} GB; {options.rounds} rounds\n\n"
        f"{comparison(samples)}\n\n{starts(python, folder)}"
    )


def read(name: str, printed: str) -> int:
    """Returns the rows a program says it read."""
    return json.loads(printed)["rows"] if name == "forebay" else int(printed)
