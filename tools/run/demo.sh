# SPDX-License-Identifier: Apache-2.0
# What makes an instance useful at once: secrets, catalog, a demo organization with bought credit, and the lines that
# say how to use it. Part of tools/run/instance. Everything here is done once and kept by later starts.
# shellcheck shell=bash

# ---- secrets ----

make_credentials() {
    # Losing one of these makes every key or every sealed provider key of the database worthless.
    if [ -e "$VAR/pg" ]; then
        local name
        for name in ledger/pepper ledger/generation.key catalog/master.key; do
            [ -s "$VAR/secrets/$name" ] ||
                die "$VAR/secrets/$name is missing, but the database exists. Restore it from your backup."
        done
    fi
    if is_root; then deploy/credentials "$VAR"; else deploy/credentials "$VAR" as-one-user; fi
}

# ---- catalog and demo organization ----

bourse() { "$ROOT/$BUILD/bourse" "$@"; }

# Again only when the shipped file has changed.
load_catalog() {
    local sum
    sum=$(sha256sum <schema/catalog.json)
    [ "$(cat "$VAR/catalog.loaded" 2>/dev/null)" != "$sum" ] || return 0
    say "bourse: loading the catalog"
    bourse catalog load "$ROOT/schema/catalog.json" >"$VAR/log/catalog-load.log" 2>&1 ||
        { tail -5 "$VAR/log/catalog-load.log" >&2 && die "the catalog could not be loaded"; }
    place_file catalog.loaded 644 say "$sum"
}

# json_field NAME: its value in the one-line object on stdin, without quotes.
json_field() { sed -n -E "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"?([^\",}]*)\"?.*/\1/p" | head -1; }

shell_quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# The secrets are shown once, so they are caught here; a step that was done is not repeated after an interruption.
create_demo() {
    local org key management progress=$VAR/demo.progress
    if [ ! -s "$VAR/demo.env" ]; then
        say "bourse: creating the demo organization with \$25.00 of bought credit"
        (umask 077 && : >>"$progress")
        org=$(sed -n 's/^org //p' "$progress")
        if [ -z "$org" ]; then
            org=$(bourse org create --name Demo --json | json_field id)
            [ -n "$org" ] || die "the demo organization could not be created"
            say "org $org" >>"$progress"
        fi
        # The books say best whether it was bought before.
        if [ "$(bourse credit show --org "$org" --json | json_field total_credits)" = 0 ]; then
            bourse credit buy --org "$org" --amount 25 --json >"$VAR/log/demo.log" || die "the demo credit could not be bought"
        fi
        key=$(bourse key create --org "$org" --name demo --json | json_field key)
        management=$(bourse key create --org "$org" --name demo-management --management --json | json_field key)
        [ -n "$key" ] && [ -n "$management" ] || die "the demo keys could not be created"
    else
        key=$(. "$VAR/demo.env" && say "$BOURSE_API_KEY")
        management=$(. "$VAR/demo.env" && say "$BOURSE_MANAGEMENT_KEY")
    fi
    place_file demo.env 600 print_demo_file "$key" "$management"
    rm -f "$progress"
}

# Written anew at each start: ports and paths may have changed, the keys have not.
print_demo_file() {
    say "# Demo access to this instance; shell syntax."
    say "BOURSE_BASE_URL=$(shell_quoted "$EDGE_URL/api/v1")"
    say "BOURSE_API_KEY=$(shell_quoted "$1")"
    say "BOURSE_MANAGEMENT_KEY=$(shell_quoted "$2")"
    say "BOURSE_SIM_URL=$(shell_quoted "http://127.0.0.1:$SIM_PORT")"
    say "BOURSE_PG=$(shell_quoted "$(connection_of bourse_reader)")"
}

# ---- what the user sees ----

is_simulated() { [ "$(option_of simulated)" = true ]; }

print_banner() {
    local key
    key=$(. "$VAR/demo.env" && say "$BOURSE_API_KEY")
    cat <<END

  Bourse is running.

    base URL   $EDGE_URL/api/v1
    key        $key

  Try it:

    curl $EDGE_URL/api/v1/chat/completions \\
      -H 'Authorization: Bearer $key' \\
      -H 'Content-Type: application/json' \\
      -d '{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'

END
    ! is_simulated || cat <<END
  **********************************************************************
  *  ANSWERS ARE SIMULATED. No provider is called; nothing is really    *
  *  generated. To go live with a provider, give it a key of yours:     *
  *                                                                     *
  *    build/bourse provider live openai --key-file FILE                *
  **********************************************************************

END
    say "  Data, logs and this key (demo.env): ${BOURSE_VAR:-var}"
    local here=
    [ "$GIVEN_VAR" = var ] || here=" BOURSE_VAR=$(shell_quoted "$GIVEN_VAR")"
    say "  Stop: make down$here      Check the books: make audit$here"
    say ""
}
