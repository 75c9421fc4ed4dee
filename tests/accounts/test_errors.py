"""Every error of the REST API has the same shape; pages say what to do."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import path
from rest_framework.exceptions import Throttled
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from accounts.models import Role
from core.errors import AlreadyExists, Conflict, Forbidden, InvalidInput

RUNS = "/api/v1/runs/"


def problem_in(response, status):
    """The error of an answer, after checking that it has the shape that every error has."""
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.content)
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status
    assert problem["type"].startswith("urn:earshot:")
    assert problem["title"]
    assert problem["detail"]
    assert all(set(error) == {"field", "message"} for error in problem["errors"])
    return problem


def test_bad_fields_are_named_one_by_one(api):
    problem = problem_in(api.post(RUNS, {"dataset": "x", "models": []}), 400)
    assert {error["field"] for error in problem["errors"]} == {"dataset", "models"}
    assert "dataset: A valid integer is required." in problem["detail"]


def test_unknown_fields_are_refused_and_named(api):
    problem = problem_in(api.post(RUNS, {"dataset": 1, "models": ["a/b"], "callback_url": "http://x"}), 400)
    assert [error["field"] for error in problem["errors"]] == ["callback_url"]
    assert "Known: dataset" in problem["errors"][0]["message"]


@pytest.mark.parametrize("body", ['{"dataset": 1,', "not json", "[1, 2]", '"text"', "null", "\ufeff{}", "[" * 100000])
def test_a_malformed_body_is_a_400_and_no_crash(api, body):
    problem_in(api.post(RUNS, body, content_type="application/json"), 400)


def test_no_key_is_a_401(client, db):
    problem = problem_in(client.get(RUNS), 401)
    assert problem["detail"] == "Authentication credentials were not provided."


def test_a_role_that_may_not_is_a_403(api_as):
    problem = problem_in(api_as(Role.VIEWER).post(RUNS, {}), 403)
    assert problem["detail"] == "This takes the role evaluator in this workspace; yours is viewer."


@pytest.mark.parametrize(
    "address", [f"{RUNS}987654321/", f"{RUNS}99999999999999999999999/", f"{RUNS}x/", "/api/v1/no/"]
)
def test_what_does_not_exist_is_a_404(api, address):
    problem_in(api.get(address), 404)


def test_an_unknown_address_of_the_api_is_a_404_for_anybody(client, db):
    assert problem_in(client.get("/api/nothing"), 404)["detail"] == "There is nothing at /api/nothing."


def test_an_unknown_address_elsewhere_stays_a_page(client, db):
    response = client.get("/nothing")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_wrong_method_is_a_405_that_says_which_are_right(api):
    response = api.put(RUNS, {})
    problem_in(response, 405)
    assert "POST" in response.headers["Allow"]


def test_a_taken_name_is_a_409(api):
    assert api.post("/api/v1/datasets/", {"name": "calls", "task": "stt"}).status_code == 201
    problem_in(api.post("/api/v1/datasets/", {"name": "calls", "task": "stt"}), 409)


def test_an_unknown_content_type_is_a_415(api):
    problem_in(api.post(RUNS, "dataset: 1", content_type="application/yaml"), 415)


def test_too_many_requests_are_a_429_that_says_how_long_to_wait():
    class Busy(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request):
            raise Throttled(wait=7)

    response = Busy.as_view()(APIRequestFactory().get("/")).render()
    problem_in(response, 429)
    assert response.headers["Retry-After"] == "7"


class Broken(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        raise RuntimeError("secret detail")


class Refusing(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request, kind):
        raise REFUSED[kind]


REFUSED = {
    "input": InvalidInput("Too long."),
    "field": InvalidInput("Too long.", field="name"),
    "forbidden": Forbidden("Not you."),
    "conflict": Conflict("Still going on."),
    "exists": AlreadyExists("There is one.", field="name"),
}
urlpatterns = [path("api/v1/broken/", Broken.as_view()), path("api/v1/refusing/<kind>/", Refusing.as_view())]
handler404 = "core.api.errors.not_found"
handler500 = "core.api.errors.server_error"


@pytest.mark.urls(__name__)
def test_a_failure_of_the_site_itself_says_nothing_of_its_inside(db):
    client = APIClient(raise_request_exception=False)
    problem = problem_in(client.get("/api/v1/broken/"), 500)
    assert "secret" not in json.dumps(problem)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("kind", "status", "code", "detail", "errors"),
    [
        ("input", 400, "invalid", "Too long.", [{"field": "", "message": "Too long."}]),
        ("field", 400, "invalid", "name: Too long.", [{"field": "name", "message": "Too long."}]),
        ("forbidden", 403, "permission_denied", "Not you.", []),
        ("conflict", 409, "conflict", "Still going on.", []),
        ("exists", 409, "invalid", "name: There is one.", [{"field": "name", "message": "There is one."}]),
    ],
)
def test_what_a_service_refuses_says_its_kind_and_its_field(db, kind, status, code, detail, errors):
    problem = problem_in(APIClient().get(f"/api/v1/refusing/{kind}/"), status)
    assert (problem["type"], problem["detail"], problem["errors"]) == (f"urn:earshot:{code}", detail, errors)


@pytest.mark.parametrize("query", ["search=%00", "status=nothing", "dataset=x", "ordering=nothing", "cursor=%ff"])
def test_a_bad_question_is_never_a_crash(api, query):
    assert api.get(f"{RUNS}?{query}").status_code in (200, 400, 404)


@pytest.mark.parametrize("accept", ["audio/wav", "text/event-stream", "text/html", "application/xml"])
def test_errors_are_json_whatever_the_client_would_rather_have(api, accept):
    problem_in(api.get(f"{RUNS}987654321/", headers={"Accept": accept}), 404)


def test_a_form_where_json_is_wanted_is_a_415(api):
    file = SimpleUploadedFile("x.wav", b"RIFF")
    problem_in(api.post(RUNS, {"dataset": file}, format="multipart"), 415)


def test_pages_that_are_refused_or_missing_say_what_to_do(client, make_member):
    client.force_login(make_member(Role.VIEWER))
    refused = client.get("/admin/evaluations/run/start/")
    assert refused.status_code == 403
    assert "Ask an owner of the workspace for another role" in refused.content.decode()
    missing = client.get("/nothing")
    assert missing.status_code == 404
    assert "There is nothing here." in missing.content.decode()
