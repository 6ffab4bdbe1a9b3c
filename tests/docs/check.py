"""Checks that the code in README.md and docs/ is code that is built and tested: check.py ROOT

A block behind a line <!-- from FILE --> stands in FILE as it is, but for blanks and line breaks. Every cpp block names
one; a python block may.
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
checked = failed = 0


def squeeze(text):
    return "".join(text.split())


for page in [root / "README.md", *sorted((root / "docs").glob("**/*.md"))]:
    for source, language, code in re.findall(r"(?:<!-- from (\S+) -->\n)?```(\w+)\n(.*?)```", page.read_text(), re.S):
        if language != "cpp" and not source:
            continue
        checked += 1
        if not source or squeeze(code) not in squeeze((root / source).read_text()):
            failed += 1
            print(f"{page.name}: this block must stand in {source or 'a file named by <!-- from FILE -->'}:\n{code}")
print(f"{checked - failed} passed, {failed} failed")
sys.exit(failed > 0 or checked == 0)
