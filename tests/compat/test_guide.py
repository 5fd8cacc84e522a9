"""The guide for those who come from TaskFlow names only what is there."""

import pkgutil
import re

from stackl_flow.compat import names, plugs
from tests.compat.suite import ROOT

GUIDE = (ROOT / "docs" / "coming-from-taskflow.md").read_text()


def test_every_module_of_ours_that_it_names_is_there():
    named = set(re.findall(r"`(stackl_flow(?:\.\w+)+)`", GUIDE)) - {"stackl_flow.compat.install"}

    assert len(named) >= 10
    for name in named:
        pkgutil.resolve_name(name)


def test_every_module_of_taskflows_that_it_names_is_served():
    named = set(re.findall(r"`(taskflow(?:\.[a-z_]+)+)`", GUIDE))

    assert len(named) > 10
    groups = {name for name in named if plugs.known(name)}  # of entry points
    assert named - names.MODULES.keys() - names.PACKAGES - groups == set()
