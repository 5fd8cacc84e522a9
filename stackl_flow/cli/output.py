"""Output of commands: results for a terminal or a pipe, or JSON.

Results go to standard output, messages and errors to standard error. With --json, standard output is
reserved for the result, whatever tasks print meanwhile.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live

from stackl_flow import codec, redaction
from stackl_flow.cli.tables import flow_panel, values_table
from stackl_flow.control.views import FlowView

#: Columns of a line in a pipe: only very long names are wrapped.
_PIPE_WIDTH = 500
#: How often a live display is redrawn, per second.
_REFRESH_RATE = 8
#: Fields with seconds since the epoch, which become ISO 8601 in JSON.
_TIME_FIELDS = frozenset(
    {"started", "ended", "created", "updated", "finished_at", "not_before", "at", "started_at", "claimed"}
)


def make_console(*, stderr: bool = False) -> Console:
    """Make a console: as wide as the terminal, or wide and without colors in a pipe."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else _PIPE_WIDTH,
        highlight=False,
        soft_wrap=False,
        emoji=False,
    )


class Output:
    """The output of one command; secrets are redacted in everything that it writes.

    Args:
        as_json: write results as JSON, and nothing else to standard output.
        results: the stream for results.
    """

    def __init__(self, *, as_json: bool, results: TextIO) -> None:
        self.as_json = as_json
        self._results = results
        self.console = make_console()
        self._messages = make_console(stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether the output is a terminal that can show a live display."""
        return not self.as_json and self.console.is_terminal and not self.console.is_dumb_terminal

    @contextmanager
    def live_display(self, renderable: RenderableType) -> Iterator[None]:
        """Show a display that is redrawn several times a second; messages appear above it."""
        messages, self._messages = self._messages, self.console
        try:
            with Live(renderable, console=self.console, refresh_per_second=_REFRESH_RATE, transient=True):
                yield
        finally:
            self._messages = messages

    def result(self, renderable: RenderableType, data: Any) -> None:
        """Write the result of the command: `data` with --json, else `renderable`."""
        if self.as_json:
            self._results.write(json.dumps(_json_data(data), indent=2, ensure_ascii=False) + "\n")
        else:
            self.console.print(renderable)

    def json_result(self, data: Any) -> None:
        """Write a result that is only needed with --json, because a display has shown it already."""
        if self.as_json:
            self.result("", data)

    def json_line(self, data: Any) -> None:
        """Write one of many results immediately, as one line of JSON."""
        self._results.write(json.dumps(_json_data(data), ensure_ascii=False) + "\n")
        self._results.flush()

    def text(self, text: str) -> None:
        """Write text as it is, such as a diagram."""
        self._results.write(redaction.redact(text))

    def message(self, text: str) -> None:
        """Write a message to standard error."""
        self._messages.print(redaction.redact(text), markup=False, soft_wrap=True)

    def error(self, kind: str, text: str, code: int) -> None:
        """Write an error.

        Args:
            kind: name of the exception class.
            text: the message.
            code: the exit code.
        """
        text = redaction.redact(text)
        if self.as_json:
            data = {"error": {"type": kind, "message": text}, "exit_code": code}
            self._results.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        escaped = text.replace("[", r"\[")
        self._messages.print(f"[bold red]error:[/bold red] {escaped}", soft_wrap=True)


def _json_data(data: Any) -> Any:
    return redaction.redact_data(to_json_data(data))


def to_json_data(value: Any, field: str = "") -> Any:
    """Turn a result into JSON data; times become ISO 8601 in UTC.

    Args:
        value: dataclasses, lists, dictionaries, and values that the codec can encode.
        field: name of the field that contains the value.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {key: to_json_data(part, key) for key, part in asdict(value).items()}
    if isinstance(value, float) and field in _TIME_FIELDS:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="microseconds")
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: to_json_data(part, key) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_data(part, field) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.loads(codec.encode(value))


def flow_result(view: FlowView, *, results: bool) -> tuple[RenderableType, dict[str, Any]]:
    """Return a flow as something to print and as JSON data, with or without the results of its atoms."""
    data: dict[str, Any] = to_json_data(view)
    data["counts"] = view.counts()
    values = [(atom["name"], atom["result"]) for atom in data["atoms"]]
    parts: list[RenderableType] = [flow_panel(view)]
    if results:
        texts = [(name, json.dumps(value, ensure_ascii=False)) for name, value in values if value is not None]
        parts.append(values_table(texts))
    else:
        for atom in data["atoms"]:
            del atom["result"]
    return Group(*parts), data


@contextmanager
def reserve_stdout() -> Iterator[TextIO]:
    """Redirect to standard error what tasks, and programs that they start, write to standard output.

    Yields:
        The original standard output.
    """
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            descriptor = stdout.fileno()
        except OSError:
            # A replacement without a file, as in tests: child processes do not write to it anyway.
            yield stdout
            return
        stdout.flush()
        with os.fdopen(os.dup(descriptor), "w", encoding=stdout.encoding) as original:
            os.dup2(sys.stderr.fileno(), descriptor)
            try:
                yield original
                original.flush()
            finally:
                os.dup2(original.fileno(), descriptor)
