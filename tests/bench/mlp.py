"""The work of mlp.cpp in Python: mlp.py WAY FOLDER, where `bench_mlp problem FOLDER` has been before.

It takes turns as turn.hpp says: for each line that it reads it trains a block of 50 steps and answers with the seconds of
a step, at last with the mean loss.
"""

import json
import pathlib
import sys
import time

import numpy

way, folder = sys.argv[1:]
batch_size, block, learning_rate = 32, 50, 1e-3


def read(path):
    """The tensors of a safetensors file, as arrays."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    dtypes = {"F32": numpy.float32, "I64": numpy.int64}
    return {
        name: numpy.frombuffer(data[8 + length :][slice(*each["data_offsets"])], dtypes[each["dtype"]])
        .reshape(each["shape"])
        .copy()
        for name, each in header.items()
    }


problem = read(pathlib.Path(folder, "mlp.safetensors"))
steps = 0


def wait():
    global start
    sys.stdin.readline()
    start = time.perf_counter()


def turn(finish=lambda: None):
    """A step is done. `finish` waits for what still runs."""
    global steps
    steps += 1
    if steps % block == 0:
        finish()
        print((time.perf_counter() - start) / block, flush=True)
        wait()


def torch_problem():
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    names = {"0.weight": "fc1.weight", "0.bias": "fc1.bias", "2.weight": "fc2.weight", "2.bias": "fc2.bias"}
    model.load_state_dict({ours: torch.from_numpy(problem[theirs]) for ours, theirs in names.items()})
    return torch, model, torch.from_numpy(problem["images"]), torch.from_numpy(problem["labels"])


def pytorch():
    torch, model, images, labels = torch_problem()
    dataset = torch.utils.data.TensorDataset(images, labels)
    generator = torch.Generator().manual_seed(1)
    sampler = torch.utils.data.RandomSampler(dataset, generator=generator)
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, sampler=sampler)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    criterion = torch.nn.CrossEntropyLoss()
    total = 0
    for _ in problem["orders"]:
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
            turn()
    return total / steps


def pytorch_tight():
    torch, model, images, labels = torch_problem()
    torch.set_flush_denormal(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    total = torch.zeros(())
    for order in torch.from_numpy(problem["orders"]):
        for rows in order.split(batch_size):
            loss = torch.nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            turn()
    return total.item() / steps


def jax():
    import functools

    import jax
    import jax.numpy as jnp

    images, labels, orders = (jnp.asarray(problem[name].astype(dtype)) for name, dtype in (
        ("images", "float32"), ("labels", "int32"), ("orders", "int32")))  # fmt: skip
    weights = {name: jnp.asarray(each) for name, each in problem.items() if name.startswith("fc")}

    def loss_of(weights, inputs, targets):
        hidden = jax.nn.relu(inputs @ weights["fc1.weight"].T + weights["fc1.bias"])
        outputs = hidden @ weights["fc2.weight"].T + weights["fc2.bias"]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1))

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, images, labels, order):
        weights, averages, squares, count, total = state
        rows = jax.lax.dynamic_slice(order, (count % (len(order) // batch_size) * batch_size,), (batch_size,))
        loss, gradients = jax.value_and_grad(loss_of)(weights, images[rows], labels[rows])
        count += 1
        averages = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, averages, gradients)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients)
        rate = learning_rate / (1 - 0.9**count)
        scale = jnp.sqrt(1 - 0.999**count)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) / scale + 1e-8), weights, averages, squares)
        return weights, averages, squares, count, total + loss

    zeros = functools.partial(jax.tree.map, jnp.zeros_like, weights)
    state = (weights, zeros(), zeros(), jnp.int32(0), jnp.float32(0))
    for order in orders:
        for _ in range(len(order) // batch_size):
            state = step(state, images, labels, order)
            turn(lambda: state[-1].block_until_ready())
    return float(state[-1]) / steps


wait()
print("loss", {"pytorch": pytorch, "pytorch_tight": pytorch_tight, "jax": jax}[way](), flush=True)
