"""Help texts, made of docstrings without the line breaks of the source; words for a shell to complete."""

import inspect
from collections.abc import Callable, Iterable


def help_of(command: Callable[..., None]) -> str:
    """Make the help of a command.

    Args:
        command: the function, with a docstring.

    Returns:
        Its docstring with each paragraph on one line, as the help formatter breaks lines by itself.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)


def words_of(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Make what a shell asks for the words that an option may have.

    Args:
        words: the words.

    Returns:
        A function from the beginning of a word, in whatever case, to the words that begin so.
    """
    known = list(words)

    def beginning(incomplete: str) -> list[str]:
        return [word for word in known if word.lower().startswith(incomplete.lower())]

    return beginning
