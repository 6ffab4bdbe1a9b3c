"""Writes what scikit-learn computes of some outputs and targets, the table that tests/stats/metrics.cpp compares with,
a case a line: metrics.py > metrics.json. Made with scikit-learn 1.9. null stands for what is not defined there (NaN).
"""

import json
import math
import sys
import warnings

import numpy as np
from sklearn import metrics

warnings.simplefilter("ignore")  # of what is not defined
random = np.random.default_rng(7)
lines = []


def number(value):
    return None if math.isnan(value) else float(value)


def case(name, outputs, targets, weights, expected):
    lists = {"outputs": outputs.ravel().tolist(), "shape": list(outputs.shape), "targets": targets.ravel().tolist()}
    if weights is not None:
        lists["weights"] = weights.tolist()
    lines.append(json.dumps({"name": name, **lists, "expected": expected}))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def class_metrics(targets, predicted, classes, weights, averages):
    expected = {"confusion": metrics.confusion_matrix(targets, predicted, labels=range(classes), sample_weight=weights)
                .ravel().tolist()}  # fmt: skip
    functions = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
    for name, function in functions.items():
        for average in averages:
            expected[f"{name}_{average}"] = function(targets, predicted, average=average, sample_weight=weights)
        by_class = function(targets, predicted, average=None, labels=range(classes), sample_weight=weights)
        expected[f"{name}_by_class"] = by_class.tolist()
    expected["accuracy"] = metrics.accuracy_score(targets, predicted, sample_weight=weights)
    return expected


def classification(name, logits, targets, weights=None):
    """Logits [n, classes]. Of equal ones the lower class is the better; scikit-learn's top k takes the higher."""
    classes = logits.shape[1]
    ranked = np.argsort(-logits, axis=1, kind="stable")
    expected = class_metrics(targets, ranked[:, 0], classes, weights, ["macro", "micro", "weighted"])
    for k in (2, 3):
        hits = (ranked[:, :k] == targets[:, None]).any(axis=1)
        expected[f"top_{k}"] = number(np.average(hits, weights=weights))
        if len(np.unique(logits)) == logits.size and k < classes:
            theirs = metrics.top_k_accuracy_score(targets, logits, k=k, labels=range(classes), sample_weight=weights)
            assert abs(expected[f"top_{k}"] - theirs) < 1e-15
    probabilities = softmax(logits)
    for average in ("macro", "weighted"):
        scores = [
            metrics.roc_auc_score(targets == i, probabilities[:, i], sample_weight=weights) for i in range(classes)
        ]
        by = [((targets == i) * (1 if weights is None else weights)).sum() for i in range(classes)]
        expected[f"roc_auc_{average}"] = number(np.average(scores, weights=by if average == "weighted" else None))
        if expected[f"roc_auc_{average}"] is not None and classes > 2:
            theirs = metrics.roc_auc_score(
                targets, probabilities, multi_class="ovr", average=average, sample_weight=weights
            )
            assert abs(expected[f"roc_auc_{average}"] - theirs) < 1e-14
    loss = metrics.log_loss(targets, probabilities, labels=range(classes), sample_weight=weights)
    expected["perplexity"] = math.exp(loss)
    case(name, logits, targets, weights, expected)


def binary(name, scores, targets, threshold=0.0, weights=None):
    expected = class_metrics(targets, (scores > threshold).astype(int), 2, weights, ["binary", "macro", "micro"])
    expected["roc_auc"] = number(metrics.roc_auc_score(targets, scores, sample_weight=weights))
    expected["threshold"] = threshold
    case(name, scores, targets, weights, expected)


def regression(name, outputs, targets, weights=None):
    expected = {
        "squared": metrics.mean_squared_error(targets, outputs, sample_weight=weights),
        "absolute": metrics.mean_absolute_error(targets, outputs, sample_weight=weights),
        "r2": number(metrics.r2_score(targets, outputs, sample_weight=weights)),
    }
    case(name, outputs, targets, weights, expected)


def drawn(*shape):
    return random.normal(size=shape).round(4)


def drawn_weights(n):
    return random.uniform(0.1, 3, size=n).round(3)


def near(logits, targets, by=1.5):  # logits that know something
    logits[np.arange(len(targets)), targets] += by
    return logits.round(4)


targets = random.integers(0, 7, 53)
classification("seven classes", near(drawn(53, 7), targets), targets)
classification("seven classes, weighted", near(drawn(53, 7), targets), targets, drawn_weights(53))
targets = random.integers(0, 3, 40)
ties = near(drawn(40, 4), targets).round(0)
ties[:, 3] = -5
classification("ties, a class that neither occurs nor is predicted", ties, targets)
targets = np.array([0, 0, 4, 1, 1, 4, 0, 1])
classification("classes that occur and are not predicted, and the other way round", np.array(
    [[3, 1, 2, 0, 0.5], [1, 3, 2, 0, 0.5], [3, 2, 1, 0, 0.5], [1, 2, 3, 0, 0.5],
     [2, 3, 1, 0, 0.5], [2, 3, 1, 0, 0.5], [2, 1, 3, 0, 0.5], [2, 3, 1, 0, 0.5]]), targets)  # fmt: skip
classification("one sample, right", np.array([[0.1, 2.5, -1.0]]), np.array([1]))
classification("one sample, wrong", np.array([[0.1, 2.5, -1.0]]), np.array([2]))
targets = random.integers(0, 2, 30)
classification("two classes with a score each", near(drawn(30, 2), targets, 1), targets)

targets = random.integers(0, 2, 61)
binary("one score", (drawn(61) + targets).round(4), targets)
binary("one score, weighted", (drawn(61) + targets).round(4), targets, weights=drawn_weights(61))
binary("one score, ties", (drawn(61) + targets).round(0), targets)
binary("one score, ties, weighted", (drawn(61) + targets).round(0), targets, weights=drawn_weights(61))
binary("probabilities", (1 / (1 + np.exp(-drawn(61) - targets))).round(4), targets, threshold=0.5)
binary("all scores equal", np.full(9, 0.25), np.array([0, 1, 1, 0, 1, 0, 0, 0, 1]), threshold=0.5)
binary("only one class", drawn(12), np.ones(12, dtype=int))
binary("only one class, never predicted", -np.abs(drawn(12)) - 0.1, np.zeros(12, dtype=int))
binary("one sample with one score", np.array([0.3]), np.array([1]))

numbers = drawn(47)
regression("numbers", (numbers + 0.3 * drawn(47)).round(4), numbers)
regression("numbers, weighted", (numbers + 0.3 * drawn(47)).round(4), numbers, drawn_weights(47))
numbers = drawn(31, 3)
regression("columns", (numbers + 0.3 * drawn(31, 3)).round(4), numbers)
regression("columns, weighted", (numbers + 0.3 * drawn(31, 3)).round(4), numbers, drawn_weights(31))
numbers = (1e6 + drawn(40)).round(4)
regression("numbers around a million", (numbers + 0.3 * drawn(40)).round(4), numbers)
regression("targets all equal", drawn(15), np.full(15, 2.5))
regression("targets all equal, outputs right", np.full(15, 2.5), np.full(15, 2.5))
regression("one number", np.array([1.5]), np.array([1.25]))

sys.stdout.write("\n".join(lines) + "\n")
