"""Rules about the tree that no other tool checks."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import interlock
from interlock.kernel.errors import InterlockError
from interlock.providers.registry import ADAPTERS
from interlock.providers.wire.registry import FORMATS

SOURCE = Path(interlock.__file__).parent
ENVIRONMENT_READERS = {"app.py", "app_settings.py"}
FORBIDDEN_NAMES = {"utils.py", "common.py", "manager.py", "helpers.py"}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text())


def test_only_the_composition_root_reads_the_environment() -> None:
    readers = {
        name
        for name, tree in _modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }

    # The demonstration passes the environment on to the server it starts; it reads nothing of it.
    assert readers - {"demo/run.py"} <= ENVIRONMENT_READERS


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not {path.name for path in SOURCE.rglob("*.py")} & FORBIDDEN_NAMES


def test_every_module_says_what_it_owns() -> None:
    silent = [name for name, tree in _modules() if not ast.get_docstring(tree)]

    assert silent == []


def test_every_error_has_a_code_of_its_own_words() -> None:
    for module in pkgutil.walk_packages([str(SOURCE)], "interlock."):
        if ".migrations.versions" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(kind: type[InterlockError]) -> Iterator[type[InterlockError]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    for kind in below(InterlockError):
        assert kind.code.replace("_", "").isalnum(), kind
        assert kind.__doc__, kind


def test_source_carries_no_unfinished_marks() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    found = [
        (path.name, mark)
        for path in SOURCE.rglob("*.py")
        for mark in marks
        if mark in path.read_text()
    ]

    assert found == []


def test_every_adapter_and_wire_format_is_registered() -> None:
    folders = {
        path.name
        for path in (SOURCE / "providers/wire").iterdir()
        if (path / "__init__.py").exists()
    }
    adapters = {path.stem for path in (SOURCE / "providers/adapters").glob("[a-z]*.py")}
    registered = {adapter.__module__.rpartition(".")[2] for adapter in ADAPTERS.values()}

    assert folders - {"relay"} == set(FORMATS)
    assert registered == adapters
