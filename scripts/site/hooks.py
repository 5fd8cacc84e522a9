"""What MkDocs calls while it builds the site: generates pages and pictures that follow from the code."""

import re
from pathlib import Path
from typing import Any

import block_diagrams
import cli_reference
import pictures
import state_diagrams
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[2]
_MERMAID = re.compile(r"^```mermaid\n(stateDiagram.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
_CLI = "reference/cli.md"
#: Questions are answered by guides; the reference comes after them, and a table of test names is noise.
_SEARCH = {
    "tutorial.md": {"boost": 2},
    "how-to": {"boost": 3},
    "concepts": {"boost": 2},
    "taskflow-conformance.md": {"exclude": True},
}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the generated files."""
    source = (_ROOT / "docs" / _CLI).read_text(encoding="utf-8")
    files.remove(files.src_uris[_CLI])
    files.append(File.generated(config, _CLI, content=cli_reference.page(source)))
    parts = {
        "jobs": block_diagrams.to_svg(*block_diagrams.JOBS, "Jobs, boards and conductors"),
        "engine": block_diagrams.to_svg(*block_diagrams.ENGINE, "How data passes through an engine"),
    }
    for name, svg in {**parts, **pictures.draw()}.items():
        files.append(File.generated(config, f"assets/diagrams/{name}.svg", content=svg))
    states = (_ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    for name, diagram in _state_machines(states):
        svg = state_diagrams.to_svg(diagram, f"States of a {name}")
        files.append(File.generated(config, f"assets/diagrams/state-{name}.svg", content=svg))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Weigh the page in the search, and show pictures of state machines instead of their Mermaid source."""
    kind = page.file.src_uri.partition("/")[0]
    page.meta.setdefault("search", _SEARCH.get(kind, {}))
    if page.file.src_uri != "states.md":
        return markdown
    names = (name for name, _ in _state_machines(markdown))
    return _MERMAID.sub(lambda _: _picture(next(names)), markdown)


def on_post_build(*, config: Any) -> None:
    """Check that no page fetches anything from another host: the site works offline."""
    for page in Path(config.site_dir).rglob("*.html"):
        fetched = _FETCHED.search(page.read_text(encoding="utf-8"))
        if fetched:
            raise ValueError(f"{page} fetches {fetched[1]} from another host")


def _picture(name: str) -> str:
    return f"![The states of a {name} and the transitions between them](assets/diagrams/state-{name}.svg)"


def _state_machines(markdown: str) -> list[tuple[str, str]]:
    """Find the diagrams of the page, each with the heading that it stands under."""
    found = []
    for match in _MERMAID.finditer(markdown):
        heading = _HEADING.findall(markdown[: match.start()])[-1]
        found.append((heading.strip().lower().replace(" ", "-"), match[1]))
    return found
