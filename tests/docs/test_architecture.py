"""The architecture page points to files and names that there are, and its drawing is what the checks hold."""

import ast
import re
import tomllib

import pytest

from tests.docs.pages import DOCS, ROOT, section

PAGE = DOCS / "architecture.md"


def rows():
    """(what, files, names) of the table that says where is what."""
    lines = [line for line in section(PAGE, "Where is what").splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(what, re.findall(r"`([^`]+)`", files), re.findall(r"`([^`]+)`", names)) for what, files, names in cells]


def defined_in(path):
    """Names of its classes, functions and methods."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


@pytest.mark.parametrize(("what", "files", "names"), rows(), ids=[what for what, _, _ in rows()])
def test_what_is_looked_for_is_there(what, files, names):
    assert files
    paths = [ROOT / file for file in files]
    assert [path for path in paths if not path.exists()] == []
    assert set(names) <= set().union(*map(defined_in, paths))


@pytest.mark.parametrize(
    "question",
    [
        "a sample's failure gets its reason",
        "a budget is checked",
        "a voice turn is ended",
        "remote files are deleted",
        "a score's normaliser is chosen",
    ],
)
def test_what_newcomers_ask_first_is_answered(question):
    assert question in [what for what, _, _ in rows()]


def test_the_drawing_of_imports_is_the_contract_that_is_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]

    assert "  →  ".join(layers) in section(PAGE, "Rooms")


def test_every_room_is_told_of():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench"}

    assert {f"`{room}/`" for room in rooms} <= set(re.findall(r"^\| (`\w+/`)", section(PAGE, "Rooms"), re.MULTILINE))
