"""Writes the whole of abyme as a single header: python3 cmake/amalgamate.py OUTPUT"""

import pathlib
import re
import sys

root = pathlib.Path(__file__).parent.parent / "include"
seen = set()
# LibTorch carries fmt's headers without its library; the CMake target says so to the compiler.
head = "#pragma once\n\n#ifndef FMT_HEADER_ONLY\n#define FMT_HEADER_ONLY 1\n#endif\n"


def expand(name):
    if name in seen:
        return ""
    seen.add(name)
    text = (root / name).read_text().replace("#pragma once\n", "")
    return re.sub(r"^#include <(abyme/.*)>\n", lambda include: expand(include[1]), text, flags=re.M)


pathlib.Path(sys.argv[1]).write_text(head + expand("abyme/abyme.hpp") + expand("abyme/dialect/ciclo.hpp"))
