"""`stackl-flow graph`: draws a diagram of a flow."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stackl_flow.cli.errors import command_output
from stackl_flow.cli.options import Db, Factories, FactoryArguments, Json, allowed_factories, require_db
from stackl_flow.cli.output import Output
from stackl_flow.cli.values import parse_pairs
from stackl_flow.control import diagrams, opening, runs
from stackl_flow.diagrams import Diagram, render


class DiagramFormat(StrEnum):
    """The formats of diagrams."""

    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"


Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FACTORY|FLOW",
        help="Factory of a flow, or a stored flow: its UUID, the beginning of it, or its name.",
    ),
]
FormatOption = Annotated[
    DiagramFormat | None,
    typer.Option(
        "--format",
        help="Format of the diagram; by default taken from the extension of --output, else mermaid.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the diagram to a file.")
]

_FORMAT_OF_EXTENSION = {
    ".svg": DiagramFormat.svg,
    ".dot": DiagramFormat.dot,
    ".gv": DiagramFormat.dot,
    ".mmd": DiagramFormat.mermaid,
    ".mermaid": DiagramFormat.mermaid,
}
#: Other formats of pictures: writing Mermaid text to such a file would surprise the user.
_UNSUPPORTED_EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".pdf", ".ps", ".eps", ".html"}
)


def graph(
    target: Target,
    diagram_format: FormatOption = None,
    output: OutputOption = None,
    arg: FactoryArguments = None,
    db: Db = None,
    factories: Factories = None,
    as_json: Json = False,
) -> None:
    """Draw a diagram of a flow; that of a stored flow shows states and times.

    [bold]Examples[/bold]

      stackl-flow graph shop.flows:order --format mermaid

      stackl-flow graph 3f2a --db flows.db --output order.svg
    """
    factory_kwargs = parse_pairs(arg or (), "--arg")
    if diagram_format is None:
        diagram_format = _default_format(output)
    with command_output(as_json=as_json) as out:
        if ":" in target:
            flow = runs.build_flow(runs.import_factory(target), factory_kwargs, target)
            diagram = diagrams.flow_diagram(flow)
        else:
            diagram = _stored_flow_diagram(target, require_db(db), out, allowed_factories(factories))
        _write(render(diagram, diagram_format.value), diagram_format, output, out)


def _default_format(output: Path | None) -> DiagramFormat:
    extension = output.suffix.lower() if output is not None else ""
    if extension in _UNSUPPORTED_EXTENSIONS:
        raise typer.BadParameter(
            f"cannot write '{extension}' files: use {', '.join(_FORMAT_OF_EXTENSION)}, or pass --format",
            param_hint="--output",
        )
    return _FORMAT_OF_EXTENSION.get(extension, DiagramFormat.mermaid)


def _stored_flow_diagram(identifier: str, db: str, out: Output, factories: list[str] | None) -> Diagram:
    opening.add_working_directory()
    with opening.open_read_only(db) as backend:
        diagram, reason = diagrams.stored_flow_diagram(backend, identifier, factories)
    if reason is not None:
        out.message(f"the flow cannot be built from its factory, so the diagram has no arrows: {reason}")
    return diagram


def _write(text: str, diagram_format: DiagramFormat, output: Path | None, out: Output) -> None:
    data: dict[str, Any] = {"format": diagram_format.value, "file": None, "diagram": text}
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(
                f"cannot write '{output}': {error.strerror}", param_hint="--output"
            ) from error
        data = {"format": diagram_format.value, "file": str(output), "diagram": None}
        if not out.as_json:
            out.message(f"wrote {output}")
    elif not out.as_json:
        out.text(text)
    out.json_result(data)
