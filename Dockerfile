# The version that the tests run on. Pin it by digest where images are mirrored: `docker buildx imagetools inspect`.
ARG PYTHON=python:3.11.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# For gunicorn_h1c alone, the request parser: it has no wheel.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/parley
WORKDIR /app
COPY requirements/run.txt requirements/speed.txt requirements/
RUN /opt/parley/bin/pip install --require-hashes --only-binary :all: -r requirements/run.txt \
 && /opt/parley/bin/pip install --require-hashes --no-deps --no-build-isolation -r requirements/speed.txt
COPY pyproject.toml README.md gunicorn.conf.py wsgi.py ./
COPY domain/ domain/
COPY application/ application/
COPY adapters/ adapters/
COPY api/ api/
COPY infrastructure/ infrastructure/
RUN /opt/parley/bin/pip install --no-deps --no-build-isolation --editable . \
 && /opt/parley/bin/python -m compileall -q /app

FROM ${PYTHON}
ENV PATH=/opt/parley/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PARLEY_BIND=0.0.0.0:8080 \
    PARLEY_HOME=/var/lib/parley
RUN groupadd --gid 10001 parley \
 && useradd --uid 10001 --gid parley --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin parley \
 && install --directory --owner parley --group parley --mode 0700 /var/lib/parley
COPY --from=build /opt/parley /opt/parley
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/parley
EXPOSE 8080
# gunicorn drains on SIGTERM; what runs it must wait for longer than that (stop_grace_period).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
ENTRYPOINT ["parley"]
CMD ["serve"]
