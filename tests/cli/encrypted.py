"""A codec that encrypts values (with a toy cipher)."""

import base64
import hashlib
import itertools
import json

from stackl_flow.codec import DEFAULT


def _xor(data):
    key = hashlib.sha256(b"a key of this test").digest()
    return bytes(one ^ other for one, other in zip(data, itertools.cycle(key), strict=False))


class EncryptingCodec:
    def encode(self, value):
        return json.dumps(base64.b64encode(_xor(DEFAULT.encode(value).encode())).decode())

    def decode(self, text):
        return DEFAULT.decode(_xor(base64.b64decode(json.loads(text))).decode())


codec = EncryptingCodec()
