# SPDX-License-Identifier: Apache-2.0
# Where an instance lives and who may touch what: directories, system users, programs, ports. Part of tools/run/instance.
# As root each program gets a user of its own; as an ordinary user everything runs as that user.
# shellcheck shell=bash disable=SC2034

SYSTEM_USERS=(pg ledger catalog usage edge sim)
GROUP=bourse           # of those that talk over the sockets in run/
SOCKET_PATH_MAX=100    # a Unix socket's path holds 107 bytes
PORT_MAX=65535

is_root() { [ "$(id -u)" = 0 ]; }

# The system user of a program, or - for the user who runs this.
user_of() { if is_root; then say "bourse-$1"; else say -; fi; }

# VAR becomes the real, absolute directory. BOURSE_VAR is exported for the programs called from here.
find_place() {
    GIVEN_VAR=${BOURSE_VAR:-var}
    local wanted=$GIVEN_VAR
    [[ $wanted != *$'\n'* && $wanted != *$'\t'* ]] || die "BOURSE_VAR must not hold tabs or newlines"
    [ "${wanted#/}" != "$wanted" ] || wanted=$ROOT/$wanted
    case $COMMAND in
    run | up)
        [ -z "${BOURSE_PORT:-}" ] || check_port BOURSE_PORT "$BOURSE_PORT" $((PORT_MAX - 1)) # the next one is the simulator's
        ! is_root || create_users
        mkdir -p "$wanted"
        ! is_root || can_enter "$wanted" || move_place "$wanted"
        ;;
    down) [ -d "$wanted" ] || { say "bourse: nothing runs here, $wanted does not exist" && exit 0; } ;;
    *) [ -d "$wanted" ] || die "there is no instance in $wanted. Start one with make up, or set BOURSE_VAR to its directory." ;;
    esac
    VAR=$(cd "$wanted" && pwd -P)
    export BOURSE_VAR=$VAR
}

create_users() {
    local name
    getent group "$GROUP" >/dev/null || groupadd --system "$GROUP"
    for name in "${SYSTEM_USERS[@]}"; do
        id "bourse-$name" >/dev/null 2>&1 ||
            useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
                --comment "Bourse $name" "bourse-$name"
        # The simulated provider stands for the outside world: no socket of ours is open to it.
        [ "$name" = sim ] || [[ " $(id -nG "bourse-$name") " == *" $GROUP "* ]] || usermod -a -G "$GROUP" "bourse-$name"
    done
}

# By the real path: a link into an open directory may stand in a closed one.
can_enter() { setpriv --reuid=bourse-edge --regid=bourse-edge --clear-groups test -x "$(readlink -f "$1")"; }

# A checkout below a closed home directory: the data goes where the system users can reach it.
move_place() {
    local wanted=$1 place
    place=/var/lib/bourse-$(printf '%s' "$wanted" | sha256sum | cut -c1-12)
    say "bourse: the users bourse-* cannot enter $wanted;"
    say "bourse: the data of this instance is in $place, and $wanted is a link to it"
    if [ -L "$wanted" ]; then
        die "$wanted links to a directory that the users bourse-* cannot enter; remove the link or choose another BOURSE_VAR"
    elif [ -e "$place" ]; then
        rmdir "$wanted" 2>/dev/null || die "$place and $wanted both hold data; keep one of them"
    else
        mv "$wanted" "$place"
    fi
    chmod 755 "$place"
    ln -s "$place" "$wanted"
}

# make_directory PATH MODE USER GROUP: creates it, and repairs owners when the instance was another user's before.
make_directory() {
    local path=$VAR/$1 mode=$2 owner=$3 group=$4
    mkdir -p "$path"
    if is_root; then
        [ "$(stat -c %U "$path")" = "$owner" ] || chown -R "$owner:$group" "$path"
        chown "$owner:$group" "$path"
    elif [ ! -O "$path" ]; then
        die "$path belongs to $(stat -c %U "$path"): run as that user, or choose another BOURSE_VAR"
    fi
    chmod "$mode" "$path"
}

# run/ is sticky: a program can make its socket there and cannot remove another's.
place_directories() {
    local me name
    if ! is_root; then
        me=$(id -un)
        for name in log journal secrets secrets/{ledger,catalog,usage,edge} run run/pg; do
            make_directory "$name" 0700 "$me" "$(id -gn)"
        done
        return
    fi
    chown root:root "$VAR" && chmod 755 "$VAR"
    make_directory log 0750 root root
    make_directory journal 0700 bourse-ledger bourse-ledger
    make_directory secrets 0711 root root
    for name in ledger catalog usage edge; do
        make_directory "secrets/$name" 0700 "bourse-$name" "bourse-$name"
    done
    make_directory run 3775 root "$GROUP"
    make_directory run/pg 2750 bourse-pg "$GROUP"
}

# BIN is where the programs are started from: the build directory, or a copy that the system users can execute.
place_programs() {
    local name
    for name in supervise migrate bourse "${PROGRAMS[@]}"; do
        [ -x "$BUILD/$name" ] || die "$BUILD/$name is missing; run make first"
    done
    BIN=$(cd "$BUILD" && pwd -P)
    if is_root && ! can_enter "$BIN/supervise"; then
        say "bourse: the users bourse-* cannot execute $BIN; the programs run from copies in $VAR/bin"
        mkdir -p "$VAR/bin" && chmod 755 "$VAR/bin"
        for name in supervise migrate "${PROGRAMS[@]}"; do
            cp "$BUILD/$name" "$VAR/bin/$name.new" && chmod 755 "$VAR/bin/$name.new"
            mv -f "$VAR/bin/$name.new" "$VAR/bin/$name"
        done
        BIN=$VAR/bin
    fi
}

# The console's files are few and small: a copy in the instance can be read by the edge wherever the checkout lies.
place_console() {
    [ -e build/console/index.html ] || return 0
    rm -rf "$VAR/console.new"
    cp -r build/console "$VAR/console.new"
    chmod -R a+rX "$VAR/console.new"
    rm -rf "$VAR/console"
    mv "$VAR/console.new" "$VAR/console"
    set_option console_dir console
}

# ---- configuration ----

# check_port NAME VALUE MAX
check_port() {
    [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$2" -le "$3" ] || die "$1 must be a port, a number from 1 to $3; it is: ${2:0:40}"
}

# place_file NAME MODE COMMAND...: the output of the command becomes the file, whole or not at all: a start may be killed at
# any line, and a disk may be full.
place_file() {
    local path=$VAR/$1 mode=$2
    shift 2
    (umask 077 && "$@" >"$path.new") || die "$path could not be written"
    chmod "$mode" "$path.new"
    mv -f "$path.new" "$path"
}

# option_of NAME: its value in bourse.conf, or nothing.
option_of() {
    [ ! -e "$VAR/bourse.conf" ] || sed -n -E "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*(.*[^[:space:]])[[:space:]]*\$/\1/p" \
        "$VAR/bourse.conf" | tail -1
}

# set_option NAME VALUE: replaces its line, or adds one.
set_option() {
    [ "$(option_of "$1")" != "$2" ] || return 0
    NAME=$1 VALUE=$2 place_file bourse.conf 644 awk '
        $1 == ENVIRON["NAME"] || index($1, ENVIRON["NAME"] "=") == 1 {
            if (!found) print ENVIRON["NAME"] " = " ENVIRON["VALUE"]; found = 1; next
        }
        { print }
        END { if (!found) print ENVIRON["NAME"] " = " ENVIRON["VALUE"] }' \
        "$VAR/bourse.conf"
}

read_ports() {
    PORT=$(option_of edge_port)
    PORT=${PORT:-$PORT_DEFAULT}
    check_port "edge_port in $VAR/bourse.conf" "$PORT" "$PORT_MAX"
    SIM_PORT=$(option_of sim_port)
    SIM_PORT=${SIM_PORT:-$((PORT + 1))}
    check_port "sim_port in $VAR/bourse.conf" "$SIM_PORT" "$PORT_MAX"
    [ "$PORT" != "$SIM_PORT" ] || die "edge_port and sim_port in $VAR/bourse.conf are both $PORT; make one of them another"
    find_edge_url
}

# EDGE_URL: where this machine reaches the edge. One that listens on every address does so on the loopback, too.
find_edge_url() {
    local scheme=http host
    [ -z "$(option_of edge_tls_certificate)" ] || scheme=https
    host=$(option_of edge_address)
    case $host in '' | 0.0.0.0 | ::) host=127.0.0.1 ;; *:*) host="[$host]" ;; esac
    EDGE_URL=$scheme://$host:$PORT
}

# Written once; afterwards only the lines that a start decides are kept true. An empty file is one that was never written.
write_configuration() {
    if [ ! -s "$VAR/bourse.conf" ]; then
        place_file bourse.conf 644 cat <<END
# Configuration of this instance. Every option there is, with its default: deploy/bourse.conf.sample
# A start sets edge_port and sim_port from BOURSE_PORT when that is given, and database to the private one.
edge_port = ${BOURSE_PORT:-$PORT_DEFAULT}
sim_port = $((${BOURSE_PORT:-$PORT_DEFAULT} + 1))
# A trial instance: answers are simulated until a provider is made live, purchases need no second step.
simulated = true
payments_manual = immediate
END
    fi
    if [ -n "${BOURSE_PORT:-}" ]; then
        [ "$BOURSE_PORT" = "$(option_of edge_port)" ] || set_option sim_port "$((BOURSE_PORT + 1))"
        set_option edge_port "$BOURSE_PORT"
    fi
    [ -z "${BOURSE_ADDRESS:-}" ] || set_option edge_address "$BOURSE_ADDRESS"
    find_socket_directory
    case $(option_of database) in
    '' | *'/run/pg dbname=bourse' | *'/pg dbname=bourse') set_option database "$(connection_of)" ;;
    *) ;; # a database of the operator's own
    esac
    read_ports
}

# PG_SOCKETS: PostgreSQL's socket directory as libpq can name it, absolute and short enough.
find_socket_directory() {
    PG_SOCKETS=$VAR/run/pg
    local path=$PG_SOCKETS/.s.PGSQL.5432 record=$VAR/run/short-path
    [ "$(printf '%s' "$path" | wc -c)" -gt "$SOCKET_PATH_MAX" ] || return 0
    local short=
    [ ! -e "$record" ] || short=$(cat "$record")
    if [ -z "$short" ] || [ ! -O "$short" ] || [ "$(readlink "$short/pg")" != "$PG_SOCKETS" ]; then
        short=$(mktemp -d /tmp/bourse-XXXXXX) # a fresh directory of ours: nobody can have prepared the name
        chmod 711 "$short"
        ln -s "$PG_SOCKETS" "$short/pg"
        say "$short" >"$record"
        say "bourse: the path of PostgreSQL's socket is too long; it is reached through $short/pg"
    fi
    PG_SOCKETS=$short/pg
}

# connection_of [ROLE]: a libpq string; blanks, quotes and backslashes are escaped as libpq reads them.
connection_of() {
    [ -n "${PG_SOCKETS:-}" ] || find_socket_directory
    printf 'host=%s dbname=bourse%s\n' "$(printf '%s' "$PG_SOCKETS" | sed "s/[\\\\' ]/\\\\&/g")" "${1:+ user=$1}"
}
