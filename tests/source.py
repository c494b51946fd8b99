"""The program's own source as something to make statements about."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ("domain", "application", "adapters", "api", "infrastructure")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """`path` is relative to the root: `domain/user.py`."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def at(self, line: int) -> str:
        """For a failure: where it is, and what stands there."""
        return f"{self.path}:{line}: {self.text.splitlines()[line - 1].strip()}"

    def functions(self) -> list[Function]:
        return nodes(self.tree, ast.FunctionDef, ast.AsyncFunctionDef)


def module(path: str, text: str) -> Module:
    return Module(path, text, ast.parse(text))


@cache
def program() -> tuple[Module, ...]:
    """Every Python file that runs in production."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    files += [ROOT / "gunicorn.conf.py", ROOT / "wsgi.py"]
    return tuple(module(file.relative_to(ROOT).as_posix(), file.read_text()) for file in sorted(files))


def nodes(tree: ast.Module, *kinds: type[ast.AST]) -> list[Any]:
    """All nodes of exactly these kinds, kind by kind. Every rule asks for some, so the tree is walked once."""
    found = _nodes_by_kind(tree)
    return [node for kind in kinds for node in found.get(kind, ())]


@cache
def _nodes_by_kind(tree: ast.Module) -> dict[type[ast.AST], list[ast.AST]]:
    found = defaultdict(list)
    for node in ast.walk(tree):
        found[type(node)].append(node)
    return dict(found)


@cache
def words(name: str) -> list[str]:
    """The words of an identifier: `HTTPStatus_of` has http, status and of."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+", name)]


def literals(tree: ast.Module) -> Iterator[ast.Constant]:
    """All strings but docstrings and the examples of the HTTP document, which are prose."""
    prose = {id(node.value) for node in nodes(tree, ast.Expr)}
    prose |= {id(node.value) for node in nodes(tree, ast.keyword) if node.arg == "example"}
    for node in nodes(tree, ast.Constant):
        if isinstance(node.value, str) and id(node) not in prose:
            yield node


def fields_of_schemas(tree: ast.Module) -> set[int]:
    """The targets of `name = ma.fields.…`: names of the HTTP contract, not of the program."""
    return {
        id(target)
        for node in nodes(tree, ast.Assign)
        if isinstance(node.value, ast.Call)
        for target in node.targets
        if dotted(node.value.func).startswith(("ma.fields.", "fields."))
    }


def definitions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that the source makes up, with its line: classes, functions, parameters, variables, aliases."""
    contract = fields_of_schemas(tree)
    for node in nodes(tree, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.arg, ast.Name, ast.alias):
        if id(node) in contract:
            continue
        if isinstance(node, ast.ClassDef | Function):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def mentions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every identifier, with its line, but for the modules that imports name."""
    yield from definitions(tree)
    for node in nodes(tree, ast.Name, ast.Attribute, ast.keyword, ast.ImportFrom):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.name, node.lineno) for alias in node.names)


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The full name of every imported module, with its line."""
    for node in nodes(tree, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno


def dotted(node: ast.AST) -> str:
    """`a.b.c` for such an expression, an empty text for all others."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
