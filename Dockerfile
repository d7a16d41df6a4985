# The program as an image; docs/containers.md says how to run it. It is built with BuildKit: docker build -t entitlement-worker .
# pip asks where it always asks, unless it is handed your settings:
#   docker build --secret id=pip.conf,src=/etc/pip.conf --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt …

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/entitle
COPY requirements.txt requirements-build.txt ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /opt/build/bin/pip install --require-hashes -r requirements-build.txt \
    && /opt/build/bin/pip --python /opt/entitle/bin/python install --require-hashes --only-binary :all: -r requirements.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/build/bin/pip --python /opt/entitle/bin/python install --no-index --no-deps /wheel/*.whl

FROM python:3.11-slim-bookworm
COPY --from=build /opt/entitle /opt/entitle
ENV PATH=/opt/entitle/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["entitle"]
