"""The trees of the examples go on from every boundary: boundaries.py PROGRAM.

PROGRAM is the example NAME as boundaries_NAME, which ../resume/boundaries.cpp makes of it. A run that goes on must print
what is left of the run that was never stopped, and leave the same files, models, optimizers, fields and generators. The
boundaries are so many that some of them are taken; ABYME_EVERY=1 takes all.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from left_behind import difference, in_common, made_up_digits, parts_of, remembers_owners

program = pathlib.Path(sys.argv[1]).absolute()


def lines_of(folder):
    text = (folder / "printed").read_text()
    return re.sub(r"\d+ samples/s", "TIME", text).splitlines()


clock = r"(^|\.)(time|date)(\.numbers)?$"


def without_clocks(record):
    """What a history and what has elapsed tell of the time differs from run to run."""
    if isinstance(record, list):
        return [without_clocks(each) for each in record]
    if isinstance(record, dict):
        return {name: without_clocks(each) for name, each in record.items() if not re.search(clock, name)}
    return record


def left(folder):
    """Its files, and its state at the end."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name == "printed" or name.startswith("snapshots/") or "/checkpoints/" in name:
            continue
        if path.suffix == ".bck" and not remembers_owners(folder):
            continue
        if path.suffix != ".safetensors":
            files[name] = path.read_bytes()
            continue
        tensors, told = parts_of(path)
        files[name] = {each: held for each, held in tensors.items() if not re.search(clock, each)}
        told.pop("abyme.run", None)  # an id of its own
        told.pop("checksum", None)
        if record := told.pop("abyme", None):
            told["record"] = without_clocks(in_common(json.loads(record), counts_snapshots=False))
        files[name + " says"] = told
    return files


def goes_on(got, whole):
    """Whether the lines are how the whole ones begin, before the run, and how they end."""
    return any(got[:i] == whole[:i] and whole[len(whole) - len(got) + i :] == got[i:] for i in range(len(got) + 1))


with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name)
    options, every = ["--folder", "files", "--epochs", "5"], 13
    if program.name == "boundaries_mnist":
        digits = made_up_digits(root / "digits", 200, 100)
        options, every = ["--data", digits, "--epochs", "2", "--threads", "1", "--device", "cpu"], 5
    if program.name == "boundaries_ciclo_mnist":
        digits = made_up_digits(root / "digits", 200, 100)
        options, every = ["--data", digits, "--steps", "7", "--threads", "1", "--folder", "files"], 9
    environment = os.environ | {"ABYME_FOLDER": str(root), "ABYME_EVERY": os.environ.get("ABYME_EVERY", str(every))}
    subprocess.run([program, *options], check=True, env=environment)
    wanted, lines = left(root / "whole"), lines_of(root / "whole")
    assert not (text := difference(left(root / "taking"), wanted)), f"snapshots change the run: {text}"
    all_of_it = sorted((root / "from").iterdir())
    for folder in all_of_it:
        assert not (text := difference(left(folder), wanted)), f"from {folder.name}: {text}"
        assert goes_on(lines_of(folder), lines), f"from {folder.name} it prints {lines_of(folder)}, not {lines}"
    count = len(list((root / "taking" / "snapshots").iterdir()))
    print(f"gone on with from {len(all_of_it)} of {count} boundaries")
