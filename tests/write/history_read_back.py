"""Reads a history that abyme wrote with Python's csv and json modules, and compares all: history_read_back.py TEST_PROGRAM.

The rows are made here once more, by Python.
"""

import csv
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

numbers = [0.1, 1e-300, 1 / 3, -0.0, sys.float_info.max, sys.float_info.min, 5e-324, 1e16 / 3, -123456789.123456789]
numbers += [1e23, 2.0, math.inf, -math.inf, math.nan]
integers = [2**63 - 1, -(2**63), 2**53 + 1, 0]
texts = ["plain", 'say "hi"', "a,b;c\td", "two\nlines", "win\r\ndows", "\r", '"', "", " blanks ", "größe 重み"]
texts += ["12", "nan", "true", "[1,2]"]


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def row(i):
    """The collections of a row."""
    date = (1_795_266_942_244_271 + 1_000_000 * i) / 1e6
    made = {
        "elapsed": {"steps": i, "samples": 64 * i, "time": 0.1 * i, "date": date},
        "metrics": {"number": numbers[i % len(numbers)], "integer": integers[i % len(integers)]},
    }
    if i % 3 == 1:
        made["own"] = {'text, "long"': texts[i % len(texts)], "flag": i % 2 == 0}
    if i % 5 == 2:
        made["losses"] = {"tensor": float32(0.1 * i)}
    if i % 7 == 3:
        made["metrics"]["number"] = 1
    return made


def same(got, value):
    """Whether it is this value, numbers bit by bit."""
    if isinstance(value, float) and isinstance(got, float):
        return struct.pack("d", got) == struct.pack("d", value) or math.isnan(got) and math.isnan(value)
    return type(got) is type(value) and got == value


def of_cell(text, value):
    """The text of a cell as a value of that type."""
    return {"true": True, "false": False}[text] if isinstance(value, bool) else type(value)(text)


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    case = "all numbers and texts come back as they were*"
    subprocess.run([sys.argv[1], case], check=True, env=os.environ | {"ABYME_READ_BACK": name})
    rows = [row(i) for i in range(28)]
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").split("\n")
    assert len(lines) == len(rows) + 1 and lines[-1] == "", f"{len(lines)} lines"
    for i, (line, expected) in enumerate(zip(lines, rows)):
        got = json.loads(line)
        assert {key: list(entries) for key, entries in got.items()} == {
            key: list(entries) for key, entries in expected.items()
        }, f"row {i}: {got}"
        for collection, entries in expected.items():
            for key, value in entries.items():
                assert same(got[collection][key], value), f"row {i}, {key}: {got[collection][key]!r}, not {value!r}"

    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        header, *table = csv.reader(file, strict=True)
    wanted = ["elapsed.steps", "elapsed.samples", "elapsed.time", "elapsed.date", "metrics.number", "metrics.integer"]
    assert header == [*wanted, 'own.text, "long"', "own.flag", "losses.tensor"], header
    assert len(table) == len(rows), f"{len(table)} rows"
    for i, (cells, expected) in enumerate(zip(table, rows)):
        for column, cell in zip(header, cells, strict=True):
            collection, key = column.split(".", 1)
            value = expected.get(collection, {}).get(key)
            assert cell == "" if value is None else same(of_cell(cell, value), value), f"row {i}, {column}: {cell!r}"
