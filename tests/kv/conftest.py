"""The servers that places of items are tested on."""

import pytest

from tests import servers


@pytest.fixture(scope="session")
def redis_server():
    with servers.redis_url() as url:
        yield url
