"""Writes bars as pkbar (Keras' bar) and tqdm draw them, the table that tests/write/bar_text.cpp compares with:
bar_text.py > bar_text.tsv. Made with pkbar 0.5 and tqdm 4.70.
"""

import io
import itertools
import math
import sys
from unittest import mock

import pkbar
from tqdm import tqdm

STATES = [  # done, total, seconds since the beginning
    (1, 10, 0.5),
    (3, 10, 0.01),
    (37, 100, 12.3),
    (450, 1000, 3.0),
    (999, 1000, 5.5),
    (1000, 1000, 3.2),
    (7, 7, 0.0035),
    (64, 64, 4000.0),
    (3, 9, 1000.0),
    (2, 300, 100.0),
    (1, 1, 2.0),
    (9, 30, 66.0),
    (29, 30, 0.7),
    (5, None, 10.0),
    (123456, None, 3.0),
    (90000, None, 7322.0),
]
VALUES = [
    {},
    {"loss": 0.123456},
    {"loss": 0.001, "accuracy": 0.0010001, "rate": -3e-7},
    {"loss": 123456.789, "small": 1.5e-12, "zero": 0.0, "none": math.nan, "all": math.inf},
]


def keras_text(done, total, seconds, width, unit, values):
    out = io.StringIO()
    with mock.patch("time.time", lambda: 1000.0), mock.patch("sys.stdout", out):
        bar = pkbar.Kbar(total, width=width, unit_name=unit, stateful_metrics=list(values))
    with mock.patch("time.time", lambda: 1000.0 + seconds), mock.patch("sys.stdout", out):
        bar.update(done, values=list(values.items()))
    return out.getvalue().strip("\b\r\n")


def tqdm_text(done, total, seconds, width, unit, values, title):
    bar = tqdm(file=io.StringIO())
    bar.set_postfix(values, refresh=False)
    form = f"{{l_bar}}{{bar:{width}}}{{r_bar}}" if total else None
    text = tqdm.format_meter(
        done, total, seconds, ascii=True, unit=unit, prefix=title, postfix=bar.postfix, bar_format=form
    )
    bar.close()
    return text


print("style", "done", "total", "seconds", "width", "unit", "title", "values", "text", sep="\t")
for (number, (done, total, seconds)), width in itertools.product(enumerate(STATES), [10, 30]):
    values = VALUES[(number + width // 10) % len(VALUES)]
    shown = " ".join(f"{name}={value!r}" for name, value in values.items())
    row = [done, total or "", seconds, width]
    print("keras", *row, "step", "", shown, keras_text(done, total, seconds, width, "step", values), sep="\t")
    for title in ["", "epoch 3"]:
        print("tqdm", *row, "it", title, shown, tqdm_text(done, total, seconds, width, "it", values, title), sep="\t")
