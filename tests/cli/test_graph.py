"""`stackl-flow graph`: pictures of factories and of stored flows."""

import xml.etree.ElementTree as ET

import pytest

from tests.cli.conftest import SHOP


def words(path):
    root = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - our own text
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_of_a_factory(give, tmp_path):
    assert give("graph", f"{SHOP}:order").out.startswith("flowchart TD\n")
    assert give("graph", f"{SHOP}:order", "--format", "dot", STACKL_FLOW_DB="").out.startswith(
        'digraph "order" {'
    )
    answer = give("graph", f"{SHOP}:order", "--output", tmp_path / "order.svg")
    assert (answer.code, answer.out) == (0, "")
    assert {"order", "notify", "reserve", "twice", "retry"} <= set(words(tmp_path / "order.svg"))


def test_of_a_stored_flow_with_its_states(give, tmp_path):
    uuid = give("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true", "--json").data["flow"][
        "uuid"
    ]
    answer = give("graph", uuid[:13], "-o", tmp_path / "order.svg")
    assert answer.code == 0
    found = words(tmp_path / "order.svg")
    assert any(word.startswith("failed · REVERTED · ") for word in found)
    assert found[-1] == "REVERTED"
    assert give("graph", uuid, "--format", "mermaid").out.count("-->") == 5


@pytest.mark.parametrize("name", ["a.svg", "a.SVG", "a.dot", "a.gv", "a.mmd", "a.txt"])
def test_the_ending_tells_the_format(give, tmp_path, name):
    forms = {"svg": "<svg ", "dot": "digraph", "gv": "digraph", "mmd": "flowchart", "txt": "flowchart"}
    give("graph", f"{SHOP}:lone", "--output", tmp_path / name)
    assert (tmp_path / name).read_text().startswith(forms[name.lower()[2:]])


@pytest.mark.parametrize("name", ["a.png", "a.PDF", "a.jpg"])
def test_an_ending_that_promises_another_picture_is_refused(give, tmp_path, name):
    answer = give("graph", f"{SHOP}:lone", "--output", tmp_path / name)
    assert answer.code == 2
    assert "say --format" in answer.err
    assert not (tmp_path / name).exists()
    assert give("graph", f"{SHOP}:lone", "--output", tmp_path / name, "--format", "svg").code == 0


def test_json(give, tmp_path):
    data = give("graph", f"{SHOP}:lone", "--json").data
    assert data["picture"].startswith("flowchart")
    assert give("graph", f"{SHOP}:lone", "-o", tmp_path / "x.svg", "--json").data == {
        "format": "svg",
        "file": str(tmp_path / "x.svg"),
        "picture": None,
    }


def test_without_its_factory_a_stored_flow_is_drawn_without_arrows(give, tmp_path, monkeypatch):
    (tmp_path / "passing.py").write_text(
        "from tests.cli.shop import Step\nfrom stackl_flow.patterns import linear_flow\n"
        "def flow():\n    return linear_flow.Flow('passing').add(Step('here'), Step('there'))\n"
    )
    monkeypatch.chdir(tmp_path)
    uuid = give("run", "passing:flow", "--store", "order=1", "--json").data["flow"]["uuid"]
    monkeypatch.delitem(__import__("sys").modules, "passing")
    (tmp_path / "passing.py").unlink()
    answer = give("graph", uuid)
    assert answer.code == 0
    assert "without arrows" in answer.err
    assert "here<br/>SUCCESS" in answer.out
    assert "-->" not in answer.out


def test_mistakes(give, tmp_path):
    give("db", "upgrade")
    assert give("graph", "ffff").code == 7
    assert give("graph", f"{SHOP}:nope").code == 2
    assert give("graph", f"{SHOP}:circle").code == 8
    assert give("graph", f"{SHOP}:lone", "--format", "oil").code == 2
    answer = give("graph", f"{SHOP}:lone", "--output", tmp_path / "no" / "folder.svg")
    assert answer.code == 2
    assert "No such file or directory" in answer.err
