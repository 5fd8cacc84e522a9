"""The one way from Python values to JSON text and back; ``DEFAULT`` is the codec that everybody shares."""

from __future__ import annotations

from typing import Final

from stackl_flow.codec.codec import MAX_DEPTH, Codec, TextCodec

__all__ = ["DEFAULT", "MAX_DEPTH", "Codec", "TextCodec", "decode", "encode", "register"]

DEFAULT: Final = Codec()
encode: Final = DEFAULT.encode
decode: Final = DEFAULT.decode
register: Final = DEFAULT.register
