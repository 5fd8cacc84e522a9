"""Help texts: a command's docstring, with the line breaks of the source taken out."""

import inspect
from collections.abc import Callable


def help_of(command: Callable[..., None]) -> str:
    """Make the help of a command.

    Args:
        command: the function, with a docstring.

    Returns:
        Its docstring with each paragraph on one line, as the help formatter breaks lines by itself.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)
