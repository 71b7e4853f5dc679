"""Writes a CSV file of one column, `text`, with a row for each character an encoding has, and prints the rows as JSON:
encode.py FILE ENCODING."""

import json
import sys

path, encoding = sys.argv[1:3]
# Characters for private use mean what a table's edition wants.
codes = (code for code in range(0x80, 0xFFFE) if not 0xE000 <= code < 0xF900)


def known(character):
    try:
        return character.encode(encoding).decode(encoding) == character
    except UnicodeError:
        return False


rows = [f"x{character}y" for character in map(chr, codes) if known(character)]
with open(path, "wb") as file:
    file.write("".join(f"{row}\n" for row in ["text", *rows]).encode(encoding))
json.dump(rows, sys.stdout)
