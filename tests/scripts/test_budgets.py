"""The figures of scripts/budgets.py, on a small package."""

import subprocess
import sys
from pathlib import Path

from scripts import budgets

ROOT = Path(__file__).resolve().parents[2]

FIRST = '''"""A docstring
of two lines."""

from stackl_flow import second  # beside code


# a comment
class Thing:
    """One line."""

    def public(self):
        from stackl_flow.lazy import name

        return """a text,
        no docstring"""

    def _private(self): ...
'''


def modules(tmp_path, **sources):
    folder = tmp_path / "stackl_flow"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(text)
    return budgets.read(tmp_path)


def test_lines_by_kind():
    module = budgets.parse("first", FIRST)
    assert (module.lines, module.code, module.docstrings, module.comments) == (17, 7, 3, 1)


def test_importers_and_cycles(tmp_path):
    found = modules(
        tmp_path,
        first=FIRST,
        second="from stackl_flow.third import name\n",
        third="import stackl_flow.second\n",
        lazy="def late():\n    import stackl_flow.first\n",
    )
    assert found["stackl_flow.first"].imports == {"stackl_flow.second", "stackl_flow.lazy"}
    assert found["stackl_flow.first"].imports_at_once == {"stackl_flow.second"}
    assert budgets.with_one_importer(found) == ["stackl_flow.first", "stackl_flow.lazy", "stackl_flow.third"]
    assert budgets.cycles(found, at_once=True) == [["stackl_flow.second", "stackl_flow.third"]]
    assert budgets.cycles(found, at_once=False) == [
        ["stackl_flow.first", "stackl_flow.lazy"],
        ["stackl_flow.second", "stackl_flow.third"],
    ]


def test_it_prints_figures_and_fails_nothing(tmp_path):
    modules(tmp_path, first=FIRST)
    command = [sys.executable, ROOT / "scripts" / "budgets.py", "--walks", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    for figure in ("docstring", "import cycles", "one importer", "engine.run", "jobs list"):
        assert figure in ran.stdout
