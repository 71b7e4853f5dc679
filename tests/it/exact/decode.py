"""Prints the records of a CSV file, decoded by Python's own codecs, as JSON: decode.py FILE ENCODING."""

import csv
import gzip
import io
import json
import sys

path, encoding = sys.argv[1:]
opener = gzip.open if path.endswith(".gz") else open
with opener(path, "rb") as file:
    text = file.read().decode(encoding)
csv.field_size_limit(1 << 30)
# An empty line is no record.
json.dump([row for row in csv.reader(io.StringIO(text, newline="")) if row], sys.stdout)
