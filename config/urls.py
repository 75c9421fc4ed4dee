"""The addresses of the site, except the gateway's (`config/asgi.py`)."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.templatetags.static import static
from django.urls import include, path, re_path, reverse
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.password_links import PasswordLinkView
from config import health

api = [
    path("", include("accounts.api.urls")),
    path("", include("datasets.api.urls")),
    path("", include("providers.api.urls")),
    path("", include("evaluations.api.urls")),
    path("", include("gateway.api.urls")),
    path("", include("voice.api.urls")),
]
docs = [
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]


def redirect_to_voice(request: HttpRequest, model: str, rest: str) -> HttpResponse:
    """Redirect admin pages of voice, which were below `admin/gateway/`, to `admin/voice/`."""
    query = f"?{request.META['QUERY_STRING']}" if request.META["QUERY_STRING"] else ""
    return HttpResponsePermanentRedirect(f"{reverse('admin:index')}voice/{model}/{rest}{query}")


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=static(settings.FAVICON))),
    re_path(r"^admin/gateway/(voicepipeline|realtimesession)/(.*)$", redirect_to_voice),  # old links
    path("admin/password/<uidb64>/<token>/", PasswordLinkView.as_view(), name="password_link"),
    path("admin/", admin.site.urls),
    path("api/v1/", include(api)),
    *(docs if settings.API_DOCS else []),
    path("healthz", health.alive),
    path("readyz", health.ready),
]

handler400 = "core.api.errors.bad_request"
handler404 = "core.api.errors.not_found"
handler500 = "core.api.errors.server_error"
