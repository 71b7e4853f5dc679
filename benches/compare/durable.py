"""What makes a written file durable: forebay does it before it publishes, so the others do it too."""

import os
from pathlib import Path


def sync(files: list[Path]) -> None:
    """Syncs files, and the directories that name them."""
    for path in [*files, *{file.parent for file in files}]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
