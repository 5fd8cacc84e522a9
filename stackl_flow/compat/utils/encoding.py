"""The conversions between text, bytes and JSON of `taskflow.utils.misc`."""

from __future__ import annotations

import json
from typing import Any

Kinds = type | tuple[type, ...]


def binary_encode(text: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    """Encode text to bytes; bytes are returned as they are.

    Raises:
        TypeError: the value is neither.
    """
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} cannot be encoded: pass text or bytes")
    return text.encode(encoding, errors)


def binary_decode(data: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Decode bytes to text; text is returned as it is.

    Raises:
        TypeError: the value is neither.
    """
    if isinstance(data, str):
        return data
    if not isinstance(data, bytes):
        raise TypeError(f"{type(data).__name__} cannot be decoded: pass bytes or text")
    return data.decode(encoding, errors)


def decode_json(raw_data: str | bytes, root_types: Kinds = (dict,)) -> Any:
    """Decode JSON.

    Args:
        raw_data: the JSON text.
        root_types: the types allowed for the result; any if empty.

    Raises:
        ValueError: the text is invalid, or the result has another type.
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
