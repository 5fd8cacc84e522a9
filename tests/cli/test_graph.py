"""`stackl-flow graph`: diagrams of factories and of stored flows."""

import xml.etree.ElementTree as ET

import pytest

from tests.cli.conftest import SHOP


def texts(path):
    root = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314  our own text
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_of_a_factory(invoke, tmp_path):
    assert invoke("graph", f"{SHOP}:order").out.startswith("flowchart TD\n")
    assert invoke("graph", f"{SHOP}:order", "--format", "dot", STACKL_FLOW_DB="").out.startswith(
        'digraph "order" {'
    )
    result = invoke("graph", f"{SHOP}:order", "--output", tmp_path / "order.svg")
    assert (result.code, result.out) == (0, "")
    assert {"order", "notify", "reserve", "twice", "retry"} <= set(texts(tmp_path / "order.svg"))


def test_of_a_stored_flow_with_its_states(invoke, tmp_path):
    uuid = invoke("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true", "--json").data["flow"][
        "uuid"
    ]
    result = invoke("graph", uuid[:13], "-o", tmp_path / "order.svg")
    assert result.code == 0
    found = texts(tmp_path / "order.svg")
    assert any(text.startswith("failed · REVERTED · ") for text in found)
    assert found[-1] == "REVERTED"
    assert invoke("graph", uuid, "--format", "mermaid").out.count("-->") == 5


@pytest.mark.parametrize("name", ["a.svg", "a.SVG", "a.dot", "a.gv", "a.mmd", "a.txt"])
def test_the_extension_selects_the_format(invoke, tmp_path, name):
    beginnings = {"svg": "<svg ", "dot": "digraph", "gv": "digraph", "mmd": "flowchart", "txt": "flowchart"}
    invoke("graph", f"{SHOP}:lone", "--output", tmp_path / name)
    assert (tmp_path / name).read_text().startswith(beginnings[name.lower()[2:]])


@pytest.mark.parametrize("name", ["a.png", "a.PDF", "a.jpg"])
def test_an_extension_of_another_format_is_refused(invoke, tmp_path, name):
    result = invoke("graph", f"{SHOP}:lone", "--output", tmp_path / name)
    assert result.code == 2
    assert "pass --format" in result.err
    assert not (tmp_path / name).exists()
    assert invoke("graph", f"{SHOP}:lone", "--output", tmp_path / name, "--format", "svg").code == 0


def test_json(invoke, tmp_path):
    data = invoke("graph", f"{SHOP}:lone", "--json").data
    assert data["diagram"].startswith("flowchart")
    assert invoke("graph", f"{SHOP}:lone", "-o", tmp_path / "x.svg", "--json").data == {
        "format": "svg",
        "file": str(tmp_path / "x.svg"),
        "diagram": None,
    }


def test_without_its_factory_a_stored_flow_is_drawn_without_arrows(invoke, tmp_path, monkeypatch):
    (tmp_path / "passing.py").write_text(
        "from tests.cli.shop import Step\nfrom stackl_flow.patterns import linear_flow\n"
        "def flow():\n    return linear_flow.Flow('passing').add(Step('here'), Step('there'))\n"
    )
    monkeypatch.chdir(tmp_path)
    uuid = invoke("run", "passing:flow", "--store", "order=1", "--json").data["flow"]["uuid"]
    monkeypatch.delitem(__import__("sys").modules, "passing")
    (tmp_path / "passing.py").unlink()
    result = invoke("graph", uuid)
    assert result.code == 0
    assert "has no arrows" in result.err
    assert "here<br/>SUCCESS" in result.out
    assert "-->" not in result.out


def test_errors(invoke, tmp_path):
    invoke("db", "upgrade")
    assert invoke("graph", "ffff").code == 7
    assert invoke("graph", f"{SHOP}:nope").code == 2
    assert invoke("graph", f"{SHOP}:circle").code == 8
    assert invoke("graph", f"{SHOP}:lone", "--format", "png").code == 2
    result = invoke("graph", f"{SHOP}:lone", "--output", tmp_path / "no" / "folder.svg")
    assert result.code == 2
    assert "No such file or directory" in result.err
