"""The migration guide from TaskFlow names only existing modules and settings, and its programs run."""

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


def test_modules_of_stackl_flow_exist():
    names = set(re.findall(r"`(stackl_flow(?:\.\w+)+)`", GUIDE)) - {"stackl_flow.compat.install"}

    assert len(names) >= 10
    for name in names:
        pkgutil.resolve_name(name)


def test_modules_of_taskflow_are_available():
    names = set(re.findall(r"`(taskflow(?:\.[a-z_]+)+)`", GUIDE))

    assert len(names) > 10
    groups = {name for name in names if entry_points.plugins_of(name)}  # of entry points
    assert names - module_map.MODULES.keys() - module_map.PACKAGES - groups == set()


def programs(of):
    """Return the programs in the guide, for TaskFlow or for stackl_flow."""
    return dict(re.findall(rf"<!-- {of}: (\S+) -->\n```python\n(.*?)```", GUIDE, re.DOTALL))


@pytest.mark.parametrize(
    ("of", "launcher", "output"),
    [
        ("taskflow", [], "SUCCESS"),
        ("taskflow", ["-m", "stackl_flow.compat"], "SUCCESS"),
        ("stackl_flow", [], "2 x tea"),
    ],
    ids=["on TaskFlow", "under compat", "on stackl_flow"],
)
def test_the_programs_post_and_run_jobs(of, launcher, output, redis_url, tmp_path):
    sources = programs(of)
    port = urlsplit(redis_url).port
    replacements = {  # a namespace of this test only
        '"namespace": "shop"': f'"namespace": "{tmp_path}"',
        ":6379": f":{port}?namespace={tmp_path}",
        '"port": 6379': f'"port": {port}',
    }
    for name, text in sources.items():
        (tmp_path / name).write_text(
            re.sub("|".join(replacements), lambda match: replacements[match[0]], text)
        )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}

    def start(name):
        return subprocess.Popen(
            [sys.executable, *launcher, name], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    assert set(sources) == {"shop.py", "post.py", "conduct.py"}
    poster, conductor = start("post.py"), start("conduct.py")
    try:
        out, err = poster.communicate(timeout=180)
    finally:
        conductor.send_signal(signal.SIGKILL)
        _, log = conductor.communicate()
    assert out.splitlines() == [output], f"{err}\n{log}"


def settings_of_taskflow():
    """Yield the settings of TaskFlow's boards, from its sources."""
    lists = {
        "redis": ("jobs/backends/impl_redis.py", "CLIENT_CONF_TRANSFERS"),
        "etcd": ("jobs/backends/impl_etcd.py", "ETCD_CONFIG_OPTIONS"),
        "zookeeper": ("utils/kazoo_utils.py", "CONF_TRANSFERS"),
    }
    for board, (path, name) in lists.items():
        for node in ast.walk(ast.parse((wheel.package() / path).read_text())):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                pairs = (each for each in ast.walk(node.value) if isinstance(each, ast.Tuple))
                keys = (pair.elts[0].value for pair in pairs if isinstance(pair.elts[0], ast.Constant))
                yield from ((board, key) for key in keys)
    for board, module in (("redis", "impl_redis"), ("etcd", "impl_etcd"), ("zookeeper", "impl_zookeeper")):
        text = (wheel.package() / f"jobs/backends/{module}.py").read_text()
        yield from ((board, key) for key in re.findall(r"conf\.get\(\s*['\"](\w+)", text))
    kazoo = (wheel.package() / "utils/kazoo_utils.py").read_text()
    yield from (("zookeeper", key) for key in re.findall(r"conf\[['\"](\w+)['\"]\]", kazoo))


def test_every_setting_of_taskflows_boards_is_documented():
    rows = re.findall(r"^\| (all|redis|etcd|zookeeper) \| (.*?) \|", GUIDE, re.MULTILINE)
    documented = {(board, key) for board, cell in rows for key in re.findall(r"`(\w+)`", cell)}
    settings = set(settings_of_taskflow())

    assert len(settings) > 35
    assert {(board, key) for board, key in settings if ("all", key) not in documented} - documented == set()
