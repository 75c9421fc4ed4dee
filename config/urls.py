"""Every address of the site."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import health

api = [
    path("", include("accounts.api.urls")),
    path("", include("datasets.api.urls")),
    path("", include("providers.api.urls")),
    path("", include("evaluations.api.urls")),
    path("", include("gateway.api.urls")),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=static(settings.FAVICON))),
    path("admin/", admin.site.urls),
    path("api/v1/", include(api)),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("healthz", health.alive),
    path("readyz", health.ready),
]

handler404 = "accounts.api.errors.not_found"
handler500 = "accounts.api.errors.server_error"
