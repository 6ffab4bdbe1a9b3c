"""Checks that docs/nodes.md has every node, with its events, its fields and its options as the headers have them: nodes.py ROOT

A node's section is the text below a heading `### Name`. Its rows `events`, `children see`, `set back` and `options`
must say exactly what the header does, options with their defaults; fields must be named somewhere in it.
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
headers = [
    re.sub(r"//.*", "", path.read_text()).replace("abyme::", "") for path in sorted(root.glob("include/abyme/**/*.hpp"))
]
code = "\n".join(headers)

# Class -> (base, body). A class ends at the first brace without indentation.
classes = {
    name: (base, body)
    for name, base, body in re.findall(
        r"^(?:class|struct) (\w+)(?: final)?(?: : public (\w+)[^{\n]*)? \{\n(.*?)^\};", code, re.M | re.S
    )
}


def find(name, pattern):
    """The first match of the pattern in a class or in its bases, or None."""
    while name in classes:
        base, body = classes[name]
        if found := re.search(pattern, body, re.S):
            return found
        name = base
    return None


def strings(text):
    return re.findall(r'"(\w+)"', text)


def events(node):
    found = find(node, r"\bevents = events\((.*?)\);")
    return strings(found.group(1)) if found else []


def rows(node):
    """(kind, name) of each row in the table of fields."""
    found = find(node, r"\bfields =\s*fields\((.*?)\);")
    if not found:
        return []
    own = re.findall(r'\b(field|state|option)\("(\w+)"', found.group(1))
    return [row for base in re.findall(r"(\w+)::fields\b", found.group(1)) for row in rows(base)] + own


def options(struct):
    """What the page must have of each member of an options struct: `.window = 100`, or `.weight` where that is nothing."""
    if struct not in classes or struct == "NoOptions":
        return []
    made = []
    for member in classes[struct][1].split(";"):
        if found := re.search(r"(\S.*?)\s(\w+)\s*(?:=\s*(.*?))?\s*$", member, re.S):
            type_, name, default = found.groups()
            is_nothing = default is None or (type_.startswith("std::optional") and default == "{}")
            made.append(f".{name}" if is_nothing else f".{name} = {default}")
    return made


def options_of(node):
    return options(find(node, r"\busing Options = (\w+);").group(1))  # Node itself has NoOptions


page = (root / "docs/nodes.md").read_text()
sections = {
    name: text.replace("`ab::", "`").replace("= ab::", "= ")
    for name, text in re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", page, re.M | re.S)
}
option = r"\.[^`]*"
passed, faults = 0, []


def check(holds, message):
    global passed
    passed += bool(holds)
    if not holds:
        faults.append(message)


def check_names(name, kind, wanted):
    spans = re.findall(r"`([^`]*)`", sections[name])
    for each in wanted:
        check(each in spans, f"{name}: the {kind} `{each}` is missing")


def check_row(name, row, pattern, wanted):
    line = re.search(rf"^\| {row} \| (.*) \|$", sections[name], re.M)
    got = re.findall(f"`({pattern})`", line.group(1)) if line else []
    check(got == wanted, f"{name}: the row `{row}` must have {wanted or 'nothing'}, got {got or 'nothing'}")


def check_node(name, node):
    if events(node):
        check_row(name, "events", r"\w+", events(node))
        sees = "its caller" if find(node, r"\btransparent = true;") else "itself"
        check(f"| children see | {sees} |" in sections[name], f"{name}: children see {sees}")
    else:
        check("| events | none |" in sections[name], f"{name}: it has no events")
    check_row(name, "set back", r"\w+", [field for kind, field in rows(node) if kind == "state"])
    check_row(name, "options", option, options_of(node))


def check_fields(name, node):
    check_names(name, "field", [field for _, field in rows(node)])


# Handles: `using X = Handle<XNode>;`, or a class X derived from one.
handles = re.findall(r"^using (\w+) = Handle<(\w+)>;", code, re.M)
handles += re.findall(r"^class (\w+) : public Handle<(\w+)> \{", code, re.M)
for name, node in handles:
    check(node in classes, f"{node}: its class is not found in the headers")
    check(name in sections, f"{name}: a section `### {name}` is missing")
    if name in sections and node in classes:
        check_node(name, node)
        check_fields(name, node)

# What a class that is no node hands out: `template <class Piece = XNode>`, `Handle<Piece> name(...)`.
for name, (_, body) in classes.items():
    handed_out = re.findall(r"^  template <class Piece = (\w+)>\n  Handle<Piece> (\w+)\(", body, re.M)
    if not handed_out:
        continue
    check(name in sections, f"{name}: a section `### {name}` is missing")
    if name in sections:
        check_row(name, "options", option, options(name + "Options"))
        for node, function in handed_out:
            check(f".{function}(" in sections[name], f"{name}: what `{function}` hands out is missing")
            check(not events(node), f"{name}: what `{function}` hands out has events now; check them here")
            check_fields(name, node)
            check_names(name, "option", options_of(node))

check_names("Ground", "option", options("DigOptions"))

known = {name for name, _ in handles} | {name for name in sections if name in classes}
for name in sections:
    check(name in known, f"{name}: the headers have no such node")

print("\n".join([*faults, f"{passed} passed, {len(faults)} failed"]))
sys.exit(bool(faults) or not handles)
