"""What a provider may answer although no document says so; and nothing that is paid for is lost by it."""

import gzip
import json

import httpx2
import pytest
from django.core.files.base import ContentFile
from google.genai import errors

from evaluations.models import Batch, Result
from evaluations.services import collect, start_run
from providers.adapters.base import Instructions, ProviderError
from providers.adapters.gemini.answers import prompt_text
from providers.adapters.gemini.client import is_gone, provider_errors
from tests.evaluations.gemini import finish, make_audio_dataset

pytestmark = pytest.mark.django_db


def answer(text, **usage):
    parts = {"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}
    return {"candidates": [parts], "usageMetadata": {"promptTokenCount": 10, **usage}}


def collected(workspace, flash, *odd):
    """The results of a run of one sample after another, whose kept lines are `odd` responses (bytes: whole lines)."""
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=len(odd) + 1), models=[flash]))
    results = Result.objects.filter(run=run).order_by("pk")
    lines = [
        line if isinstance(line, bytes) else json.dumps({"key": str(result.pk), "response": line}).encode()
        for result, line in zip(results, [*odd, answer("the last one")], strict=True)
    ]
    batch = Batch.objects.get()
    batch.output.save("odd.jsonl.gz", ContentFile(gzip.compress(b"\n".join(lines))))
    results.update(status="failed", reason="internal_error", hypothesis="")
    collect(run=run)
    *others, last = results.all()
    assert last.hypothesis == "the last one"  # one line's oddity is no other line's
    batch.refresh_from_db()
    return others, batch.problems


def test_characters_that_no_database_stores_are_left_out(workspace, flash):
    [nul, half], _ = collected(workspace, flash, answer("a\0b"), answer("a\ud800b"))
    assert (nul.status, nul.hypothesis) == ("completed", "ab")
    assert (half.status, half.hypothesis) == ("completed", "a?b")


def test_answers_of_another_form_fail_alone(workspace, flash):
    deep = b'{"key": ' + b"[" * 100_000
    wrong = [{"candidates": {"text": "a"}}, {"candidates": ["a"]}, {"candidates": [{"content": {"parts": ["a"]}}]}]
    [nested, *others], problems = collected(workspace, flash, deep, *wrong)
    assert (nested.status, problems) == ("failed", {"bad_json": 1})
    assert {(result.status, result.reason) for result in others} == {("failed", "no_response")}


def test_counts_of_tokens_that_are_none_are_unknown(workspace, flash):
    odd = [answer("a", promptTokenCount=count) for count in ("many", -1, 10**30, None)]
    results, _ = collected(workspace, flash, *odd)
    said = {(result.status, result.input_tokens, result.cost_usd) for result in results}
    assert said == {("completed", None, None)}


@pytest.mark.parametrize("key", ["²", "9" * 30, "-1", "1e3", " 1"])
def test_keys_that_are_no_results_are_counted(workspace, flash, key):
    line = json.dumps({"key": key, "response": answer("whose?")}).encode()
    [unanswered], problems = collected(workspace, flash, line)
    assert (unanswered.status, problems) == ("failed", {"unknown_key": 1})


@pytest.mark.parametrize(
    "odd", ["null", "[]", '{"metadata": ["RUNNING"]}', '{"metadata": {"output": []}}', "[" * 100_000], ids=range(5)
)
def test_an_answer_of_another_form_is_asked_for_again(workspace, gemini, flash, odd):
    gemini.fault("batch_get", "garbage", message=odd, times=2)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash]))
    assert run.status == "completed"
    assert gemini.state()["faults"] == {"batch_get garbage": 2}


@pytest.mark.parametrize("odd", ['{"operations": [5]}', '{"operations": null}', '{"nextPageToken": "the same"}'])
def test_a_list_of_another_form_or_without_end_is_asked_for_again(workspace, gemini, flash, settings, odd):
    settings.PROVIDER_TIMEOUT_SECONDS = 1
    gemini.fault("batch_create", "drop", effect=True, times=1)
    gemini.fault("batch_list", "garbage", message=odd, times=2)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash]))
    assert run.status == "completed"
    assert len(gemini.state()["batches"]) == 1


def test_a_job_that_is_done_with_an_error_has_failed_whatever_its_state_is_called(workspace, gemini, flash):
    odd = {"name": "batches/x", "done": True, "metadata": {"state": "BATCH_STATE_" + "BROKEN" * 20}}
    odd["error"] = {"code": 13, "message": "out\0 of \ud800 order"}
    gemini.fault("batch_get", "garbage", message=json.dumps(odd))
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash]))
    result = Result.objects.get(run=run)
    assert (result.reason, result.error) == ("batch_failed", "The provider's batch failed: out of ? order.")


def test_a_refusal_with_characters_that_no_database_stores_is_told_without_them(workspace, gemini, flash):
    gemini.fault("batch_create", "status", status=400, message="refused\0 \ud800")
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash], mode="batch"))
    assert Result.objects.get(run=run).error == "400 INVALID_ARGUMENT: refused ?"


def test_an_answer_that_cannot_be_unpacked_may_be_another_one_next_time():
    with pytest.raises(ProviderError) as caught, provider_errors():
        raise httpx2.DecodingError("incorrect header")
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("code", "name"),
    [("gu", "Gujarati (gu)"), ("or-IN", "Odia (or-IN)"), ("en-IN", "English (en-IN)"), ("tlh", "tlh")],
)
def test_a_language_is_told_by_its_name_where_it_is_known(code, name):
    assert prompt_text(Instructions(code, "Transcribe.")) == f"Transcribe.\nThe language is {name}."


@pytest.mark.parametrize(("reason", "gone"), [("", True), ("SERVICE_DISABLED", False)])
def test_a_refused_key_is_not_taken_for_a_file_that_is_not_there(reason, gone):
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    body = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no", "details": details}}
    with pytest.raises(ProviderError) as caught, provider_errors():
        raise errors.ClientError(403, body)
    assert is_gone(caught.value) is gone
    assert caught.value.reason == ("request_refused" if gone else "invalid_credentials")
