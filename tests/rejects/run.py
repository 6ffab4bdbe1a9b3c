"""Checks that a program does not compile, and says why: run.py COMPILER_ID CASE.cpp COMPILER FLAG...

With -DREJECT the case must fail with each of the messages that its comments name; without, it must compile.

    // expect: REGEX            in the compiler's output (`expect-gcc:`, `expect-clang:` for one of them)
    // expect-within: N         ... within its first N lines

A line of the output is what a reader sees: no colours, and names quoted with ' in every compiler.
"""

import os
import re
import subprocess
import sys

compiler_id, case, *compile_command = sys.argv[1:]
family = "gcc" if compiler_id == "GNU" else "clang"
source = open(case).read()
messages = re.findall(rf"^// expect(?:-{family})?: *(.+?) *$", source, re.M)
within = re.search(r"^// expect-within: *(\d+)", source, re.M)


def compile(*flags):
    environment = os.environ | {"LC_ALL": "C"}
    result = subprocess.run(
        [*compile_command, *flags, "-fsyntax-only", case], env=environment, text=True, capture_output=True
    )
    return result.returncode, re.sub("[‘’]", "'", result.stderr)


def check(holds, problem, output):
    if not holds:
        sys.exit(f"{case}: {problem}\n--- the compiler's output ---\n{output[:20000]}")


code, output = compile("-DREJECT")
head = "\n".join(output.splitlines()[: int(within[1]) if within else None])
check(messages, f"names no message to expect from {family}", "")
check(code != 0, "compiles with REJECT defined, and must not", output)
for message in messages:
    check(re.search(message, head), f"does not say /{message}/" + (f" within {within[1]} lines" if within else ""), output)
code, output = compile()
check(code == 0, "its twin without REJECT does not compile", output)
