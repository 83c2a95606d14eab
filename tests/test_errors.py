"""The tree of errors, as errors.py draws it."""

import ast
import re
from collections import Counter
from pathlib import Path

from phonebot import errors

PACKAGE = Path(errors.__file__).parent
ROOT = errors.PhonebotError.__name__


def drawn() -> Counter[tuple[str, str]]:
    """Each error that the docstring's tree has, with the one above it."""
    above: dict[int, str] = {}
    found: Counter[tuple[str, str]] = Counter()
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r" {4}(?P<stem>[│ ]*)[├└]── (?P<name>\w+)  ", line)
        if branch:
            depth = len(branch["stem"]) // 4
            above[depth] = branch["name"]
            found[branch["name"], above[depth - 1] if depth else ROOT] += 1
    return found


def defined() -> Counter[tuple[str, str]]:
    """Each error of the package, with its base."""
    classes = [
        (node.name, base.id)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    ]
    ours = {ROOT}
    while more := {name for name, base in classes if base in ours} - ours:
        ours |= more
    return Counter((name, base) for name, base in classes if base in ours)


def test_the_tree_has_every_error_of_the_package_and_no_other() -> None:
    assert drawn() == defined()
