"""Runs the benchmarks: run.py OUTPUT PROGRAMS_DIR RESUME_TARGET TORCH_PYTHON COMPILER FLAG...

A figure is one JSON object on a line, {"name": ..., "value": ..., "unit": ...}, a time with "low" and "high", the
quartiles of what was measured, a ratio with what it is "against", and what both sides take. All go to stdout and to
OUTPUT, and as a table to OUTPUT with the suffix .md. The last one is how many of 200 kills a run survives without a loss:
RESUME_TARGET is the program that is killed, see ../examples/resume.py.

NAME.cpp beside this file is the program bench_NAME. It prints figures, unless lines in it say otherwise:

    // print: ARGUMENT...               it prints figures when it is run so
    // race: FIGURE THREADS OURS THEIRS: WHAT THEIRS IS
                                        run as bench_NAME OURS THREADS it is a training loop that takes turns with
                                        bench_NAME THEIRS THREADS, see turn.hpp. FIGURE is the ratio of their times
    // callgrind                        it prints what it counts; see counts.cpp

THEIRS may be `WAY|WAY`, of which the faster one counts, or `SCRIPT.py WAY`, which is run by a Python with the packages
that WAY needs, with a folder into which bench_NAME has put what it needs.
"""

import itertools
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

output, programs, resume_target, torch_python, *compile_command = sys.argv[1:]
here = pathlib.Path(__file__).parent


def say(text):
    print(text, file=sys.stderr, flush=True)


def number(value):
    return float(f"{value:.5g}")


def figure(name, value, unit, **more):
    return {"name": name, "value": number(value), "unit": unit, **more}


def plain(command, **environment):
    """The figures that a program prints."""
    environment = os.environ | environment
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


class Racer:
    """A training loop in a process of its own: a block of steps for each line that it gets."""

    def __init__(self, command, cores=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if cores:
            os.sched_setaffinity(self.process.pid, cores)
        self.seconds = []  # of a step, for each block

    def block(self):
        """Trains a block; None when the training is over: then `loss` is the mean loss of all steps."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"{self.process.args}: ended with {self.process.wait()}")
        if answer[0] == "loss":
            self.loss = float(answer[1])
            self.process.stdin.close()
            self.process.wait()
            return None
        self.seconds.append(float(answer[0]))
        return self.seconds[-1]


def quartiles(values):
    return [number(each) for each in statistics.quantiles(values, n=4, method="inclusive")]


def python_for(way):
    """A Python that has what a script's way needs; None, and a word about it, where there is none."""
    package, variable, default = ("jax", "ABYME_JAX_PYTHON", "")
    if way != "jax":
        package, variable, default = ("torch", "ABYME_TORCH_PYTHON", torch_python)
    python = os.environ.get(variable) or default
    if not python:
        say(f"{way}: skipped, {variable} names no Python with {package}")
        return None
    tried = subprocess.run([python, "-c", f"import numpy, {package}"], stderr=subprocess.PIPE, text=True)
    if tried.returncode:
        say(f"{way}: skipped, {python} says {tried.stderr.splitlines()[-1]}; name another one by {variable}")
        return None
    return python


def race(program, races):
    """Races that have one side in common: all take turns, a block each, so that a slow second of the machine hits
    all. races: {figure: (threads, ours, theirs, what theirs is)}"""
    with tempfile.TemporaryDirectory() as folder:
        racers = {}

        def enter(way, threads):
            script, _, argument = way.partition(" ")
            if not script.endswith(".py"):
                racers[way] = Racer([program, way, threads])
                return
            python = python_for(argument)
            if python:
                # JAX computes with as many threads as it has cores.
                pinned = argument == "jax" and hasattr(os, "sched_getaffinity")
                cores = {max(os.sched_getaffinity(0))} if pinned else None
                racers[way] = Racer([python, here / script, argument, folder], cores)

        if any(".py" in theirs for _, _, theirs, _ in races.values()):
            subprocess.run([program, "problem", folder], check=True)
        for threads, ours, theirs, _ in races.values():
            if ours not in racers:
                enter(ours, threads)
            for way in theirs.split("|"):
                enter(way, threads)

        for first in itertools.count():  # nobody is always first
            order = list(racers.values())
            order = order[first % len(order) :] + order[: first % len(order)]
            if None in [racer.block() for racer in order]:
                break

    for name, (_, ours, theirs, against) in races.items():
        rivals = [racers[way] for way in theirs.split("|") if way in racers]
        if not rivals:
            continue
        a, b = racers[ours], min(rivals, key=lambda racer: statistics.median(racer.seconds))
        say(f"{name}: mean loss {a.loss}, theirs {b.loss}")
        if not abs(a.loss - b.loss) <= 2e-3 * b.loss:
            sys.exit(f"{name}: both must do the same work, but their mean losses differ")
        pairs = list(zip(a.seconds, b.seconds))[1:]  # in the first block all is made
        low, middle, high = quartiles([x / y for x, y in pairs])
        our, their = (number(1e6 * statistics.median(side)) for side in zip(*pairs))
        yield figure(
            name, middle, "ratio", low=low, high=high, against=against, ours=our, theirs=their, each="us a step"
        )


def counted(program):
    """Instructions, counted and not timed: the same on a busy machine."""
    if not shutil.which("valgrind"):
        say(f"{program}: skipped, needs valgrind")
        return
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += ["--dump-before=abyme_bench_mark", program]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        found = {}
        for index, line in enumerate(map(json.loads, out.splitlines())):
            profile = pathlib.Path(folder, f"out.{2 * index + 2}").read_text(errors="replace")
            count = int(re.search(r"^summary: (\d+)", profile, re.M)[1]) / line["repetitions"]
            found[line["name"]] = count - found.get(line["less"], 0)
            yield figure(line["name"], found[line["name"]], "instructions")


def include_seconds():
    """What abyme.hpp adds to the time that a file with torch/torch.h takes to compile: the processor's, of the
    quickest of three, so that other work on the machine counts little."""
    texts = {"without": "#include <torch/torch.h>\n"}
    texts["with"] = texts["without"] + "#include <abyme/abyme.hpp>\n"
    seconds = {key: [] for key in texts}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            for key, text in texts.items():  # in turn, so that a slow minute hits both
                source = pathlib.Path(folder, key + ".cpp")
                source.write_text(text)
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                subprocess.run([*compile_command, "-c", source, "-o", source.with_suffix(".o")], check=True)
                seconds[key].append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return [figure("include_seconds", min(seconds["with"]) - min(seconds["without"]), "s")]


def benchmarks():
    for source in sorted(here.glob("*.cpp")):
        say(f"bench: {source.stem}")
        program = str(pathlib.Path(programs, f"bench_{source.stem}"))
        text = source.read_text()
        groups = {}  # by threads and our side
        for name, threads, ours, theirs, against in re.findall(
            r"^// race: (\S+) (\d+) (\S+) ([^:]+): (.+)$", text, re.M
        ):
            groups.setdefault((threads, ours), {})[name] = (threads, ours, theirs, against)
        prints = re.findall(r"^// print: (.+)$", text, re.M)
        for races in groups.values():
            yield from race(program, races)
        for arguments in prints:
            yield from plain([program, *arguments.split()])
        if re.search(r"^// callgrind$", text, re.M):
            yield from counted(program)
        elif not groups and not prints:
            yield from plain([program])
    say("bench: include_seconds")
    yield from include_seconds()
    say("bench: kills")
    yield from plain([sys.executable, here.parent / "examples/resume.py", resume_target], ABYME_KILLS="200")


def table(figures):
    yield "| figure | value | quartiles | ours | theirs | against |"
    yield "|---|---|---|---|---|---|"
    for each in figures:
        unit = "" if each["unit"] == "ratio" else f" {each['unit']}"
        spread = f"{each['low']:g} to {each['high']:g}" if "low" in each else ""
        sides = [f"{each[side]:,.4g} {each['each']}" if side in each else "" for side in ("ours", "theirs")]
        yield f"| `{each['name']}` | {each['value']:,.4g}{unit} | {spread} | {sides[0]} | {sides[1]} | {each.get('against', '')} |"


figures = []
with open(output, "w") as file:
    for each in benchmarks():
        figures.append(each)
        print(json.dumps(each), flush=True)
        print(json.dumps(each), file=file, flush=True)
pathlib.Path(output).with_suffix(".md").write_text("\n".join(table(figures)) + "\n")
say(f"bench: written to {output} and, as a table, to {pathlib.Path(output).with_suffix('.md')}")
