"""Hypothesis profiles: how many examples property tests try on a developer's machine and in CI.

Neither profile has a deadline or a health check: both judge by time, and a busy machine fails them.
``HYPOTHESIS_PROFILE=ci`` selects a profile; the default is ``ci`` where ``CI=true``, else ``local``.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: Examples of a property test.
_EXAMPLES = {"local": 100, "ci": 400}
_SELECTED = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "local")


def load_profile() -> None:
    """Register the profiles and load the selected one."""
    for name, examples in _EXAMPLES.items():
        settings.register_profile(
            name, max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck)
        )
    settings.load_profile(_SELECTED)


def fewer_examples(share: float) -> settings:
    """Return settings with a share of the profile's examples, for tests whose examples are slow."""
    return settings(max_examples=max(1, round(_EXAMPLES[_SELECTED] * share)))
