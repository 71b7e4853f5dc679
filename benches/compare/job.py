"""The whole job: forebay, DuckDB and Polars on the same file, the same threads, the same compression."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import prepare
from measure import Sample, comparison, pin, rounds, run, starts, warm
from options import Options
from prepare import HERE, call, say


def main(options: Options, folder: Path) -> str:
    prepare.room(options.rows * 400e-9 + 1)
    csv = options.csv or prepare.data(options.rows)
    forebay, python = prepare.forebay(options.profile), prepare.python()
    config = prepare.config(folder, median=options.median)
    median = int(options.median)
    commands = {
        "forebay": [forebay, "once", csv, "-c", config, "--json", "--out"],
        "DuckDB": [python, HERE / "duckdb_job.py", csv],
        "Polars": [python, HERE / "polars_job.py", csv],
        "Polars, fastest way": [python, HERE / "polars_job.py", csv],
    }
    behind = {
        "forebay": [],
        "DuckDB": [options.threads, median],
        "Polars": [median, "schema"],
        "Polars, fastest way": [median, "text"],
    }
    outputs = {name: folder / name for name in commands}

    def program(name: str):
        def once() -> Sample:
            shutil.rmtree(outputs[name], ignore_errors=True)
            outputs[name].mkdir()
            sample = run([*commands[name], outputs[name], *behind[name]], folder, options.threads)
            return replace(sample, out_bytes=sum(file.stat().st_size for file in outputs[name].rglob("rows.parquet")))

        return once

    pin(options.threads)
    warm(csv)
    samples = rounds({name: program(name) for name in commands}, options.rounds)
    say("comparing what they wrote")
    published = next(outputs["forebay"].glob("taxi/*/*"))
    places = ["forebay", published]
    for name in list(commands)[1:]:
        places += [name, outputs[name]]
    rows = int(call(python, HERE / "same.py", *places))
    told = json.loads(samples["forebay"][-1].printed)["rows"]
    if told["written"] != rows:
        sys.exit(f"forebay says it wrote {told['written']} rows, and wrote {rows}")
    size = csv.stat().st_size
    return (
        f"{told['read']:,} rows, {size / 1e9:.2f} GB{', with a median' if options.median else ''}; "
        f"{options.rounds} rounds; all agree on {rows:,} clean rows, every cell of them, and the aggregate\n\n"
        f"{comparison(samples)}\n\n{starts(python, folder)}"
    )
