"""Runs the benchmarks: run.py OUTPUT PROGRAMS_DIR COMPILER FLAG...

A figure is one JSON object on a line, {"name": ..., "value": ..., "unit": ...}; all go to stdout and to OUTPUT.
NAME.cpp beside this file is the program bench_NAME. It runs as it is and prints figures, unless it says

    // callgrind: FIGURE FROM TO

Then it takes a number of repetitions, and FIGURE is how many instructions one of them executes: those of a run of
TO less those of a run of FROM, divided by TO - FROM. What both do, such as loading LibTorch, cancels out.
"""

import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

output, programs, *compile_command = sys.argv[1:]


def say(text):
    print(text, file=sys.stderr, flush=True)


def figure(name, value, unit):
    return json.dumps({"name": name, "value": value, "unit": unit})


def plain(program):
    """The figures that a program prints."""
    out = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [line for line in out.splitlines() if line.startswith("{")]


def instructions(program, repetitions):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, str(repetitions)]
    said = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
    return int(re.search(r"Collected : (\d+)", said)[1])


def counted(program, name, first, second):
    """Instructions per repetition, counted and not timed: the same on a busy machine."""
    if not shutil.which("valgrind"):
        say(f"{name}: skipped, needs valgrind")
        return []
    difference = instructions(program, second) - instructions(program, first)
    return [figure(name, round(difference / (second - first), 2), "instructions")]


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
    return [figure("include_seconds", round(min(seconds["with"]) - min(seconds["without"]), 2), "s")]


def benchmarks():
    for source in sorted(pathlib.Path(__file__).parent.glob("*.cpp")):
        program = str(pathlib.Path(programs, f"bench_{source.stem}"))
        counts = re.findall(r"^// callgrind: *(\S+) +(\d+) +(\d+) *$", source.read_text(), re.M)
        for name, first, second in counts:
            say(f"bench: {name}")
            yield from counted(program, name, int(first), int(second))
        if not counts:
            say(f"bench: {source.stem}")
            yield from plain(program)
    say("bench: include_seconds")
    yield from include_seconds()


with open(output, "w") as file:
    for line in benchmarks():
        print(line, flush=True)
        print(line, file=file, flush=True)
say(f"bench: written to {output}")
