"""Python reads a snapshot as docs/snapshots.md says: snapshots.py TEST_PROGRAM

Where Python lacks PyTorch or the package safetensors it does nothing.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import safetensors
    import torch
except ModuleNotFoundError as missing:
    print(f"{missing.name} is not there; nothing is tried")
    sys.exit()

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    environment = os.environ | {"ABYME_SNAPSHOTS": str(folder)}
    subprocess.run([sys.argv[1], "[.snapshots_page]"], check=True, env=environment)
    path = folder / "00000007.safetensors"
    net = torch.nn.Linear(4, 2)
    # fmt: off

    import json
    from safetensors import safe_open

    with safe_open(path, framework="pt") as snapshot:
        record = json.loads(snapshot.metadata()["abyme"])
        weights = {name.removeprefix("model."): snapshot.get_tensor(name)
                   for name in snapshot.keys() if name.startswith("model.")}
    net.load_state_dict(weights, strict=True)
    print(record["place"], record["nodes"]["epochs"]["counter"])

    # fmt: on
    assert record["version"] == 1, record["version"]
    assert record["place"] == "epochs/iteration_start[0]/train_data/iteration_end[3]/PeriodicTrigger/dig[0]/Snapshot"
    assert record["nodes"]["epochs"]["counter"] == 3, record["nodes"]
    assert record["nodes"]["epochs/iteration_start[0]/train_data"]["counter"] == 4, record["nodes"]
    assert record["parts"]["curriculum"]["value"]["level"] > 0, record["parts"]
    assert record["parts"]["optimizer"]["type"] == "Adam", record["parts"]
    assert torch.equal(net.weight, weights["weight"])
