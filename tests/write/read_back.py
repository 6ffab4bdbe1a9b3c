"""Reads tables that abyme wrote with Python's csv module, and compares each cell: read_back.py TEST_PROGRAM.

The test program has a hidden case that writes them; what they hold is made here once more, by Python.
"""

import csv
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

numbers = [0.1, 1e-300, 1 / 3, -0.0, sys.float_info.max, sys.float_info.min, 1e16 / 3, -123456789.123456789]
numbers += [1e23, math.inf, -math.inf, math.nan]
integers = [2**63 - 1, -(2**63), 2**53 + 1, 0]
texts = ["plain", 'say "hi"', "a,b;c\td", "two\nlines", "win\r\ndows", "\r", '"', "", " blanks ", "größe 重み", "na"]
texts += ['"\n",\n']
names = ["number", "integer", 'a "text",\nlong', "flag", "time"]


def row(index):
    """The values of a row under the names of its columns, `None` where there is none."""
    number, integer, text = (values[index % len(values)] for values in (numbers, integers, texts))
    return dict(zip(names, [number, integer, text, index % 2 == 0, 0.001 * index if index % 3 else None]))


def same(cell, value):
    """Whether the text of a cell is this value: numbers bit by bit."""
    if value is None:
        return cell == "na"
    if isinstance(value, bool):
        return cell == str(value).lower()
    if isinstance(value, float):
        return struct.pack("d", float(cell)) == struct.pack("d", value) or math.isnan(float(cell)) and math.isnan(value)
    return type(value)(cell) == value


def check(path, separator, header, rows):
    with open(path, newline="", encoding="utf-8") as file:
        got = list(csv.reader(file, delimiter=separator, strict=True))
    assert got[0] == header, f"{path.name}: the header is {got[0]}, not {header}"
    assert len(got) == 1 + len(rows), f"{path.name}: {len(got) - 1} rows, not {len(rows)}"
    for index, (cells, expected) in enumerate(zip(got[1:], rows)):
        assert len(cells) == len(header), f"{path.name}, row {index}: {len(cells)} cells, not {len(header)}"
        for name, cell in zip(header, cells):
            assert same(cell, expected[name]), f"{path.name}, row {index}, {name!r}: {cell!r}, not {expected[name]!r}"


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    environment = os.environ | {"ABYME_READ_BACK": name}
    subprocess.run([sys.argv[1], "[.read_back]"], check=True, env=environment)
    rows = [row(index) for index in range(24)]
    late = [{"id": i, **each, "late.counter": i if i >= 7 else None} for i, each in enumerate(rows)]
    plain = [{**each, "id": i} for i, each in enumerate(rows)]
    for kind, separator in {"comma": ",", "tab": "\t", "semicolon": ";"}.items():
        check(folder / f"{kind}_writer.csv", separator, ["id", *names, "late.counter"], late)
        check(folder / f"{kind}_stream.csv", separator, [*names, "id"], plain)
    assert len(list(folder.iterdir())) == 6, "there are other files"
