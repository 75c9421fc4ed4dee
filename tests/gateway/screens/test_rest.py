"""Usage, budgets and aliases over REST."""

import csv
import io
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from accounts.models import Role
from accounts.services import create_api_key
from gateway.models import Budget, ModelAlias, UsageRecord

USAGE, SUMMARY, EXPORT = "/api/v1/usage/", "/api/v1/usage/summary/", "/api/v1/usage/export/"
BUDGETS, ALIASES = "/api/v1/budgets/", "/api/v1/aliases/"


@pytest.fixture
def owner(api_as):
    return api_as(Role.OWNER)


def names(response):
    assert response.status_code == 200, response.content
    return [record["request_id"] for record in response.json()["results"]]


def test_usage_is_listed_the_newest_first_page_by_page(api, use):
    for number in range(5):
        use(f"req-{number}")
    first = api.get(USAGE, {"page_size": 3})
    assert names(first) == ["req-4", "req-3", "req-2"]
    assert names(api.get(first.json()["next"])) == ["req-1", "req-0"]


def test_usage_says_all_there_is_to_a_call(api, use, key):
    use("req-1", model_name="fast")
    (record,) = api.get(USAGE).json()["results"]
    assert (record["api_key"], record["key_name"], record["model_name"]) == (key.pk, "website", "fast")
    assert (record["served_by"], record["cost_usd"], record["audio_seconds"]) == ("acme/ears", "0.10000000", 60.0)


def test_usage_is_narrowed(api, use, key, last_month):
    use("plain")
    use("signed-in", api_key=None, key_name="")
    use("alias", model_name="fast")
    use("spoken", endpoint="speech", result="failed")
    use("turn", session_id=7)
    use("old", created_at=last_month)
    for query, found in [
        ({"key": key.pk}, ["old", "turn", "spoken", "alias", "plain"]),
        ({"model": "fast"}, ["alias"]),
        ({"endpoint": "speech"}, ["spoken"]),
        ({"result": "failed"}, ["spoken"]),
        ({"session": 7}, ["turn"]),
        ({"request_id": "plain"}, ["plain"]),
        ({"month": f"{last_month:%Y-%m}"}, ["old"]),
        ({"before": f"{last_month:%Y-%m-%d}T23:59:59Z"}, ["old"]),
    ]:
        assert names(api.get(USAGE, query)) == found


@pytest.mark.parametrize(
    "query",
    [
        *({"month": "November"}, {"month": "9999-12"}, {"endpoint": "video"}),
        *({"key": "x"}, {"key": 10**30}, {"after": "yesterday"}),
    ],
)
def test_a_filter_that_cannot_be_understood_is_refused(api, query):
    response = api.get(USAGE, query)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == next(iter(query))


@pytest.mark.parametrize("address", [USAGE, SUMMARY, EXPORT, BUDGETS])
def test_what_is_spent_is_for_evaluators_and_owners(api_as, address):
    assert api_as(Role.REVIEWER).get(address).status_code == 403


def test_a_summary_adds_up_by_day_model_and_key(api, use, key, last_month):
    use("a")
    use("b", result="failed", cost_usd=None, served_by="", api_key=None, key_name="", latency=None)
    use("c", created_at=last_month)
    by_day = api.get(SUMMARY).json()
    assert (by_day["by"], by_day["month"]) == ("day", f"{timezone.now():%Y-%m}")
    (today,) = by_day["results"]
    assert today["name"] == f"{timezone.now():%Y-%m-%d}"
    sums = (today["calls"], today["failed"], today["unknown"], today["cost_usd"], today["mean_latency"])
    assert sums == (2, 1, 1, "0.10000000", 0.5)
    by_model = api.get(SUMMARY, {"by": "model"}).json()["results"]
    assert [(line["name"], line["calls"]) for line in by_model] == [("", 1), ("acme/ears", 1)]
    by_key = api.get(SUMMARY, {"by": "key"}).json()["results"]
    assert {(line["key_id"], line["name"]) for line in by_key} == {(None, ""), (key.pk, "website")}
    old = api.get(SUMMARY, {"month": f"{last_month:%Y-%m}", "model": "acme/ears"}).json()["results"]
    assert [line["calls"] for line in old] == [1]


def test_a_summary_by_anything_else_is_refused(api):
    response = api.get(SUMMARY, {"by": "colour"})
    assert response.status_code == 400
    assert response.json()["errors"] == [{"field": "by", "message": "One of: day, model, key."}]


def lines_of(response):
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response.headers["Content-Disposition"]
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_usage_is_exported_whole_oldest_first_with_all_that_the_list_says(api, use):
    first = use("req-0", key_name="=cmd()", cost_usd="0.0000001")
    shared = {field.attname: getattr(first, field.attname) for field in UsageRecord._meta.concrete_fields}
    more = [shared | {"id": None, "request_id": f"req-{number}", "cost_usd": None} for number in range(1, 1200)]
    UsageRecord.objects.bulk_create(UsageRecord(**values) for values in more)
    lines = lines_of(api.get(EXPORT))
    assert [line["request_id"] for line in lines] == [f"req-{number}" for number in range(1200)]
    assert lines[0].keys() == api.get(USAGE).json()["results"][0].keys()
    assert (lines[0]["cost_usd"], lines[1]["cost_usd"]) == ("0.00000010", "")
    assert lines[0]["key_name"] == "'=cmd()"  # or a spreadsheet would run it
    assert datetime.fromisoformat(lines[0]["created_at"]).tzinfo == UTC


def test_an_export_is_narrowed_as_the_list_is(api, use, last_month):
    use("new")
    use("old", created_at=last_month)
    assert [line["request_id"] for line in lines_of(api.get(EXPORT, {"month": f"{last_month:%Y-%m}"}))] == ["old"]
    assert lines_of(api.get(EXPORT, {"result": "failed"})) == []
    assert api.get(EXPORT, {"month": "November"}).status_code == 400


# --- Budgets --------------------------------------------------------------------------------------


def test_an_owner_makes_changes_and_removes_a_budget(owner, key, spend):
    made = owner.post(BUDGETS, {"api_key": key.pk, "monthly_usd": "5.00"})
    assert made.status_code == 201
    spend("1.25", api_key=key)
    shown = owner.get(made.headers["Location"]).json()
    assert (shown["key_name"], shown["monthly_usd"], shown["spent_usd"]) == ("website", "5.00", "1.25000000")
    assert owner.patch(made.headers["Location"], {"monthly_usd": "7"}).json()["monthly_usd"] == "7.00"
    assert owner.delete(made.headers["Location"]).status_code == 204
    assert not Budget.objects.exists()


def test_a_second_budget_is_a_conflict(owner):
    assert owner.post(BUDGETS, {"monthly_usd": 5}).status_code == 201
    response = owner.post(BUDGETS, {"monthly_usd": 5})
    assert response.status_code == 409
    assert response.json()["detail"] == "api_key: The workspace has a budget already: change that one."


def test_another_workspaces_key_is_unknown_to_budgets(owner, other_workspace):
    theirs, _ = create_api_key(workspace=other_workspace, name="theirs")
    for pk in (theirs.pk, 987654321):
        response = owner.post(BUDGETS, {"api_key": pk, "monthly_usd": 1})
        assert response.status_code == 400
        assert response.json()["detail"] == f'api_key: Invalid pk "{pk}" - object does not exist.'


def test_an_evaluator_reads_budgets_and_changes_none(api, workspace):
    budget = Budget.objects.create(workspace=workspace, monthly_usd=1)
    assert api.get(BUDGETS).json()["results"][0]["id"] == budget.pk
    assert api.post(BUDGETS, {"monthly_usd": 5}).status_code == 403
    assert api.patch(f"{BUDGETS}{budget.pk}/", {"monthly_usd": 5}).status_code == 403


# --- Aliases --------------------------------------------------------------------------------------


def test_an_owner_makes_and_changes_an_alias(owner, make_model, ears):
    make_model("local/spare", speech_to_text=True)
    targets = [{"model": "local/spare"}, {"model": "acme/ears", "weight": 3}]
    made = owner.post(ALIASES, {"name": "whisper-1", "strategy": "weighted", "targets": targets})
    assert made.status_code == 201
    assert made.json()["targets"] == [{"model": "local/spare", "weight": 1}, {"model": "acme/ears", "weight": 3}]
    changed = owner.patch(made.headers["Location"], {"targets": [{"model": "acme/ears"}]}).json()
    assert (changed["strategy"], changed["targets"]) == ("weighted", [{"model": "acme/ears", "weight": 1}])
    assert owner.patch(made.headers["Location"], {"name": "ears"}).json()["targets"] == changed["targets"]
    assert owner.delete(made.headers["Location"]).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "targets": []}, "targets"),
        ({"name": "x", "targets": [{"model": "acme/ears"}, {"model": "acme/voice"}]}, "targets"),
        ({"name": "x", "targets": [{"model": "acme/ears"}, {"model": "acme/ears"}]}, "targets"),
        ({"name": "x", "targets": [{"model": "rival/ears"}]}, "targets"),
        ({"name": "a/b", "targets": [{"model": "acme/ears"}]}, "name"),
        ({"name": "x"}, "targets"),
        ({"name": "x", "targets": [{"weight": 2}]}, "targets.0.model"),
    ],
)
def test_an_alias_that_cannot_work_is_refused(owner, make_model, other_workspace, ears, body, field):
    make_model("acme/voice", text_to_speech=True)
    make_model("rival/ears", workspace=other_workspace, speech_to_text=True)
    response = owner.post(ALIASES, body)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == field
    assert not ModelAlias.objects.exists()


def test_an_alias_name_that_is_taken_is_a_conflict(owner, ears):
    body = {"name": "x", "targets": [{"model": "acme/ears"}]}
    assert [owner.post(ALIASES, body).status_code for _ in range(2)] == [201, 409]
