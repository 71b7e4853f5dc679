"""How forebay grows with the file: one file that gets longer, with other rows in every gigabyte."""

import json
import shutil
import statistics
from pathlib import Path

import prepare
from measure import Sample, mb, pin, rounds, run, table, warm
from options import Options

ROWS_PER_GB = 6_420_000


def main(options: Options, folder: Path) -> str:
    prepare.room(max(options.gigabytes) * 1.6 + 2)
    forebay, config = prepare.forebay(), prepare.config(folder)
    csv, out = folder / "growing.csv", folder / "out"
    pin(options.threads)
    rows, first, grown = [], 0, 0.0
    for size in sorted(options.gigabytes):
        while grown < size:
            piece = min(1.0, size - grown)
            grown += piece
            # Every piece has a seed of its own, so no row comes twice.
            append(csv, folder / "piece.csv", round(piece * ROWS_PER_GB), seed=round(grown * 1000))
        warm(csv)

        def once() -> Sample:
            shutil.rmtree(out, ignore_errors=True)
            return run([forebay, "once", csv, "-c", config, "--json", "--out", out], folder, options.threads)

        [samples] = rounds({f"{size:g} GB": once}, options.rounds).values()
        first = first or max(sample.rss for sample in samples)
        rows.append(row(csv.stat().st_size, samples, first))
    head = ["file", "records", "wall, median", "records/s", "speed", "peak RSS", "times the first"]
    return f"{options.rounds} rounds\n\n{table(head, rows)}"


def row(size: int, samples: list[Sample], first: int) -> list[object]:
    """Returns a line of the table; `first` is the memory of the first line."""
    read = json.loads(samples[0].printed)["rows"]["read"]
    wall = statistics.median(sample.wall for sample in samples)
    rss = max(sample.rss for sample in samples)
    speeds = [f"{read / wall:,.0f}", f"{size / wall / 1e6:.0f} MB/s"]
    return [f"{size / 1e9:.2f} GB", f"{read:,}", f"{wall:.2f} s", *speeds, f"{mb(rss)} MB", f"{rss / first:.2f}"]


def append(csv: Path, piece: Path, rows: int, seed: int) -> None:
    """Makes so many rows and puts them behind those of `csv`."""
    prepare.generate(piece, "--rows", rows, "--seed", seed)
    with open(csv, "ab") as target, open(piece, "rb") as source:
        if target.tell() > 0:
            source.readline()
        shutil.copyfileobj(source, target, 8 << 20)
    piece.unlink()
    prepare.truth(piece).unlink()
