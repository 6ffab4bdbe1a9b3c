"""Reads a safetensors file that abyme wrote, and compares each byte of each tensor: read_back.py TEST_PROGRAM.

By the `safetensors` package where Python has it, and always by the rules of the format:
https://github.com/huggingface/safetensors#format
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile


def packed(code, values):
    return struct.pack(f"<{len(values)}{code}", *values)


def bfloat16(values):
    """The upper half of each float32, which is exact for the values here."""
    return b"".join(struct.pack("<f", value)[2:] for value in values)


counted = list(range(-3, 9))
quarters = [value / 4 for value in counted]
thirds = packed("d", [value / 3 for value in range(5)])
# name: dtype, shape, bytes
expected = {
    "bool": ("BOOL", [7], packed("?", [value % 3 == 1 for value in range(7)])),
    "u8": ("U8", [12], packed("B", range(200, 212))),
    "i8": ("I8", [12], packed("b", counted)),
    "i16": ("I16", [12], packed("h", counted)),
    "i32": ("I32", [12], packed("i", counted)),
    "i64": ("I64", [3], packed("q", [-(2**63), -1, 2**63 - 1])),
    "f16": ("F16", [12], packed("e", quarters)),
    "bf16": ("BF16", [12], bfloat16(quarters)),
    "f32": ("F32", [2, 3, 2], packed("f", [value / 7 for value in range(12)])),
    "f64": ("F64", [5], thirds),
    "tied": ("F64", [5], thirds),
    "transposed": ("F32", [3, 2], packed("f", [0, 3, 1, 4, 2, 5])),
    "every second": ("I32", [4], packed("i", [1, 3, 5, 7])),
    "scalar": ("F64", [], packed("d", [0.1])),
    "empty": ("F32", [0, 3], b""),
    'a "quoted\\name"\n': ("F32", [], packed("f", [1])),
    "größe.重み": ("F32", [], packed("f", [2])),
}
widths = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}


def by_the_rules(content):
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0, f"the header has {length} bytes, so that what follows is not aligned"
    text, data = content[8 : 8 + length].decode(), content[8 + length :]
    assert text.startswith("{"), "the header does not begin with a brace"
    assert text.rstrip(" ").endswith("}"), "the header is filled with something else than blanks"
    pairs = json.loads(text, object_pairs_hook=list)
    header = dict(pairs)
    assert len(header) == len(pairs), "a name stands twice in the header"
    assert dict(header.pop("__metadata__")) == {"format": "pt", "note": 'a "quoted" one\n'}, "the metadata differs"
    tensors, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda each: dict(each[1])["data_offsets"]):
        entry = dict(entry)
        assert set(entry) == {"dtype", "shape", "data_offsets"}, f"{name}: the entry is {entry}"
        first, last = entry["data_offsets"]
        assert first == end, f"{name} begins at {first}, and what is before it ends at {end}"
        assert first % widths[entry["dtype"]] == 0, f"{name} begins at {first}, which is not aligned"
        tensors[name] = (entry["dtype"], entry["shape"], data[first:last])
        end = last
    assert end == len(data), f"{len(data) - end} bytes are left over"
    return tensors


def by_the_package(content):
    from safetensors import deserialize

    return {name: (each["dtype"], list(each["shape"]), bytes(each["data"])) for name, each in deserialize(content)}


def compare(reader, got):
    assert set(got) == set(expected), f"{reader}: the names differ: {set(got) ^ set(expected)}"
    for name, wanted in expected.items():
        assert got[name] == wanted, f"{reader}: {name!r} is {got[name]}, not {wanted}"


with tempfile.TemporaryDirectory() as folder:
    environment = os.environ | {"ABYME_READ_BACK": folder}
    subprocess.run([sys.argv[1], "[.read_back]"], check=True, env=environment)
    content = pathlib.Path(folder, "tensors.safetensors").read_bytes()
compare("the format's rules", by_the_rules(content))
try:
    tensors = by_the_package(content)
except ModuleNotFoundError:
    print("the package safetensors is not there; read by the rules of the format alone")
else:
    compare("the package safetensors", tensors)
