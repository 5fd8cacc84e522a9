"""The guide for those who come from TaskFlow names only what is there."""

import ast
import os
import pkgutil
import re
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from stackl_flow.compat import entry_points, module_map
from tests.compat import wheel
from tests.compat.upstream_suite import ROOT

GUIDE = (ROOT / "docs" / "coming-from-taskflow.md").read_text()


def test_every_module_of_ours_that_it_names_is_there():
    named = set(re.findall(r"`(stackl_flow(?:\.\w+)+)`", GUIDE)) - {"stackl_flow.compat.install"}

    assert len(named) >= 10
    for name in named:
        pkgutil.resolve_name(name)


def test_every_module_of_taskflows_that_it_names_is_served():
    named = set(re.findall(r"`(taskflow(?:\.[a-z_]+)+)`", GUIDE))

    assert len(named) > 10
    groups = {name for name in named if entry_points.plugins_of(name)}  # of entry points
    assert named - module_map.MODULES.keys() - module_map.PACKAGES - groups == set()


def programs(of):
    """Read the programs in the guide: those for TaskFlow, or ours."""
    return dict(re.findall(rf"<!-- {of}: (\S+) -->\n```python\n(.*?)```", GUIDE, re.DOTALL))


@pytest.mark.parametrize(
    ("of", "through", "said"),
    [
        ("taskflow", [], "SUCCESS"),
        ("taskflow", ["-m", "stackl_flow.compat"], "SUCCESS"),
        ("ours", [], "2 x tea"),
    ],
    ids=["on TaskFlow", "under compat", "in our own words"],
)
def test_its_programs_post_and_conduct(of, through, said, redis_url, tmp_path):
    found = programs(of)
    port = urlsplit(redis_url).port
    here = {  # a place that nobody else uses, on the server of this run
        '"namespace": "shop"': f'"namespace": "{tmp_path}"',
        ":6379": f":{port}?namespace={tmp_path}",
        '"port": 6379': f'"port": {port}',
    }
    for name, text in found.items():
        (tmp_path / name).write_text(re.sub("|".join(here), lambda match: here[match[0]], text))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}

    def start(name):
        return subprocess.Popen(
            [sys.executable, *through, name], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    assert set(found) == {"shop.py", "post.py", "conduct.py"}
    poster, conductor = start("post.py"), start("conduct.py")
    try:
        out, err = poster.communicate(timeout=60)
    finally:
        conductor.send_signal(signal.SIGKILL)
        _, log = conductor.communicate()
    assert out.splitlines() == [said], f"{err}\n{log}"


def settings_of_taskflow():
    """Read out of TaskFlow's sources which settings its boards know."""
    lists = {
        "redis": ("jobs/backends/impl_redis.py", "CLIENT_CONF_TRANSFERS"),
        "etcd": ("jobs/backends/impl_etcd.py", "ETCD_CONFIG_OPTIONS"),
        "zookeeper": ("utils/kazoo_utils.py", "CONF_TRANSFERS"),
    }
    for board, (place, name) in lists.items():
        for node in ast.walk(ast.parse((wheel.package() / place).read_text())):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                pairs = (each for each in ast.walk(node.value) if isinstance(each, ast.Tuple))
                words = (pair.elts[0].value for pair in pairs if isinstance(pair.elts[0], ast.Constant))
                yield from ((board, word) for word in words)
    for board, place in (("redis", "impl_redis"), ("etcd", "impl_etcd"), ("zookeeper", "impl_zookeeper")):
        text = (wheel.package() / f"jobs/backends/{place}.py").read_text()
        yield from ((board, word) for word in re.findall(r"conf\.get\(\s*['\"](\w+)", text))
    kazoo = (wheel.package() / "utils/kazoo_utils.py").read_text()
    yield from (("zookeeper", word) for word in re.findall(r"conf\[['\"](\w+)['\"]\]", kazoo))


def test_every_setting_of_taskflows_boards_stands_in_it():
    rows = re.findall(r"^\| (all|redis|etcd|zookeeper) \| (.*?) \|", GUIDE, re.MULTILINE)
    told = {(board, word) for board, cell in rows for word in re.findall(r"`(\w+)`", cell)}
    wanted = set(settings_of_taskflow())

    assert len(wanted) > 35
    assert {(board, word) for board, word in wanted if ("all", word) not in told} - told == set()
