# The web server and the worker: one image, two commands (compose.yaml). Not built by the checks: see docs/operate.md.
FROM python:3.13-slim-bookworm AS packages
# requirements-local.lock brings the embedded engines, and with them espeak-ng (GPL-3.0).
ARG LOCK=requirements.lock
COPY requirements.lock requirements-local.lock /tmp/
RUN python -m venv /srv/venv \
    && /srv/venv/bin/python -m pip install --no-cache-dir --require-hashes --no-deps --requirement "/tmp/$LOCK" \
    && /srv/venv/bin/python -m pip check

FROM python:3.13-slim-bookworm
RUN useradd --system --create-home --home-dir /srv/earshot earshot \
    && mkdir /srv/earshot/media && chown earshot /srv/earshot/media
COPY --from=packages /srv/venv /srv/venv
WORKDIR /srv/earshot
COPY LICENSE manage.py ./
COPY accounts accounts
COPY config config
COPY core core
COPY datasets datasets
COPY evaluations evaluations
COPY gateway gateway
COPY providers providers
COPY templates templates
COPY voice voice
USER earshot
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--timeout-graceful-shutdown", "30", "--lifespan", "on", \
     "--ws-max-size", "22020096", "--ws-per-message-deflate", "false", \
     "--no-access-log", "--no-server-header", "--log-level", "warning"]
