# Two images: `site` (web server, workers, management commands), and `trainer`, which adds TensorFlow.
#
#   docker build --target site --tag digits .
#   docker build --target trainer --tag digits-trainer .
#
# compose.yaml starts all services; docs/how-to/ describes operation and maintenance.

ARG PYTHON=3.13-slim-trixie

# --- Packages: wheels only, so that no compiler is needed ------------------------------------------------------------
FROM python:${PYTHON} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
RUN python -m venv /venv
COPY deploy/locks/serve.txt /tmp/
RUN /venv/bin/pip install -r /tmp/serve.txt && /venv/bin/python -m compileall -q /venv/lib

FROM packages AS packages-with-tensorflow
COPY deploy/locks/site.txt /tmp/
RUN /venv/bin/pip install -r /tmp/site.txt && /venv/bin/python -m compileall -q /venv/lib

# --- Runtime ---------------------------------------------------------------------------------------------------------
FROM python:${PYTHON} AS base
# An account without a login, which owns only /data.
RUN groupadd --system --gid 10001 digits \
    && useradd --system --uid 10001 --gid digits --no-create-home --shell /usr/sbin/nologin digits \
    && install --directory --owner digits --group digits --mode 0700 /data
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    MNIST_CACHE=/data/mnist \
    HOME=/tmp \
    LOG_FORMAT=json \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=1000000 \
    MALLOC_TRIM_THRESHOLD_=2000000
WORKDIR /site
COPY LICENSE manage.py ./
COPY digitsite digitsite
COPY ml ml
COPY recognizer recognizer
COPY templates templates
# The file system is read-only at run time, and every process would compile all modules again.
RUN python -m compileall -q digitsite ml recognizer
VOLUME /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

FROM base AS trainer
COPY --from=packages-with-tensorflow /venv /venv
CMD ["python", "-m", "digitsite.worker", "train"]

FROM base AS site
COPY --from=packages /venv /venv
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8000/healthz', timeout=2)"]
CMD ["python", "-m", "digitsite.server", "--host", "0.0.0.0", "--log-level", "warning"]
