#!/bin/sh
# Makes the secrets that docker-compose.yml hands to its services as files: those that are not there yet. Put Stripe's
# own signing secret (whsec_…) into stripe_signing_secrets, several separated by commas, and restart ingest.
set -eu
folder=$(dirname "$0")/secrets
mkdir -p -m 700 "$folder"
cd "$folder"

random() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }
keep() { # NAME VALUE
    [ -e "$1" ] && return
    printf '%s\n' "$2" >"$1"
    chmod 644 "$1" # the containers' users are none of this machine's; the folder keeps this machine's others out
    echo "made $folder/$1"
}
keep postgres_password "$(random)"
keep database_url "postgresql://entitle:$(cat postgres_password)@postgres:5432/entitle"
keep stripe_signing_secrets "whsec_$(random)"
keep query_tokens "gateway_$(random)"
keep admin_tokens "admin_$(random)"
