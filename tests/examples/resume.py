"""Programs that are killed go on as if they had never been: resume.py TARGET.

TARGET, a small training, is killed ABYME_KILLS times (20) at random moments, and goes on each time; the example mnist,
which ABYME_MNIST names, once by SIGKILL and once by SIGINT. What they leave must be what a run leaves that was not
stopped: the last line, the tensors and the record of the last snapshot, the files. Times differ. It prints one figure, as
the benchmarks do, and fails where a kill has cost something.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from left_behind import difference, in_common, made_up_digits, parts_of, remembers_owners

target, mnist = sys.argv[1], os.environ.get("ABYME_MNIST")
kills = int(os.environ.get("ABYME_KILLS", 20))
seed = int(os.environ.get("ABYME_SEED", random.randrange(10**6)))
dice = random.Random(seed)


def newest(folder):
    names = sorted(path for path in folder.glob("*.safetensors") if path.stem.isdigit())
    return names[-1] if names else None


def left(folder, counts_snapshots=True):
    """All that a run has left in its folder, but for the older of its snapshots. One that was stopped by a signal has
    taken a snapshot more."""
    all_of_it = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        in_snapshots = path.parent.name == "snapshots"
        if not path.is_file() or path.name == ".lock" or (path.suffix == ".bck" and not remembers_owners(folder)):
            continue
        if in_snapshots and path.stem.isdigit():
            if path != newest(path.parent):
                continue
            name = name if counts_snapshots else "snapshots/newest"
        if path.suffix != ".safetensors":
            all_of_it[name] = path.read_text()
            continue
        tensors, told = parts_of(path)
        if in_snapshots:
            all_of_it[name] = tensors, in_common(json.loads(told["abyme"]), counts_snapshots)
        else:
            told.pop("abyme.run")
            all_of_it[name] = tensors, told
    return json.loads(json.dumps(all_of_it, default=lambda bytes: bytes.hex()).replace(str(folder), "FOLDER"))


def check(folder, wanted, how, counts_snapshots=True):
    assert not (text := difference(left(folder, counts_snapshots), wanted)), f"{how}, seed {seed}: {text}"


def run(*command):
    """What it prints, and how long it takes."""
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == 0, f"{command} says: {done.stderr}"
    assert not done.stderr, f"{command} warns: {done.stderr}"
    return done.stdout, time.monotonic() - begin


def start(*command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_kills(root):
    whole = root / "whole"
    text, seconds = run(target, whole)
    wanted = left(whole)
    count, runs, mid_write, began = 0, 0, 0, time.monotonic()
    while count < kills:
        folder, resumed = root / f"run{runs}", False
        runs += 1
        while True:
            # What a run begins with is drawn anew when it goes on, so that all must come out of the snapshot.
            resumes = newest(folder / "snapshots") is not None
            if not resumes:
                shutil.rmtree(folder, ignore_errors=True)  # another run's files would be kept
            process = start(target, folder, *["--resume"] * resumes)
            wait = dice.uniform(0.1, 1) * seconds if resumed else dice.uniform(0.3, 1) * seconds
            if count == kills:
                wait = 600
            try:
                out, error = process.communicate(timeout=wait)
                break  # it came to its end
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                count += 1
                mid_write += any(folder.rglob("*.tmp"))
                resumed = True
        assert process.returncode == 0 and not error, f"seed {seed}: {error}"
        assert out == text, f"seed {seed}: it prints {out!r}, not {text!r}"
        check(folder, wanted, "killed")
        shutil.rmtree(folder)
    took = time.monotonic() - began
    print(f"{mid_write} kills while something was written, {runs} runs of {seconds:.2f} s, {took:.0f} s in all, seed {seed}")
    print(json.dumps({"name": "snapshot_kills_survived", "value": count, "unit": "kills", "of": kills}))


def check_signals(root):
    wanted, text = left(root / "whole", counts_snapshots=False), run(target, root / "again")[0]
    for number, name in [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")]:
        folder = root / name
        process = start(target, folder, "--slow")
        while not newest(folder / "snapshots"):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.8))  # in the training or in an evaluation
        before = newest(folder / "snapshots")
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out, error) == (0, f"stopped by signal {name}\n", ""), (out, error)
        assert newest(folder / "snapshots") != before, f"{name} takes no snapshot"
        assert run(target, folder, "--resume")[0] == text
        check(folder, wanted, name, counts_snapshots=False)


def check_second_signal(root):
    folder = root / "twice"
    process = start(target, folder, "--stuck")
    assert process.stdout.readline() == "stuck\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None, "the first signal ends it within a child"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT, f"the second signal ends it with {process.returncode}"


def check_twin(path):
    """PyTorch loads the model of a snapshot strictly, where Python has it and the package safetensors."""
    try:
        import torch
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        print("PyTorch or safetensors are not there; no twin loads the snapshot")
        return
    linear, norm = torch.nn.Linear, torch.nn.BatchNorm1d
    twin = torch.nn.Sequential(linear(8, 64), norm(64), torch.nn.ReLU(), torch.nn.Dropout(0.2), linear(64, 3))
    tensors = load_file(path)
    model = {name.removeprefix("model."): each for name, each in tensors.items() if name.startswith("model.")}
    twin.load_state_dict(model, strict=True)
    assert all(torch.equal(each, model[name]) for name, each in twin.state_dict().items())


def last_line(text):
    return text.strip().splitlines()[-1]


def check_mnist(root):
    data = os.environ.get("ABYME_MNIST_DIR") or made_up_digits(root / "digits", 4000, 500)
    program = [mnist, "--data", data, "--epochs", "2", "--threads", "1", "--device", "cpu"]
    whole, seconds = run(*program, "--snapshots", root / "mnist")
    for how in [signal.SIGKILL, signal.SIGINT]:
        folder = root / f"mnist{how}"
        process = start(*program, "--snapshots", folder)
        while not newest(folder):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.3) * seconds)
        process.send_signal(how)
        out, error = process.communicate(timeout=60)
        if how == signal.SIGINT:
            assert process.returncode == 0 and last_line(out) == "stopped by signal SIGINT", (out, error)
        again, _ = run(*program, "--snapshots", folder, "--resume")
        assert last_line(again) == last_line(whole), f"it prints {last_line(again)}, not {last_line(whole)}"
        check_mnist_snapshot(folder, root / "mnist")
    print(f"mnist: runs of {seconds:.1f} s")


def check_mnist_snapshot(folder, whole):
    got, wanted = [left_of_snapshot(newest(each), each) for each in (folder, whole)]
    assert not (text := difference(got, wanted)), f"mnist, seed {seed}: {text}"


def left_of_snapshot(path, folder):
    tensors, told = parts_of(path)
    record = in_common(json.loads(told["abyme"].replace(str(folder), "FOLDER")), counts_snapshots=False)
    return {"tensors": {name: [each[0], each[1], each[2].hex()] for name, each in tensors.items()}, "record": record}


with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name)
    check_kills(root)
    check_signals(root)
    check_second_signal(root)
    check_twin(newest(root / "whole" / "snapshots"))
    if mnist:
        check_mnist(root)
