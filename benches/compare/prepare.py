"""What the comparison needs: our builds, the others in a venv, the data. All of it stays below the target folder."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
WORK = TARGET / "compare"
GENERATOR = ROOT.parent / "shared" / "tools" / "synth_yellow.py"
GIB = 1 << 30


def say(text: str) -> None:
    """Tells what is going on; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def call(*command: object, **options) -> str:
    """Runs a command that must succeed and returns what it printed."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, **options).stdout
    except FileNotFoundError:
        sys.exit(f"{words[0]} is missing: install it first")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(words)} failed with exit code {error.returncode}")


def forebay(profile: str) -> Path:
    """Builds and returns the program."""
    say("building forebay")
    call("cargo", "build", "--profile", profile, "--locked", "--quiet", "--bin", "forebay", cwd=ROOT)
    return TARGET / profile / "forebay"


def file_reader(profile: str) -> Path:
    """Builds and returns the reader alone."""
    say("building the reader")
    command = "cargo bench --no-run --locked --quiet --bench read_file --message-format json --profile".split()
    for line in call(*command, profile, cwd=ROOT).splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "read_file" and message.get("executable"):
            return Path(message["executable"])
    sys.exit("cargo built no read_file")


def python() -> Path:
    """Returns a Python that has the pinned DuckDB and Polars."""
    venv, pins = WORK / "venv", HERE / "requirements.txt"
    installed, binary = venv / "installed.txt", venv / "bin" / "python"
    if not installed.exists() or installed.read_text() != pins.read_text():
        say("installing DuckDB and Polars")
        call(sys.executable, "-m", "venv", "--clear", venv)
        call(binary, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", pins)
        shutil.copy(pins, installed)
    return binary


def data(rows: int, *, seed: int = 1, dirty: float = 0.0) -> Path:
    """Returns a file of so many taxi rows, made if it is not there yet; `dirty` is the fraction of broken records."""
    path = WORK / "data" / f"taxi-{rows}-{seed}{f'-dirty-{dirty}' if dirty else ''}.csv"
    if not path.exists():
        part = path.with_suffix(".part")
        generate(part, "--rows", rows, "--seed", seed, "--dirty-structural", dirty)
        part.rename(path)
        truth(part).unlink()
    return path


def truth(path: Path) -> Path:
    """Returns where the generator leaves what it knows of its file."""
    return path.with_name(path.name + ".truth.json")


def generate(path: Path, *options: object) -> None:
    """Runs the generator of taxi files."""
    if not GENERATOR.exists():
        sys.exit(f"{GENERATOR} is missing: it makes the data; or name a file of yellow taxi trips with --csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    say(f"making {path.name}")
    call(sys.executable, GENERATOR, path, *options)


def config(folder: Path, *, median: bool = False, rules: bool = True, listen: str | None = None) -> Path:
    """Writes the configuration into `folder`: with a median in the aggregate, or down to the columns alone."""
    text = (HERE / "compare.toml").read_text()
    if median:
        text = replaced(text, "AS mean_fare", "AS mean_fare, MEDIAN(fare_amount) AS median_fare")
    if not rules:
        text = text[: text.index("[pipelines.taxi.derive]")]
    if listen:
        text = replaced(text, "127.0.0.1:0", listen)
    path = folder / "forebay.toml"
    path.write_text(text)
    return path


def settle() -> float:
    """Returns the seconds a file must stay as it is before it is taken."""
    told = tomllib.loads((HERE / "compare.toml").read_text())["pipelines"]["taxi"]["settle"]
    return float(told.removesuffix("ms")) / 1e3


def replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        sys.exit(f"compare.toml has no {old!r} any more")
    return text.replace(old, new)


def room(gib: float) -> None:
    """Stops if the disk has not so much room: a comparison on a full disk would measure something else."""
    WORK.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(WORK).free / GIB
    if free < gib:
        sys.exit(f"{WORK} has {free:.1f} GiB free, {gib:.1f} GiB are needed")
