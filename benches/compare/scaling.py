"""How forebay grows with the file: one file that gets longer, with other rows in every gigabyte."""

import json
import shutil
from pathlib import Path

import prepare
from measure import Sample, mb, pin, run, table, warm
from options import Options

ROWS_PER_GB = 6_420_000


def main(options: Options, folder: Path) -> str:
    prepare.room(max(options.gigabytes) * 1.6 + 2)
    forebay, config = prepare.forebay(), prepare.config(folder)
    csv, out = folder / "growing.csv", folder / "out"
    pin(options.threads)
    rows, samples, grown = [], [], 0.0
    for size in sorted(options.gigabytes):
        while grown < size:
            piece = min(1.0, size - grown)
            grown += piece
            # Every piece has a seed of its own, so no row comes twice.
            append(csv, folder / "piece.csv", round(piece * ROWS_PER_GB), seed=round(grown * 1000))
        warm(csv)
        shutil.rmtree(out, ignore_errors=True)
        samples.append(run([forebay, "once", csv, "-c", config, "--json", "--out", out], folder, options.threads))
        rows.append(row(csv.stat().st_size, samples[-1], samples[0]))
    return table(["file", "records", "wall", "records/s", "speed", "peak RSS", "times the first"], rows)


def row(size: int, sample: Sample, first: Sample) -> list[object]:
    """Returns a line of the table."""
    read = json.loads(sample.printed)["rows"]["read"]
    speeds = [f"{read / sample.wall:,.0f}", f"{size / sample.wall / 1e6:.0f} MB/s"]
    memory = [f"{mb(sample.rss)} MB", f"{sample.rss / first.rss:.2f}"]
    return [f"{size / 1e9:.2f} GB", f"{read:,}", f"{sample.wall:.2f} s", *speeds, *memory]


def append(csv: Path, piece: Path, rows: int, seed: int) -> None:
    """Makes so many rows and puts them behind those of `csv`."""
    prepare.generate(piece, "--rows", rows, "--seed", seed)
    with open(csv, "ab") as target, open(piece, "rb") as source:
        if target.tell() > 0:
            source.readline()
        shutil.copyfileobj(source, target, 8 << 20)
    piece.unlink()
    prepare.truth(piece).unlink()
