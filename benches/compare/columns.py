"""The columns of the taxi files, as compare.toml names them: one list for all programs of the comparison."""

import tomllib
from pathlib import Path

DATETIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def columns() -> dict[str, str]:
    """Returns each column's type: int64, float64, string or datetime."""
    config = tomllib.loads(Path(__file__).with_name("compare.toml").read_text())
    kinds = config["pipelines"]["taxi"]["columns"]
    return {name: kind if isinstance(kind, str) else kind["type"] for name, kind in kinds.items()}
