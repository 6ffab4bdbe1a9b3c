"""The example of Ciclo's page, by a list of tasks and by hand, for a few steps: ciclo_mnist.py PROGRAM

Both must find the same losses; where Python has PyTorch, those of the same training in PyTorch.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from left_behind import made_up_digits, parts_of

program, count = sys.argv[1], 20


def losses_of_pytorch(folder):
    """The losses and accuracies of each step; none without PyTorch."""
    try:
        import torch
    except ModuleNotFoundError as missing:
        return print(f"{missing.name} is not there; it is not asked for the losses")
    pixels = torch.frombuffer(bytearray((folder / "train-images-idx3-ubyte").read_bytes()[16:]), dtype=torch.uint8)
    labels = torch.frombuffer(bytearray((folder / "train-labels-idx1-ubyte").read_bytes()[8:]), dtype=torch.uint8).long()
    pixels = (pixels.view(len(labels), 784).float() / 255 - 0.1307) / 0.3081
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator, found = torch.Generator().manual_seed(1), []
    while len(found) < count:
        for batch in torch.randperm(len(labels), generator=generator).split(64):
            logits = model(pixels[batch])
            loss = torch.nn.functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append((loss.item(), 100 * (logits.argmax(1) == labels[batch]).float().mean().item()))
    return found


with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name)
    digits = made_up_digits(root / "digits", 200, 100)  # 4 batches an epoch, the last of 8
    command = [program, "--data", digits, "--steps", str(count), "--threads", "1", "--folder", root / "run"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()

    assert lines[-1] == "by hand: the same losses", lines
    rows = [re.fullmatch(r"step +(\d+): loss (\S+), accuracy (\S+)%", line).groups() for line in lines[1:-1]]
    assert [int(step) for step, _, _ in rows] == list(range(0, count, 1 + count // 10)), rows
    for wanted in filter(None, [losses_of_pytorch(digits)]):
        for step, loss, accuracy in rows:
            assert abs(float(loss) - wanted[int(step)][0]) < 2e-4, f"step {step}: {loss}, not {wanted[int(step)]}"
            assert abs(float(accuracy) - wanted[int(step)][1]) < 0.01, f"step {step}: {accuracy}, not {wanted[int(step)]}"

    bar = done.stderr.splitlines()
    assert bar[-1].startswith(f"{count}/{count} [{'=' * 30}] - "), bar
    assert " - loss: " in bar[-1] and " - accuracy: " in bar[-1] and "\r" not in done.stderr, bar

    # What is due every 1000 steps was due at the first one.
    written = sorted(str(path.relative_to(root / "run")) for path in (root / "run").rglob("*.safetensors"))
    assert written == ["by_hand.safetensors", "checkpoints/00000001.safetensors"], written
    snapshot, weights = parts_of(root / "run" / written[1])[0], parts_of(root / "run" / written[0])[0]
    for tensor, held in weights.items():
        assert snapshot["state.model." + tensor] == held, f"{tensor} is not the same in the checkpoint"
    assert any(tensor.startswith("state.optimizer.") for tensor in snapshot), sorted(snapshot)
