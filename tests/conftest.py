"""What every test shares: how much Hypothesis tries, and that a failing example can be run again."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: a test that starts a daemon or shares two cores with another worker is slow now and then.
settings.register_profile("default", deadline=None, print_blob=True)
# CI tries more, with fresh random examples each time; the blob that it prints runs the failing one again anywhere.
settings.register_profile(
    "ci",
    deadline=None,
    print_blob=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")
