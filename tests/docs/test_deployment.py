"""The systemd unit and the Kubernetes Deployment start a conductor."""

import configparser
import re
import shlex
from pathlib import Path

from tests.docs.pages import ROOT, blocks
from tests.docs.test_commands import parse

PAGE = ROOT / "docs" / "how-to" / "run-conductors.md"


def block_of(language, content):
    (found,) = [
        block.source for block in blocks(PAGE) if block.language == language and content in block.source
    ]
    return found


def test_the_systemd_unit_starts_a_conductor():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(block_of("ini", "ExecStart"))
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"].replace("%H", "host").replace("%i", "1"))
    assert Path(program).name == "stackl-flow"
    given = dict(pair.split("=", 1) for pair in shlex.split(service["Environment"]))
    assert given.keys() == {"STACKL_FLOW_BOARD", "STACKL_FLOW_DB"}
    name, params = parse(arguments)
    assert (name, params["name"], params["jobs"]) == ("conduct", "host-1", 4)
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 0


def test_the_kubernetes_deployment_starts_a_conductor():
    text = block_of("yaml", "Deployment")
    (line,) = re.findall(r"command: \[(.*)\]", text)
    program, *arguments = [word.strip().strip('"') for word in line.split(",")]
    assert program == "stackl-flow"
    name, params = parse([word.replace("$(POD)", "pod-1") for word in arguments])
    assert (name, params["name"], params["listen"]) == ("conduct", "pod-1", "0.0.0.0:8080")
    assert params["listen"].endswith(re.findall(r"port: (\d+)", text)[0])
    assert set(re.findall(r"name: (STACKL_\w+)", text)) == {"STACKL_FLOW_BOARD", "STACKL_FLOW_DB"}
