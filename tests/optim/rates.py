"""Writes the learning rates of PyTorch's schedulers for 200 steps each, the table that tests/optim/rate_schedule.cpp
compares with: rates.py > rates.csv. Made with PyTorch 2.13.
"""

import bisect
import csv
import math
import sys

import torch
from torch.optim import lr_scheduler as schedulers

STEPS = 200
BASE = 0.4


def rates(make, metrics=None):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE, momentum=0.9)
    scheduler = make(optimizer)
    values = [optimizer.param_groups[0]["lr"]]
    for step in range(STEPS):
        optimizer.step()
        scheduler.step(*([metrics(step)] if metrics else []))
        values.append(optimizer.param_groups[0]["lr"])
    return values[:STEPS]


def sequential(optimizer, first, second, at):
    return schedulers.SequentialLR(optimizer, [first(optimizer), second(optimizer)], milestones=[at])


table = {
    "constant": lambda o: schedulers.ConstantLR(o, factor=0.25, total_iters=20),
    "step": lambda o: schedulers.StepLR(o, step_size=30, gamma=0.5),
    "multi_step": lambda o: schedulers.MultiStepLR(o, milestones=[10, 50, 51, 180], gamma=0.3),
    "exponential": lambda o: schedulers.ExponentialLR(o, gamma=0.97),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, T_max=80, eta_min=0.01),
    "cosine_restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=15, T_mult=2, eta_min=0.02),
    "cosine_restarts_even": lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=40),
    "linear": lambda o: schedulers.LinearLR(o, start_factor=0.1, end_factor=0.8, total_iters=120),
    "polynomial": lambda o: schedulers.PolynomialLR(o, total_iters=150, power=2.5),
    "one_cycle": lambda o: schedulers.OneCycleLR(o, max_lr=1.5, total_steps=200),
    "one_cycle_linear": lambda o: schedulers.OneCycleLR(
        o, max_lr=1.5, total_steps=200, pct_start=0.4, anneal_strategy="linear", div_factor=10, final_div_factor=100
    ),
    "warm_up_cosine": lambda o: sequential(
        o,
        lambda o: schedulers.LinearLR(o, start_factor=0.05, total_iters=25),
        lambda o: schedulers.CosineAnnealingLR(o, T_max=175),
        25,
    ),
    "piecewise": lambda o: schedulers.LambdaLR(o, lambda step: [1, 0.5, 0.1, 0.7][bisect.bisect([20, 90, 150], step)]),
    "lambda": lambda o: schedulers.LambdaLR(o, lambda step: 1 / math.sqrt(1 + step)),
}
columns = {name: rates(make) for name, make in table.items()}


def metric(step):  # falls, stays, falls again, rises
    return 1 / (1 + min(step, 40)) if step < 120 else 0.001 * step


columns["plateau"] = rates(
    lambda o: schedulers.ReduceLROnPlateau(o, factor=0.5, patience=4, cooldown=3, min_lr=0.003), metric
)
columns["plateau_max"] = rates(
    lambda o: schedulers.ReduceLROnPlateau(
        o, mode="max", factor=0.3, patience=7, threshold=0.05, threshold_mode="abs"
    ),
    metric,
)

writer = csv.writer(sys.stdout, lineterminator="\n")
writer.writerow(["at", *columns])
for step in range(STEPS):
    writer.writerow([step, *(repr(float(values[step])) for values in columns.values())])
