"""A codec that seals what it writes, as a program's own would with a real cipher."""

import base64
import hashlib
import itertools
import json

from stackl_flow.codec import DEFAULT


def _mixed(data):
    key = hashlib.sha256(b"a key of this test").digest()
    return bytes(one ^ other for one, other in zip(data, itertools.cycle(key), strict=False))


class Sealed:
    def encode(self, value):
        return json.dumps(base64.b64encode(_mixed(DEFAULT.encode(value).encode())).decode())

    def decode(self, text):
        return DEFAULT.decode(_mixed(base64.b64decode(json.loads(text))).decode())


codec = Sealed()
