"""What runs when: `.ci/run` tests on SQLite what is not marked `once`, and on PostgreSQL what is not marked `default`;
`make test` runs everything."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
# These have a database, and show the same on each; what has none is found below.
ONCE = (
    "browser",
    "gateway/test_openai_node_sdk.py",
    "gateway/test_openai_python_sdk.py",
    "voice/clients",
    "voice/test_talk_page.py",
)
DEFAULT = ("ops/test_demo.py",)
DATABASES = {"django_db_setup", "site", "bare_site"}  # the fixtures that all databases of tests come from


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: tests that start processes wait more than they compute."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what runs once, and let files with slow tests begin first: each runs in one worker to its end."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        if path.startswith(DEFAULT):
            item.add_marker("default")
        elif path.startswith(ONCE) or not _has_database(item):
            item.add_marker("once")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _has_database(item):
    return item.get_closest_marker("django_db") is not None or not DATABASES.isdisjoint(item.fixturenames)
