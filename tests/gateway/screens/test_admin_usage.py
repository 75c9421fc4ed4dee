"""What the admin shows of usage."""

from decimal import Decimal

import pytest

from accounts.models import Role

LIST = "/admin/gateway/usagerecord/"
SUMMARY = "/admin/gateway/usagerecord/summary/"
EXPORT = "/admin/gateway/usagerecord/export/"


def page(client, address, **query):
    response = client.get(address, query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_list_says_what_each_call_came_to(as_evaluator, use):
    use("req-good", model_name="whisper-1")
    use("req-bad", result="failed", status=502, reason="server_error", cost_usd=None, served_by="", audio_seconds=None)
    shown = page(as_evaluator, LIST)
    assert "whisper-1" in shown
    assert "by acme/ears" in shown
    assert "$0.10" in shown
    assert "502 server_error" in shown
    assert "unknown" in shown


@pytest.mark.parametrize("address", [LIST, SUMMARY, EXPORT])
def test_usage_is_for_evaluators_and_owners(client, make_member, address):
    client.force_login(make_member(Role.REVIEWER))
    assert client.get(address).status_code == 403


def test_a_call_is_found_by_its_whole_request_id(as_evaluator, use):
    use("req-1")
    use("req-12")
    shown = page(as_evaluator, LIST, q="req-1")
    assert "req-1<" in shown
    assert "req-12" not in shown


def test_the_list_is_narrowed_by_month_key_model_endpoint_and_result(as_evaluator, use, ears, key, last_month):
    use("this-month")
    use("other-key", api_key=None, key_name="")
    use("other-model", model=None, served_by="")
    use("spoken", endpoint="speech")
    use("went-wrong", result="failed")
    use("last-month", created_at=last_month)
    names = ["this-month", "other-key", "other-model", "spoken", "went-wrong", "last-month"]
    for query, missing in [
        ({"month": f"{last_month:%Y-%m}"}, set(names) - {"last-month"}),
        ({"key": key.pk}, {"other-key"}),
        ({"model": ears.pk}, {"other-model"}),
        ({"endpoint__exact": "speech"}, set(names) - {"spoken"}),
        ({"result__exact": "failed"}, set(names) - {"went-wrong"}),
    ]:
        shown = page(as_evaluator, LIST, **query)
        assert {name for name in names if name not in shown} == missing


def test_the_calls_that_the_list_shows_can_be_downloaded(as_evaluator, use, last_month):
    use("this-month")
    use("last-month", created_at=last_month)
    query = f"?month={last_month:%Y-%m}"
    assert f'href="{EXPORT}{query}"' in as_evaluator.get(LIST + query).content.decode()
    response = as_evaluator.get(EXPORT + query)
    assert "attachment" in response.headers["Content-Disposition"]
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert len(lines) == 2
    assert "last-month" in lines[1]
    assert as_evaluator.get(f"{EXPORT}?p=99").status_code == 302


def test_a_record_cannot_be_changed_added_or_deleted(as_owner, use):
    record = use("req-1")
    assert "req-1" in page(as_owner, f"{LIST}{record.pk}/change/")
    assert as_owner.post(f"{LIST}{record.pk}/change/", {"model_name": "x"}).status_code == 403
    assert as_owner.post(f"{LIST}{record.pk}/delete/", {"post": "yes"}).status_code == 403
    assert as_owner.get(f"{LIST}add/").status_code == 403


def test_the_summary_adds_up_the_month(as_evaluator, use, last_month):
    use("a")
    use("b", audio_seconds=120.0)
    use("c", result="failed", cost_usd=None, served_by="", model=None, audio_seconds=None)
    use("d", created_at=last_month, cost_usd=50)
    response = as_evaluator.get(SUMMARY)
    total = response.context["total"]
    assert (total.calls, total.failed, total.unknown, total.audio_seconds) == (3, 1, 1, 180.0)
    shown = response.content.decode()
    assert "$0.20" in shown
    assert "and 1 call of unknown cost" in shown
    assert "$50.00" in page(as_evaluator, SUMMARY, month=f"{last_month:%Y-%m}")


def test_the_summary_draws_a_chart_of_every_day_by_model(as_evaluator, use):
    use("a")
    (calls, *_) = as_evaluator.get(SUMMARY).context["charts"]
    (series,) = calls.series
    assert (series.name, sum(series.values), len(series.values)) == ("acme/ears", 1, len(calls.days))
    assert calls.days[0].day == 1


def test_a_chart_draws_many_models_as_the_largest_and_the_others(as_evaluator, use):
    for number in range(8):
        for call in range(number + 1):
            use(f"req-{number}-{call}", served_by=f"acme/model-{number}")
    (calls, *_) = as_evaluator.get(SUMMARY).context["charts"]
    assert [series.name for series in calls.series] == [
        *(f"acme/model-{number}" for number in (7, 6, 5, 4, 3)),
        "others",
    ]
    assert calls.series[-1].total == 1 + 2 + 3


def test_a_model_has_the_same_colour_in_every_chart(as_evaluator, use):
    for number in range(3):
        use(f"cheap-{number}", served_by="acme/cheap", cost_usd=Decimal("0.01"))
    use("dear", served_by="acme/dear", cost_usd=Decimal(1))
    charts = {chart.title: chart.series for chart in as_evaluator.get(SUMMARY).context["charts"]}
    calls, dollars = charts["Calls a day, by model"], charts["US dollars a day, by model"]
    assert [series.name for series in calls] == ["acme/cheap", "acme/dear"]
    assert [series.name for series in dollars] == ["acme/dear", "acme/cheap"]
    assert {series.name: series.color for series in calls} == {series.name: series.color for series in dollars}
    assert calls[0].color != calls[1].color


def test_the_summary_is_narrowed_to_a_key_or_a_model(as_evaluator, use, key, ears):
    use("a")
    use("b", api_key=None, key_name="", model=None, served_by="")
    for query in ({"key": key.pk}, {"model": ears.pk}):
        assert as_evaluator.get(SUMMARY, query).context["total"].calls == 1
    assert as_evaluator.get(SUMMARY).context["total"].calls == 2


@pytest.mark.parametrize(
    "query",
    [{"month": "2026"}, {"month": "x"}, {"month": "9999-12"}, {"key": "x"}, {"model": "987654321"}, {"key": "²"}],
)
def test_a_summary_of_nonsense_is_the_whole_months(as_evaluator, use, query):
    use("a")
    assert as_evaluator.get(SUMMARY, query).context["total"].calls == 1


def test_the_summary_shows_nothing_of_another_tenant(as_evaluator, use, other_workspace):
    use("theirs", workspace=other_workspace, key_name="rivalmark", served_by="rivalmark/ears", api_key=None)
    shown = page(as_evaluator, SUMMARY)
    assert "rivalmark" not in shown
    assert "No calls." in shown
