"""Where a command's words go: a person's terminal, a plain pipe, or a machine that wants JSON.

How a flow is answered, for people and for machines.

Keeps the standard output for the answer, whatever tasks print meanwhile, so that a machine can read it.
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

from stackl_flow import codec, redaction
from stackl_flow.cli.tables import flow_panel, values_table
from stackl_flow.control.views import FlowView

#: Columns of a line in a pipe: nothing is folded there but very long names.
_PIPE_WIDTH = 500
_TIMES = frozenset({"started", "ended", "created", "updated", "not_before", "at"})


def make_console(*, stderr: bool = False) -> Console:
    """Make a console for this process's output.

    Args:
        stderr: for messages instead of answers.

    Returns:
        The console: as wide as the terminal, or wide and without colours in a pipe.
    """
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else _PIPE_WIDTH,
        highlight=False,
        soft_wrap=False,
        emoji=False,
    )


class Output:
    """The voice of one command.

    Args:
        as_json: answers are JSON; nothing else goes to the standard output.
        answers: where answers go.
    """

    def __init__(self, *, as_json: bool, answers: TextIO) -> None:
        self.as_json = as_json
        self._answers = answers
        self.console = make_console()
        self.messages = make_console(stderr=True)

    @property
    def live(self) -> bool:
        """Whether a person looks at the output as it comes."""
        return not self.as_json and self.console.is_terminal and not self.console.is_dumb_terminal

    def answer(self, shown: RenderableType, data: Any) -> None:
        """Give the answer.

        Args:
            shown: for people.
            data: the same for machines.
        """
        if self.as_json:
            self._answers.write(
                json.dumps(redaction.redact_data(plain(data)), indent=2, ensure_ascii=False) + "\n"
            )
        else:
            self.console.print(shown)

    def machine(self, data: Any) -> None:
        """Give an answer that people have seen already; only machines get it here.

        Args:
            data: the answer.
        """
        if self.as_json:
            self.answer("", data)

    def raw(self, text: str) -> None:
        """Write a text as it is, such as a picture that goes into a file.

        Args:
            text: the text.
        """
        self._answers.write(redaction.redact(text))

    def line(self, data: Any) -> None:
        """Give one of many answers, at once, as one line of JSON.

        Args:
            data: the answer.
        """
        self._answers.write(json.dumps(redaction.redact_data(plain(data)), ensure_ascii=False) + "\n")
        self._answers.flush()

    def say(self, words: str) -> None:
        """Tell something beside the answer; it goes to the standard error output.

        Args:
            words: one message.
        """
        self.messages.print(redaction.redact(words), markup=False, soft_wrap=True)

    def refuse(self, kind: str, words: str, code: int) -> None:
        """Tell why there is no answer.

        Args:
            kind: the error's class.
            words: the message.
            code: the exit code that follows.
        """
        words = redaction.redact(words)
        if self.as_json:
            error = {"error": {"type": kind, "message": words}, "exit_code": code}
            self._answers.write(json.dumps(error, indent=2, ensure_ascii=False) + "\n")
        self.messages.print(f"[bold red]error:[/bold red] {_escaped(words)}", soft_wrap=True)


def plain(value: Any, name: str = "") -> Any:
    """Turn an answer into JSON data.

    Args:
        value: dataclasses, lists, dictionaries and values; times become ISO 8601 in UTC.
        name: the field that holds it.

    Returns:
        The data.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(part, key) for key, part in asdict(value).items()}
    if isinstance(value, float) and name in _TIMES:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="microseconds")
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(part, key) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, name) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.loads(codec.encode(value))


def _escaped(words: str) -> str:
    return words.replace("[", r"\[")


def flow_answer(view: FlowView, *, results: bool) -> tuple[RenderableType, dict[str, Any]]:
    """Put the answer about one flow together.

    Args:
        view: the flow.
        results: with the values that its atoms have made.

    Returns:
        The answer for people, and the same for machines.
    """
    data: dict[str, Any] = plain(view)
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
def standard_output_kept() -> Iterator[TextIO]:
    """Send to the standard error output what tasks, and programs that they start, print.

    Yields:
        The standard output, for the answer.
    """
    own = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            number = own.fileno()
        except OSError:
            # A stand-in without a file, as in tests: programs that are started do not write to it anyway.
            yield own
            return
        own.flush()
        with os.fdopen(os.dup(number), "w", encoding=own.encoding) as kept:
            os.dup2(sys.stderr.fileno(), number)
            try:
                yield kept
                kept.flush()
            finally:
                os.dup2(kept.fileno(), number)
