"""What broken records cost: forebay on a sound file and on the same rows with 1 % broken records between them."""

import json
import shutil
import statistics
from pathlib import Path

import prepare
from measure import Sample, mb, pin, rounds, run, table, warm
from options import Options

FRACTION = 0.01


def main(options: Options, folder: Path) -> str:
    prepare.room(options.rows * 700e-9 + 1)
    files = {"sound": prepare.data(options.rows), "1 % broken": prepare.data(options.rows, dirty=FRACTION)}
    forebay, config, out = prepare.forebay(options.profile), prepare.config(folder), folder / "out"

    def program(csv: Path):
        def once() -> Sample:
            shutil.rmtree(out, ignore_errors=True)
            return run([forebay, "once", csv, "-c", config, "--json", "--out", out], folder, options.threads)

        return once

    pin(options.threads)
    warm(*files.values())
    samples = rounds({name: program(csv) for name, csv in files.items()}, options.rounds)
    rows = [row(name, runs, samples["sound"]) for name, runs in samples.items()]
    head = ["", "records", "rejected, by rules too", "wall, median", "records/s", "of the sound speed", "peak RSS"]
    return f"{options.rounds} rounds\n\n{table(head, rows)}"


def row(name: str, runs: list[Sample], sound: list[Sample]) -> list[object]:
    """Returns a line of the table. Speeds are per record, since the broken ones come on top."""
    counts = json.loads(runs[0].printed)["rows"]
    share = statistics.median(speed(run) / speed(base) for run, base in zip(runs, sound, strict=True))
    wall = f"{statistics.median(run.wall for run in runs):.2f} s"
    speeds = f"{statistics.median(map(speed, runs)):,.0f}"
    rss = f"{mb(max(run.rss for run in runs))} MB"
    return [name, f"{counts['read']:,}", f"{counts['rejected']:,}", wall, speeds, f"{share:.0%}", rss]


def speed(run: Sample) -> float:
    """Returns records per second."""
    return json.loads(run.printed)["rows"]["read"] / run.wall
