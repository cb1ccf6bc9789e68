"""The tests' own order: no two fixtures share a name, so that none hides another."""

import ast
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def is_fixture(node) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(d).startswith("pytest.fixture") for d in decorators)


def test_no_second_fixture_has_the_same_name():
    found = Counter(
        node.name
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if is_fixture(node)
    )
    assert len(found) > 30
    assert [name for name, count in found.items() if count > 1] == []
