"""The demonstration as its user sees it: killed in the middle, done again, looked at, stopped, and done once more."""

import re
import signal

import httpx
import pytest

from tests.ops.conftest import Site, living, new_database
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

TABLES = [
    "accounts_user",
    "accounts_workspace",
    "datasets_audio",
    "datasets_dataset",
    "datasets_sample",
    "evaluations_job",
    "evaluations_result",
    "evaluations_run",
    "evaluations_score",
    "providers_speechmodel",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    yield from living(Site(folder, new_database(folder)))


@pytest.fixture(scope="module")
def demo(site):
    """The process of a demonstration that has come to its end and serves; the one before was killed half-way."""
    killed = site.start("demo", "--port", str(site.port))
    wait_for(lambda: results(site, "completed") >= 3, seconds=300)
    killed.kill()
    killed.wait()
    wait_for(lambda: site.processes() == {})
    site.log.unlink()

    demo = site.start("demo", "--port", str(site.port))
    wait_for(lambda: "Ctrl-C" in site.log.read_text() or demo.poll() is not None, seconds=600)
    return demo


def results(site, status):
    try:
        return site.rows(f"SELECT count(*) FROM evaluations_result WHERE status = '{status}'")[0][0]
    except Exception:  # before the tables are made
        return 0


def counts(site):
    return {table: site.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def password_in(text):
    return re.search(r"^Password +(\S+)$", text, re.MULTILINE)[1]


def leaderboard_in(text):
    """The lines of the models."""
    return re.findall(r"^local/.*$", text, re.MULTILINE)


def test_a_demonstration_that_was_killed_goes_on_to_its_end(site, demo):
    assert demo.poll() is None, site.log.read_text()
    samples = counts(site)["datasets_sample"]
    assert samples >= 24
    assert counts(site)["evaluations_run"] == 1
    assert results(site, "completed") == counts(site)["evaluations_score"] == 2 * samples


def test_it_shows_progress_with_the_time_that_is_left(site, demo):
    assert re.search(r"\d+ of \d+ \(\d+%\).*about \d+:\d\d left", site.log.read_text())


def test_it_prints_a_leaderboard_in_which_the_models_differ(site, demo):
    [accurate, fast] = leaderboard_in(site.log.read_text())

    assert accurate.startswith("local/pocketsphinx ")
    assert fast.startswith("local/pocketsphinx-fast ")
    rates = [float(re.search(r"([\d.]+) %", line)[1]) for line in (accurate, fast)]
    assert 5 < rates[0] < rates[1] < 70


def test_the_address_user_and_password_that_it_prints_open_the_admin(site, demo):
    printed = site.log.read_text()
    address = re.search(r"^Admin +(\S+)$", printed, re.MULTILINE)[1]
    with httpx.Client(follow_redirects=True) as client:
        form = client.get(address)
        signed_in = client.post(
            form.url,
            data={
                "username": re.search(r"^User +(\S+)$", printed, re.MULTILINE)[1],
                "password": password_in(printed),
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
            },
            headers={"Referer": str(form.url)},
        )

    assert signed_in.status_code == 200
    assert "Demonstration" in signed_in.text


def test_the_dataset_has_several_voices_and_speeds_and_some_noise(site, demo):
    tags = str(site.rows("SELECT tags FROM datasets_sample"))

    for tag in ["en-us", "en-us+Reed", "en-us+f5", "130 wpm", "190 wpm", "25 dB", "30 dB"]:
        assert tag in tags


def test_interrupting_it_stops_every_process_and_doing_it_again_adds_nothing(site, demo):
    before, first = counts(site), site.log.read_text()

    demo.send_signal(signal.SIGINT)

    assert demo.wait(120) == 0
    assert site.processes() == {}

    site.log.unlink()
    again = site.start("demo", "--port", str(site.port))
    wait_for(lambda: "Ctrl-C" in site.log.read_text() or again.poll() is not None)
    second = site.log.read_text()
    assert counts(site) == before
    assert password_in(second) == password_in(first)
    assert leaderboard_in(second) == leaderboard_in(first)
    assert (site.folder / ".env").stat().st_mode & 0o777 == 0o600


def test_it_can_end_after_the_leaderboard(site, demo):
    outcome = site.manage("demo", "--no-serve")

    assert outcome.returncode == 0
    assert len(leaderboard_in(outcome.stdout)) == 2
    assert "Password" not in outcome.stdout
