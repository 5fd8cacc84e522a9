"""Text and bytes, and data out of either."""

from __future__ import annotations

import json
from typing import Any

Kinds = type | tuple[type, ...]


def binary_encode(text: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    """Make bytes of text.

    Args:
        text: the text; bytes are returned as they are.
        encoding: how it is written.
        errors: what to do with what cannot be written.

    Returns:
        The bytes.

    Raises:
        TypeError: that is neither.
    """
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} can't be encoded: text or bytes are needed")
    return text.encode(encoding, errors)


def binary_decode(data: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Make text of bytes.

    Args:
        data: the bytes; text is returned as it is.
        encoding: how it was written.
        errors: what to do with what cannot be read.

    Returns:
        The text.

    Raises:
        TypeError: that is neither.
    """
    if isinstance(data, str):
        return data
    if not isinstance(data, bytes):
        raise TypeError(f"{type(data).__name__} can't be decoded: bytes or text are needed")
    return data.decode(encoding, errors)


def decode_json(raw_data: str | bytes, root_types: Kinds = (dict,)) -> Any:
    """Read JSON.

    Args:
        raw_data: the JSON.
        root_types: what may come out of it; anything if empty.

    Returns:
        The data.

    Raises:
        ValueError: it cannot be read, or something else comes out of it.
    """
    try:
        data = json.loads(binary_decode(raw_data))
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected UTF-8 decodable data: {error}") from error
    except ValueError as error:
        raise ValueError(f"Expected JSON decodable data: {error}") from error
    if root_types and not isinstance(data, root_types):
        raise ValueError(f"Expected {root_types} at the root, not {type(data).__name__}")
    return data
