#!/usr/bin/env bash
# The containers for real: build, up until healthy, the story, nobody is root, down and up again with the data kept.
# Needs a Docker engine and the images that Dockerfile and docker-compose.yml name, or their stand-ins.
set -euo pipefail
cd "$(dirname "$0")/../.."

docker=${DOCKER:-docker}
compose=${COMPOSE:-$docker compose}
export COMPOSE_PROJECT_NAME=entitle-play INGEST_PORT=${INGEST_PORT:-18080} QUERY_PORT=${QUERY_PORT:-18081}
export DOCKER_BUILDKIT=1 COMPOSE_HTTP_TIMEOUT=300
PATIENCE_S=240

secrets=() # pip's own settings, where this machine has some
[[ -r /etc/pip.conf ]] && secrets+=(--secret id=pip.conf,src=/etc/pip.conf --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt)

say() { printf '\n== %s\n' "$*"; }
fail() { say "FAILED: $*"; $compose ps; $compose logs --tail 30; exit 1; }
states() { # SERVICE STATE[/HEALTH] of every container of ours
    $compose ps -a -q | xargs -r $docker inspect --format \
        '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}}{{with .State.Health}}/{{.Status}}{{end}} {{.State.ExitCode}}'
}
up_until_healthy() {
    local begun=$SECONDS
    $compose up --detach --no-build
    while ((SECONDS - begun < PATIENCE_S)); do
        # All that stay are healthy, all that end have ended well.
        if ! states | grep -v -q -e ' running/healthy 0$' -e '^migrate exited 0$' -e '^catalog exited 0$'; then
            say "all healthy, or ended well, after $((SECONDS - begun)) s"
            states | sort
            return
        fi
        sleep 1
    done
    states
    fail "not healthy within $PATIENCE_S s"
}
progress() { $compose exec -T query entitle progress --json; }

trap '$compose down --volumes --remove-orphans' EXIT
deploy/compose/make-secrets.sh
say "build"
$docker build --quiet "${secrets[@]}" --tag entitlement-worker .
$docker image inspect --format 'entitlement-worker: user {{.Config.User}}, {{.Size}} bytes with its base' entitlement-worker

say "up"
up_until_healthy

say "the story"
$compose run --rm -T story || fail "the story"

say "who runs what"
for id in $($compose ps -a -q); do
    name=$($docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}}, as {{.Config.User}}' "$id")
    if [[ $name == *running* ]]; then
        users=$($docker top "$id" -eo pid,uid | awk 'NR > 1 {print $2}' | sort -un | xargs)
        echo "$name: uids of its processes: $users"
        [[ " $users " == *" 0 "* ]] && fail "$name has a process of root"
    else
        echo "$name"
        [[ $name == *"as 10001:10001" ]] || fail "$name is not one of ours"
    fi
done

say "down and up again: the data is kept"
before=$(progress)
$compose down
up_until_healthy
after=$(progress)
echo "$before"
[[ $before == "$after" ]] || fail "other offsets than before: $after"
$compose run --rm -T story | tail -n 1 || fail "the story, a second time"

say "down"
