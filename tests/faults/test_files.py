"""A directory store whose system calls fail: what is reported as failed is not stored, for no reader."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.backends.directory import store as directory
from tests.kv.test_directory_crash import STEPS, states
from tests.support.file_calls import FileCalls

AFTER = states()


def items(url: str) -> dict[str, str]:
    """Return the items as another process reads them."""
    with backends.fetch(url) as kv:
        found = {item.key: item.value for item in kv.list()}
        for key, value in found.items():
            assert kv.get(key).value == value
        return found


def read(kv: Any) -> dict[str, str]:
    return {item.key: item.value for item in kv.list()}


@pytest.mark.parametrize("times", [1, 2])  # the second call may be the one that cleans up
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EMFILE])
@pytest.mark.parametrize(
    ("options", "torn", "batch"), [("", False, 128), ("", True, 128), ("journal_size=1", True, 1)]
)
def test_a_call_fails(
    times: int, code: int, options: str, torn: bool, batch: int, tmp_path: Path, monkeypatch
) -> None:
    """For each commit, with a failure in each of its calls that change files."""
    monkeypatch.setattr(directory, "_COMPACT_BATCH", batch)
    failed = 0
    with backends.fetch(f"dir://{tmp_path}/whole?{options}") as whole:
        for number, (checks, puts, deletes) in enumerate(STEPS):
            at = 0
            while True:
                at += 1
                folder = tmp_path / f"{number}-{at}"
                shutil.copytree(tmp_path / "whole", folder) if number else None
                url, calls = (
                    f"dir://{folder}?{options}",
                    FileCalls(at, torn=torn, error=OSError(code, "injected"), times=times),
                )
                with backends.fetch(url) as kv:
                    assert read(kv) == AFTER[number]
                    before = AFTER[number]
                    try:
                        with calls.counted():
                            kv.commit(checks, puts, deletes)
                    except exc.StorageFailure:
                        failed += 1
                        assert items(url) == read(kv) == before, calls.failed
                        kv.commit(checks, puts, deletes)
                    assert items(url) == read(kv) == AFTER[number + 1], calls.failed
                shutil.rmtree(folder, ignore_errors=True)
                if not calls.failed:
                    break
            whole.commit(checks, puts, deletes)
    assert failed >= len(STEPS)
