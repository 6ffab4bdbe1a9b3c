"""abyme and Python read each other's safetensors files: read_back.py TEST_PROGRAM.

By the `safetensors` package and PyTorch where Python has them, and always by the rules of the format:
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


note = {"note": 'a "quoted" one\n größe'}


def written_by_the_rules(tensors, metadata):
    """A file of tensors as they stand in `expected`, in their order, which need not be that of their widths."""
    header, data = {"__metadata__": metadata}, b""
    for name, (dtype, shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def by_the_rules(content, metadata):
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0, f"the header has {length} bytes, so that what follows is not aligned"
    text, data = content[8 : 8 + length].decode(), content[8 + length :]
    assert text.startswith("{"), "the header does not begin with a brace"
    assert text.rstrip(" ").endswith("}"), "the header is filled with something else than blanks"
    pairs = json.loads(text, object_pairs_hook=list)
    header = dict(pairs)
    assert len(header) == len(pairs), "a name stands twice in the header"
    told = dict(header.pop("__metadata__"))
    assert told == (metadata or told), f"the metadata is {told}"
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


def compare(reader, got, expected):
    assert set(got) == set(expected), f"{reader}: the names differ: {set(got) ^ set(expected)}"
    for name, wanted in expected.items():
        assert got[name] == wanted, f"{reader}: {name!r} is {got[name]}, not {wanted}"


def floats(shape, values):
    return ("F32", shape, packed("f", values))


# The model of read_back.cpp, and what it makes of its inputs.
first_weight, bias = [value / 8 for value in range(12)], [0.5, -1, 2, 0.25]
mean, variance, scale, shift = [0.5, 1, 1.5, 2], [1, 4, 0.25, 9], [1, 2, 3, 4], [0, -1, 1, 0.5]
second_weight = [value / 4 - 1 for value in range(12)]
weights = {
    "first.weight": floats([4, 3], first_weight),
    "first.bias": floats([4], bias),
    "norm.weight": floats([4], scale),
    "norm.bias": floats([4], shift),
    "norm.running_mean": floats([4], mean),
    "norm.running_var": floats([4], variance),
    "norm.num_batches_tracked": ("I64", [], packed("q", [5])),
    "second.weight": floats([3, 4], second_weight),
    "tied": floats([4], bias),
}


def outputs_of(inputs):
    hidden = [sum(w * x for w, x in zip(first_weight[3 * i : 3 * i + 3], inputs)) + bias[i] for i in range(4)]
    normed = [(hidden[i] - mean[i]) / (variance[i] + 1e-5) ** 0.5 * scale[i] + shift[i] for i in range(4)]
    return [sum(w * x for w, x in zip(second_weight[4 * i : 4 * i + 4], normed)) + bias[0] for i in range(3)]


outputs = outputs_of([0, 0.25, 0.5]) + outputs_of([0.75, 1, 1.25])


def by_a_twin(folder):
    """PyTorch loads strictly what abyme wrote, and abyme what PyTorch saved."""

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(3, 4)
            self.norm = torch.nn.BatchNorm1d(4)
            self.second = torch.nn.Linear(4, 3, bias=False)
            self.tied = self.first.bias

        def forward(self, inputs):
            return self.second(self.norm(self.first(inputs))) + self.tied[0]

    twin, whole = Twin().eval(), load_file(folder / "snapshot.safetensors")
    twin.load_state_dict(load_file(folder / "weights.safetensors"), strict=True)
    got = twin(torch.arange(6, dtype=torch.float32).view(2, 3) / 4)
    assert torch.allclose(got, whole["outputs"], rtol=1e-6), f"PyTorch's outputs are {got}, not {whole['outputs']}"
    of_the_model = {name.removeprefix("model."): each for name, each in whole.items() if name != "outputs"}
    twin.load_state_dict(of_the_model, strict=True)
    assert all(torch.equal(each, of_the_model[name]) for name, each in twin.state_dict().items())
    return twin


def run(folder):
    environment = os.environ | {"ABYME_READ_BACK": str(folder)}
    subprocess.run([sys.argv[1], "[.read_back]"], check=True, env=environment)


def check_model(folder):
    content = (folder / "weights.safetensors").read_bytes()
    told = {"format": "pt", "ties": '[["tied","first.bias"]]'}
    compare("the weights", by_the_rules(content, told), weights)
    got = by_the_rules((folder / "snapshot.safetensors").read_bytes(), None)
    (_, _, made) = got.pop("outputs")
    compare("the snapshot", got, {"model." + name: each for name, each in weights.items()})
    for wanted, each in zip(outputs, struct.unpack("<6f", made), strict=True):
        assert abs(wanted - each) < 1e-5 * max(1, abs(wanted)), f"the model says {each}, not {wanted}"


try:
    import safetensors
except ModuleNotFoundError:
    safetensors = None
    print("the package safetensors is not there; all is done by the rules of the format alone")
try:
    import torch
except ModuleNotFoundError:
    torch = None
    print("PyTorch is not there; the model is compared with its formula alone")

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / "python.safetensors").write_bytes(written_by_the_rules(weights, {}))
    (folder / "kinds_rules.safetensors").write_bytes(written_by_the_rules(expected, note))
    if safetensors and torch:
        from safetensors.torch import load_file, save_file, save_model

        save_file(load_file(folder / "kinds_rules.safetensors"), folder / "kinds_package.safetensors", note)
    run(folder)
    content = (folder / "tensors.safetensors").read_bytes()
    compare("the format's rules", by_the_rules(content, {"format": "pt", "note": 'a "quoted" one\n'}), expected)
    back = (folder / "kinds_rules_back.safetensors").read_bytes()
    compare("written by the rules", by_the_rules(back, note), expected)
    check_model(folder)
    if safetensors:
        compare("the package safetensors", by_the_package(content), expected)
    if safetensors and torch:
        back = (folder / "kinds_package_back.safetensors").read_bytes()
        compare("written by the package", by_the_rules(back, note), expected)
        twin = by_a_twin(folder)
        apart = {each: value.clone() for each, value in twin.state_dict().items()}  # it refuses tied ones
        save_file(apart, folder / "python.safetensors")
        run(folder)
        check_model(folder)
        save_model(twin, str(folder / "python.safetensors"))  # which leaves out a tied name
        run(folder)
        check_model(folder)
