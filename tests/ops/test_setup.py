"""Setting a site up, and asking what is wrong with it."""

import pytest

from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def counts(site):
    tables = [
        "accounts_user",
        "accounts_workspace",
        "accounts_membership",
        "providers_provider",
        "providers_speechmodel",
    ]
    return {table: site.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def test_setting_up_again_changes_nothing(bare_site):
    first = bare_site.manage("setup", "--admin-password", "correct horse battery")
    before = counts(bare_site)
    password = bare_site.rows("SELECT password FROM accounts_user")

    second = bare_site.manage("setup")

    assert (first.returncode, second.returncode) == (0, 0)
    assert counts(bare_site) == before
    assert before["accounts_user"] == before["accounts_workspace"] == 1
    assert before["providers_speechmodel"] >= 3
    assert bare_site.rows("SELECT password FROM accounts_user") == password


def test_setup_prints_a_new_api_key_as_its_last_line(site):
    outcome = site.manage("setup", "--api-key")

    key = outcome.stdout.splitlines()[-1]
    assert site.rows("SELECT prefix FROM accounts_apikey") == [(key[:8],)]
    assert key not in str(site.rows("SELECT * FROM accounts_apikey"))


def test_the_key_that_setup_makes_has_the_role_that_was_asked_for(site):
    site.manage("setup", "--api-key", check=True)
    site.manage("setup", "--api-key", "--role", "owner", check=True)
    without_a_key = site.manage("setup", "--role", "owner")

    assert [role for (role,) in site.rows("SELECT role FROM accounts_apikey ORDER BY id")] == ["evaluator", "owner"]
    assert without_a_key.returncode == 1
    assert "give --api-key, too" in without_a_key.stderr


def test_setup_says_how_to_give_the_admin_a_password(bare_site):
    outcome = bare_site.manage("setup")

    assert "manage.py changepassword admin" in outcome.stdout


def test_the_doctor_finds_a_working_site_well(site):
    site.start("watchdog", SWEEP_SECONDS="1")
    wait_for(lambda: site.rows("SELECT * FROM evaluations_timer"))

    outcome = site.manage("doctor")

    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert [line.split()[:2] for line in outcome.stdout.splitlines()] == [
        ["ok", part] for part in ["settings", "database", "queue", "storage", "providers", "remote"]
    ]


def test_the_doctor_says_what_to_do_about_each_fault(bare_site, tmp_path):
    wall = tmp_path / "file"
    wall.write_text("in the way of a folder")

    outcome = bare_site.manage("doctor", MEDIA_ROOT=str(wall), Q_RETRY="700")

    assert outcome.returncode == 1
    said = {line.split()[1]: line for line in outcome.stdout.splitlines() if line.startswith("FAULT")}
    assert "Raise Q_RETRY" in said["settings"]
    assert "manage.py setup" in said["database"]
    assert "MEDIA_ROOT" in said["storage"]


def test_the_doctor_sees_that_no_worker_runs(site):
    outcome = site.manage("doctor")

    assert outcome.returncode == 1
    assert "no worker is running. Start one: manage.py watchdog" in outcome.stdout


def test_the_doctor_leaves_no_file_behind(site):
    site.manage("doctor")

    left = [path for path in (site.folder / "media").rglob("*") if path.is_file()]
    assert left == []
