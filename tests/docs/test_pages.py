"""Every code block of every page runs, and prints what the page shows."""

import re
import sys

import pytest

from tests.docs.pages import PAGES, REASONS, ROOT, Reader, blocks, commands

name_of = lambda page: str(page.relative_to(ROOT))  # noqa: E731


@pytest.fixture
def reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("STACKL_FLOW_DB", "STACKL_FLOW_BOARD"):
        monkeypatch.delenv(name, raising=False)
    before = dict(sys.modules)
    reader = Reader(tmp_path)
    yield reader
    reader.forget()
    for name in [name for name in sys.modules if name not in before and name.split(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=name_of)
def test_the_blocks_of_a_page_run_in_order(page, reader):
    for block in blocks(page):
        reader.read(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_run_has_a_listed_reason(page):
    reasons = {block.reason for block in blocks(page)} - {None}
    assert reasons <= REASONS.keys()


def test_every_reason_is_used():
    used = {block.reason for page in PAGES for block in blocks(page)}
    assert REASONS.keys() <= used


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_language_that_is_run_or_plain(page):
    known = {"python", "console", "text", "ini", "yaml", "json", "sql", "toml", "mermaid"}
    assert {block.language for block in blocks(page)} <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_line_of_a_console_block_belongs_to_a_command(page):
    for block in blocks(page):
        if block.language == "console":
            assert block.source.startswith("$ "), block.where
            assert commands(block), block.where


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)#: ]+)(?:#[^)]*)?\)", text)
    generated = {"assets/diagrams"}
    missing = [
        target
        for target in targets
        if not (page.parent / target).exists() and not any(part in target for part in generated)
    ]
    assert missing == []
