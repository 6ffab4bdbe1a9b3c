"""What runs leave behind, to be compared with what another one leaves; and data for the example mnist."""

import json
import os
import pathlib
import random
import struct


def parts_of(path):
    """The tensors of a safetensors file, bytes by name, and its metadata; by the rules of the format."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    told = header.pop("__metadata__")
    tensors = {name: (each["dtype"], each["shape"], data[slice(*each["data_offsets"])]) for name, each in header.items()}
    return tensors, told


def remembers_owners(folder):
    """Whether the file system knows of a file which run wrote it; old ones in memory don't."""
    file = pathlib.Path(folder, "whose")
    file.touch()
    try:
        os.setxattr(file, "user.abyme.run", b"mine")
        return True
    except OSError:
        return False
    finally:
        file.unlink()


def in_common(record, counts_snapshots=True):
    """A record without what no two runs have in common: their ids, and what their clocks said."""
    record.pop("run")
    record.pop("time", None)
    for group in ["nodes", "parts"]:
        for name in list(record[group]):
            if "time" in name.lower() or (not counts_snapshots and name.endswith("Snapshot")):
                del record[group][name]
    return record


def difference(got, wanted, name=""):
    """Where two trees of values differ, as text."""
    if isinstance(got, dict) and isinstance(wanted, dict) and set(got) == set(wanted):
        for each in got:
            if text := difference(got[each], wanted[each], f"{name}/{each}"):
                return text
        return ""
    if isinstance(got, dict) and isinstance(wanted, dict):
        return f"{name} has {sorted(set(got) - set(wanted))} too much, and not {sorted(set(wanted) - set(got))}"
    if got == wanted:
        return ""
    if isinstance(got, list) and isinstance(wanted, list) and len(got) == len(wanted):
        return next(difference(*pair, f"{name}[{i}]") for i, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1])
    return f"{name} is {str(got)[:200]}, not {str(wanted)[:200]}"


def made_up_digits(folder, train, test):
    """Four files as those of MNIST, with so many images of noise."""
    folder.mkdir()
    for name, count in [("train", train), ("t10k", test)]:
        images, labels = random.Random(count).randbytes(28 * 28 * count), bytes(i % 10 for i in range(count))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)
    return folder
