# `make image` builds it: TARGET=cpu, or TARGET=cuda with CUDA from NVIDIA's wheels, for which the
# host needs a driver and the NVIDIA Container Toolkit. docs/containers.md tells how to run it.

# The tag for people, the digest for the build. It is the digest that public projects pin for this tag.
ARG BASE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${BASE} AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    # A volume may belong to another user. The image has one purpose, so any folder is trusted.
    && git config --system --add safe.directory '*' \
    && useradd --uid 1000 --user-group --home-dir /data --create-home --shell /bin/bash convdepth
# /data is the volume: the clone that runs start from, DVC's cache, checkpoints, ~/.ssh, ~/.prefect.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/data \
    CONVDEPTH_HOME=/data/convdepth \
    DVC_SITE_CACHE_DIR=/data/dvc-site \
    DO_NOT_TRACK=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/convdepth
ENTRYPOINT ["/opt/convdepth/pipelines/deploy/container.sh"]
CMD ["python", "-m", "pipelines", "worker"]

# What is committed in the build context: no other files, no addresses of remotes.
FROM base AS code
ARG COMMIT
RUN --mount=type=bind,source=.git,target=/tmp/project.git \
    git init --quiet --initial-branch=main . \
    && git fetch --quiet /tmp/project.git HEAD \
    && git reset --quiet --hard "${COMMIT:-FETCH_HEAD}"

FROM base AS packages-cpu
COPY requirements.lock /tmp/
# The secret is a pip.conf with other package indexes; it stays out of the image.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /opt/venv \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/requirements.lock \
    && mv /tmp/requirements.lock /opt/venv/installed-requirements.lock

FROM base AS packages-cuda
COPY requirements-gpu.lock /tmp/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /opt/venv \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/requirements-gpu.lock \
    && mv /tmp/requirements-gpu.lock /opt/venv/installed-requirements-gpu.lock
# For the NVIDIA Container Toolkit.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM packages-cuda AS cuda
COPY --from=code /opt/convdepth /opt/convdepth
RUN pip install --no-cache-dir --no-deps --no-build-isolation --no-index --editable .
ARG COMMIT
LABEL org.opencontainers.image.title="convdepth, CUDA" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.revision=${COMMIT}
USER 1000:1000

# The last stage is the default one.
FROM packages-cpu AS cpu
COPY --from=code /opt/convdepth /opt/convdepth
RUN pip install --no-cache-dir --no-deps --no-build-isolation --no-index --editable .
ARG COMMIT
LABEL org.opencontainers.image.title="convdepth, CPU" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.revision=${COMMIT}
USER 1000:1000
