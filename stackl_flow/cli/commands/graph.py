"""`stackl-flow graph`: the picture of a flow."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import Arguments, Db, Json, needed
from stackl_flow.cli.output import Output
from stackl_flow.cli.values import pairs
from stackl_flow.control import opening, pictures, runs
from stackl_flow.diagrams import Drawing


class Form(StrEnum):
    """The formats of a picture."""

    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"


Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FACTORY|UUID", help="A factory, or a stored flow by uuid, beginning of it or name."
    ),
]
FormOption = Annotated[
    Form | None,
    typer.Option("--format", help="Told by the file's ending, if left out; mermaid without a file."),
]
FileOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write the picture.")
]

_ENDINGS = {
    ".svg": Form.svg,
    ".dot": Form.dot,
    ".gv": Form.dot,
    ".mmd": Form.mermaid,
    ".mermaid": Form.mermaid,
}
#: Whoever asks for one of these does not want a text.
_OTHER_PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".pdf", ".ps", ".eps", ".html"}
)


def graph(
    target: Target,
    form: FormOption = None,
    output: FileOption = None,
    arg: Arguments = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Draw a flow; a stored one with its states and times.

    [bold]Examples[/bold]

      stackl-flow graph shop.flows:order --format mermaid

      stackl-flow graph 3f2a --db flows.db --output order.svg
    """
    arguments = pairs(arg or (), "--arg")
    if form is None:
        form = _form_of(output)
    with answering(as_json=as_json) as out:
        if ":" in target:
            factory = runs.import_factory(target)
            drawing = pictures.picture(runs.make_flow(factory, arguments, target))
        else:
            drawing = _stored(target, needed(db), out)
        _write(pictures.draw(drawing, form.value), form, output, out)


def _form_of(output: Path | None) -> Form:
    ending = output.suffix.lower() if output is not None else ""
    if ending in _OTHER_PICTURES:
        raise typer.BadParameter(
            f"cannot draw '{ending}': end it in {', '.join(_ENDINGS)}, or say --format", param_hint="--output"
        )
    return _ENDINGS.get(ending, Form.mermaid)


def _stored(wanted: str, db: str, out: Output) -> Drawing:
    runs.use_working_directory()
    with opening.for_looking(db) as backend:
        drawing, trouble = pictures.stored_picture(backend, wanted)
    if trouble is not None:
        out.say(
            f"the flow cannot be built from its factory, so its atoms are drawn without arrows: {trouble}"
        )
    return drawing


def _write(text: str, form: Form, output: Path | None, out: Output) -> None:
    data: dict[str, Any] = {"format": form.value, "file": None, "picture": text}
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(
                f"cannot write '{output}': {error.strerror}", param_hint="--output"
            ) from error
        data = {"format": form.value, "file": str(output), "picture": None}
        if not out.as_json:
            out.say(f"wrote {output}")
    elif not out.as_json:
        out.raw(text)
    out.machine(data)
