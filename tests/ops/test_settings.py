"""What the site says of wrong settings, and whether it is ready."""

import runpy

import pytest
from django.contrib.staticfiles import finders
from django.core.checks import run_checks

import config


def test_a_site_without_a_secret_key_refuses_to_start(site):
    (site.folder / ".env").unlink()

    outcome = site.manage("check")

    assert outcome.returncode != 0
    assert "SECRET_KEY is not set" in outcome.stderr


def test_a_secret_key_is_made_once_and_only_its_owner_may_read_it(site):
    before = (site.folder / ".env").read_text()

    site.python("-m", "config.dotenv", check=True)

    assert (site.folder / ".env").read_text() == before
    assert (site.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert len(before) > 48


def test_a_retry_time_within_two_time_limits_is_refused(settings):
    settings.Q_TIMEOUT, settings.Q_RETRY = 600, 1200

    assert "earshot.E001" in [message.id for message in run_checks()]


def test_a_time_limit_shorter_than_a_slice_and_a_call_is_refused(settings):
    settings.Q_TIMEOUT = settings.SLICE_SECONDS + 10

    assert "earshot.E002" in [message.id for message in run_checks()]


def test_the_settings_as_they_ship_are_fine(db):
    assert run_checks() == []


def test_a_site_that_works_is_alive_and_ready(client, db):
    assert client.get("/healthz").content == b"ok\n"
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"database": "ok", "queue_age": 0, "storage": "ok"}


def test_a_site_whose_storage_does_not_answer_is_not_ready(client, db, settings, tmp_path):
    wall = tmp_path / "file"
    wall.write_text("in the way")
    settings.MEDIA_ROOT = wall / "media"

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["storage"]) == (503, "does not answer")


def test_a_site_whose_database_does_not_answer_is_alive_but_not_ready(site):
    ask = "from django.test import Client; print(*[Client().get(x, headers={'host': 'localhost'}).status_code for x in "

    outcome = site.manage(
        "shell", "-v0", "-c", ask + "['/healthz', '/readyz']])", DATABASE_URL="sqlite:////nowhere/site.sqlite3"
    )

    assert outcome.stdout == "200 503\n"


def test_the_pages_name_an_icon_that_is_there_also_where_browsers_look_by_themselves(client, db):
    assert '<link rel="icon" href="/static/earshot/favicon.svg"' in client.get("/admin/login/").content.decode()
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/static/earshot/favicon.svg")
    assert finders.find("earshot/favicon.svg")


def test_the_former_name_of_a_setting_still_works_and_warns(monkeypatch):
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE", "1")

    with pytest.warns(UserWarning, match="now called ALLOW_PRIVATE_ADDRESSES"):
        settings = runpy.run_path(f"{config.__path__[0]}/settings.py")

    assert settings["ALLOW_PRIVATE_ADDRESSES"] is True


def test_the_present_name_of_a_setting_counts_more_than_the_former_one(monkeypatch):
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE", "1")
    monkeypatch.setenv("ALLOW_PRIVATE_ADDRESSES", "0")

    with pytest.warns(UserWarning, match="Rename it"):
        settings = runpy.run_path(f"{config.__path__[0]}/settings.py")

    assert settings["ALLOW_PRIVATE_ADDRESSES"] is False
