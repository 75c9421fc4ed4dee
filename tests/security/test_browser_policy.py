"""What browsers are told to refuse."""

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from accounts.models import Role
from config import urls
from config.asgi import application

ROOT = Path(settings.BASE_DIR)
HEADER = "Content-Security-Policy"
INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")|<[^>]*\son[a-z]+\s*=|javascript:", re.IGNORECASE
)
PAGES = [
    "/admin/",
    "/admin/datasets/dataset/",
    "/admin/datasets/dataset/add/",
    "/admin/evaluations/run/",
    "/admin/evaluations/run/start/",
    "/admin/providers/provider/add/",
    "/admin/gateway/usagerecord/summary/",
    "/admin/accounts/membership/",
    "/admin/accounts/apikey/add/",
    "/admin/voice/voicepipeline/talk/",
    "/admin/password_change/",
    "/api/docs/",
]


def policy_of(response):
    """{directive: its sources}"""
    return {each.split()[0]: each.split()[1:] for each in response.headers[HEADER].split(";")}


@pytest.fixture
def as_owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


@pytest.mark.parametrize("page", PAGES)
def test_pages_run_scripts_of_files_alone_and_hold_no_other(as_owner, page):
    response = as_owner.get(page)
    assert response.status_code == 200
    policy = policy_of(response)
    assert policy["script-src"] == (["'self'", "'unsafe-eval'"] if page.startswith("/admin/") else ["'self'"])
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["default-src"] == policy["form-action"] == ["'self'"]
    assert INLINE.search(response.content.decode()) is None


def test_the_page_of_a_new_key_holds_no_script(as_owner):
    response = as_owner.post("/admin/accounts/apikey/add/", {"name": "ci", "role": Role.VIEWER})
    assert "ek-" in response.content.decode()
    assert INLINE.search(response.content.decode()) is None


def test_no_template_holds_a_script(subtests):
    for template in [*ROOT.glob("templates/**/*.html")]:
        with subtests.test(template=str(template.relative_to(ROOT))):
            assert INLINE.search(template.read_text()) is None


@pytest.mark.parametrize("page", ["/admin/login/", "/nowhere/"])
def test_who_is_not_signed_in_gets_the_policy_too(client, db, page):
    assert "script-src" in policy_of(client.get(page))


@pytest.mark.parametrize("address", ["/api/v1/runs/", "/healthz", "/api/schema/"])
def test_what_is_no_page_may_load_nothing(api, address):
    assert policy_of(api.get(address)) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}


def test_audio_of_a_bucket_may_be_played(as_owner, settings):
    settings.AUDIO_ORIGINS = ["https://audio.example.org"]
    assert policy_of(as_owner.get("/admin/"))["media-src"] == ["'self'", "https://audio.example.org"]


@pytest.mark.parametrize(
    ("environment", "origins"),
    [
        ({}, []),
        ({"AWS_STORAGE_BUCKET_NAME": "audio"}, ["https://*.amazonaws.com"]),
        (
            {"AWS_STORAGE_BUCKET_NAME": "audio", "AWS_S3_ENDPOINT_URL": "http://minio:9000/x"},
            ["http://minio:9000", "http://*.minio:9000"],
        ),
    ],
)
def test_where_a_bucket_is_comes_from_its_settings(environment, origins):
    assert site_settings(environment)["AUDIO_ORIGINS"] == origins


def test_only_the_talk_page_may_ask_for_the_microphone(as_owner):
    assert "microphone=(self)" in as_owner.get("/admin/voice/voicepipeline/talk/").headers["Permissions-Policy"]
    for page in ("/admin/", "/admin/login/", "/api/docs/"):
        said = as_owner.get(page).headers["Permissions-Policy"]
        assert {"microphone=()", "camera=()", "geolocation=()"} <= set(said.split(", "))


@pytest.mark.parametrize("path", ["/v1", "/v1/nowhere"])
def test_the_gateway_forbids_to_guess_types(path):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    asyncio.run(application({**scope, "headers": [], "client": ("127.0.0.1", 1)}, receive, send))
    assert sent[0]["status"] == 404
    assert (b"x-content-type-options", b"nosniff") in sent[0]["headers"]


def test_rest_forbids_to_guess_types(api):
    assert api.get("/api/v1/runs/").headers["X-Content-Type-Options"] == "nosniff"


def site_settings(environment):
    """What the site's settings come to with these environment variables."""
    names = ["AUDIO_ORIGINS", "SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD"]
    show = f"import json, config.settings as s; print(json.dumps({{name: getattr(s, name) for name in {names}}}))"
    clean = {"PATH": os.environ["PATH"], "SECRET_KEY": "for tests", "ENV_FILE": os.devnull}
    output = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, env=clean | environment, capture_output=True, check=True
    )
    return json.loads(output.stdout)


def test_hsts_reaches_further_than_the_site_only_where_asked():
    usual = site_settings({"HTTPS": "1"})
    assert usual["SECURE_HSTS_SECONDS"] > 0
    assert not usual["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert not usual["SECURE_HSTS_PRELOAD"]
    asked = site_settings({"HTTPS": "1", "HSTS_SUBDOMAINS": "1", "HSTS_PRELOAD": "1"})
    assert asked["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert asked["SECURE_HSTS_PRELOAD"]


def test_the_documentation_of_the_api_can_be_switched_off(settings):
    settings.API_DOCS = False
    try:
        named = {getattr(pattern, "name", None) for pattern in importlib.reload(urls).urlpatterns}
        assert not named & {"schema", "docs"}
    finally:
        settings.API_DOCS = True
        importlib.reload(urls)
