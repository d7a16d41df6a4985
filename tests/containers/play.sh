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
told() { # head and published of the feed, then what gateways are told of each customer
    $compose exec -T postgres psql --username entitle --no-align --tuples-only \
        --command 'SELECT head, published FROM entitlements.feed_position' entitle
    $compose exec -T query python - <<'ASK'
from urllib.request import Request, urlopen
token = open("/run/secrets/query_tokens").read().strip()
with urlopen(Request("http://127.0.0.1:8081/v1/snapshot", headers={"Authorization": f"Bearer {token}"})) as answer:
    print(answer.read().decode(), end="")
ASK
}
ALL_TOLD=$'^([1-9][0-9]*)\\|([0-9]+)\n[{]' # and at least one customer
told_once_still() { # the same, once all that was said is told and on the topic: boundaries and relay come after the story
    local begun=$SECONDS last="" now
    while ((SECONDS - begun < PATIENCE_S)); do
        now=$(told)
        if [[ $now == "$last" && $now =~ $ALL_TOLD && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]]; then
            echo "$now"
            return
        fi
        last=$now
        sleep 1
    done
    return 1
}

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
    for volume in $($docker inspect --format '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}' "$id"); do
        [[ $volume == "${COMPOSE_PROJECT_NAME}_"* ]] || fail "$name has a volume that \`down\` leaves behind: $volume"
    done
done

say "how much memory each takes, where the engine counts it"
$compose ps -q | xargs $docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' | sort

say "down and up again: the data is kept"
told_before=$(told_once_still) || fail "the relay has not told all within $PATIENCE_S s: $(told)"
before=$(progress)
$compose down
up_until_healthy
after=$(progress)
echo "$before"
[[ $before == "$after" ]] || fail "other offsets than before: $after"
told_after=$(told_once_still) || fail "the relay has not told all within $PATIENCE_S s: $(told)"
echo "head|published of the feed: $(head -n 1 <<<"$told_before"); customers told of: $(tail -n +2 <<<"$told_before" | wc -l)"
[[ $told_before == "$told_after" ]] || fail "gateways are told something else than before: $told_after"
$compose run --rm -T story | tail -n 1 || fail "the story, a second time"

say "down"
