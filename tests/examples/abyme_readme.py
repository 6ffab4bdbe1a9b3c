"""Runs the example of Abyme's README in both of its forms and looks at all that it leaves: abyme_readme.py PROGRAM.

Both forms must print and write the same, byte by byte, and print what abyme_readme.txt holds, but for numbers, which
may differ by 1% from one processor to another.
"""

import csv
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

program = sys.argv[1]
epochs = 5
a_number = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
statistics = ["average", "std", "min", "max"]
columns = ["id"] + [
    f"{data}.{what}.{each}" for what in ["new.low", "loss.moving"] for data in ["test", "train"] for each in statistics
]


def run(folder, *options):
    """What it printed, and what it wrote: bytes by name."""
    command = [program, "--folder", folder, "--epochs", str(epochs), *options]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return out, {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def close(got, wanted):
    return math.isclose(float(got), float(wanted), rel_tol=0.01)


def compare_lines(got, wanted):
    """Both texts, line by line, numbers apart."""
    assert len(got) == len(wanted), f"it prints {len(got)} lines, not {len(wanted)}"
    for index, (line, expected) in enumerate(zip(got, wanted), 1):
        same_text = re.sub(a_number, "#", line) == re.sub(a_number, "#", expected)
        numbers = zip(re.findall(a_number, line), re.findall(a_number, expected))
        assert same_text and all(close(*pair) for pair in numbers), f"line {index} is {line!r}, not {expected!r}"


def check_table(path, blocks):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == columns, f"the columns are {list(rows[0])}, not {columns}"
    assert [row["id"] for row in rows] == [str(epoch) for epoch in range(epochs)], "the rows are not those of the epochs"
    for row in rows:
        assert None not in row and None not in row.values(), f"row {row['id']} has not {len(columns)} cells"
    # A window of 4 epochs is full with the 5th, as are its columns.
    moving = [name for name in columns if ".moving." in name]
    assert all(row[name] == "na" for row in rows[:4] for name in moving), "what moves is there too early"
    # What was printed last stands in the last row.
    for name, printed in blocks.items():
        assert math.isclose(float(rows[-1][name]), float(printed), rel_tol=1e-5), f"{name} is {rows[-1][name]}, not {printed}"


def check_model(name, content):
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"}, f"{name} says of itself {content[8:100]}"
    names = {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert set(header) == names, f"{name} holds {set(header)}, not {names}"
    assert header["0.weight"]["shape"] == [32, 8], f"{name}: 0.weight has the shape {header['0.weight']['shape']}"


with tempfile.TemporaryDirectory() as folder:
    out, files = run(f"{folder}/lines")
    nested_out, nested_files = run(f"{folder}/nested", "--nested")
    assert out == nested_out, "the two forms print different texts"
    assert files == nested_files, "the two forms write different files"
    compare_lines(out.splitlines(), pathlib.Path(__file__).with_suffix(".txt").read_text().splitlines())
    blocks = dict(re.findall(rf"^ +([\w.]+): +({a_number})$", out, re.M))
    assert sorted(blocks) == sorted(columns[1:]), f"the blocks show {sorted(blocks)}"
    check_table(f"{folder}/lines/results.csv", blocks)

lows = re.findall(r"new test low, epoch (\d+)", out)
models = [f"{epoch}_test.safetensors" for epoch in lows]
assert sorted(files) == sorted(["results.csv", *models]), f"the files are {sorted(files)}"
for name in models:
    check_model(name, files[name])
assert len({files[name] for name in models}) == len(models), "two epochs have the same model"
