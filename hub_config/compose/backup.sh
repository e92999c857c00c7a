#!/bin/sh
# `cellar-hub backup` and `cellar-hub restore` (docs/operate.md), on the machine with the stack: by Docker, tar and flock.
# What reads and writes volumes is cellar_hub/backup, in a container of the hub's image for each step, without a network.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
state=$here/.restore # of a restore, until it has ended
before=.before-restore # what files of this machine are called meanwhile that were there before it
parts="env gateway-env admin-password site tls"
work=
say() { printf '%s\n' "$*" >&2; }
fail() {
    say "cellar-hub: $*"
    exit 2
}
usage() {
    say "cellar-hub backup --to FILE [--recipient KEY]... [--volumes [--conversations]]"
    say "cellar-hub restore FILE [--identity FILE] [--yes]"
    say "cellar-hub restore --undo      after one that was killed: what was there is put back"
    say "Both with --without-databases where those are on a PostgreSQL of your own (docs/operate.md)."
    exit 2
}

# --- the stack

setting() { # name, what it is without: as compose reads it
    value=$(printenv "$1" || true)
    [ -n "$value" ] || value=$(sed -n "s/^$1=//p" "$here/.env" 2>/dev/null | tail -n 1)
    case $value in
    \"*\" | \'*\') value=${value#?} && value=${value%?} ;;
    *) value=${value%% #*} ;;
    esac
    printf %s "${value:-$2}"
}
beside() { # a path as compose reads it
    case $1 in
    /*) printf %s "$1" ;;
    *) printf %s "$here/${1#./}" ;;
    esac
}
place() { # where one of $parts is
    case $1 in
    env) printf %s "$here/.env" ;;
    gateway-env) beside "$(setting CELLAR_GATEWAY_ENV ./gateway.env)" ;;
    admin-password) printf %s "$here/admin-password" ;;
    site) beside "$(setting CELLAR_SITE_FILES ./site)" ;;
    tls) beside "$(setting CELLAR_TLS_FILES ./tls)" ;;
    esac
}
containers() { # of the stack: service and id
    docker ps -a --filter "label=com.docker.compose.project=$site" --filter label=com.docker.compose.oneoff=False \
        --format '{{.Label "com.docker.compose.service"}} {{.ID}}'
}
of() { containers | sed -n "s/^$1 //p" | head -n 1; }
keepers() { # the containers of services that keep something, PostgreSQL apart
    containers | grep -E '^(hub|gateway|console)' | sed 's/.* //'
}
used() { # the volumes they keep it in, each with its name in compose files
    for container in $(keepers); do
        docker inspect --format '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{.Destination}}{{println}}{{end}}{{end}}' \
            "$container"
    done | awk -v own="${site}_" '$2 && $2 !~ "^/run/" && !seen[$1]++ {
        name = $1; if (index(name, own) == 1) name = substr(name, length(own) + 1); print $1, name }'
}
unkept() { # folders of this machine that they may write to: nobody knows what is in them
    for container in $(keepers); do
        docker inspect --format '{{range .Mounts}}{{if eq .Type "bind"}}{{if .RW}}{{println .Source}}{{end}}{{end}}{{end}}' \
            "$container"
    done | sort -u | sed '/^$/d'
}
heads() { # the volume with the audit's second place
    docker inspect --format '{{range .Mounts}}{{if eq .Destination "/var/lib/cellar-audit"}}{{.Name}}{{end}}{{end}}' \
        "$(of gateway)"
}
workspaces() { docker volume ls -q --filter "label=org.cellar.site=$site" --filter label=org.cellar.kind=workspace; }
files_of() { # names of the compose files that a container was made from
    docker inspect --format '{{index .Config.Labels "com.docker.compose.project.config_files"}}' "$1" |
        tr ',' '\n' | sed 's|.*/||'
}
compose() { # with the files in $files
    if docker compose version >/dev/null 2>&1; then program="docker compose"; else program=docker-compose; fi
    options=
    for name in $files; do options="$options -f $name"; done
    # shellcheck disable=SC2086 # names of files are checked, and hold no space
    (cd "$here" && $program -p "$site" --env-file .env $options "$@") >&2
}
mounts=
mount() { mounts="$mounts -v $1:/backup/$2"; } # volume, place
step() { # a step of cellar_hub/backup; root, because files are of many owners, and nothing more of root than that
    # shellcheck disable=SC2086 # names of volumes hold no space
    docker run --rm -i --label "org.cellar.backup=$site" --network none --read-only --tmpfs /tmp --log-driver none \
        --pids-limit 64 --user 0:0 --security-opt no-new-privileges:true --cap-drop ALL --cap-add CHOWN \
        --cap-add DAC_OVERRIDE --cap-add DAC_READ_SEARCH --cap-add FOWNER --cap-add FSETID --cap-add SETGID \
        --cap-add SETUID \
        $mounts ${identity:+-v "$identity:/identity:ro"} "$image" python -m cellar_hub.backup "$@"
}
pg() { docker exec -i "$(of postgres)" "$@"; }
sql() { pg psql -qAtX -v ON_ERROR_STOP=1 -d postgres "$@"; }

# --- backup

backup() {
    to=
    volumes=
    without=
    count=$#
    while [ "$count" -gt 0 ]; do
        word=$1
        shift
        count=$((count - 1))
        case $word in
        --to)
            [ "$count" -gt 0 ] || usage
            to=$1
            shift
            count=$((count - 1))
            ;;
        --to=*) to=${word#--to=} ;;
        --without-databases) without=yes ;;
        -h | --help) usage ;;
        *)
            [ "$word" != --volumes ] || volumes=yes
            set -- "$@" "$word"
            ;;
        esac
    done
    [ -n "$to" ] || usage
    [ ! -e "$to" ] || fail "$to is there already"
    [ ! -e "$state" ] || fail "a restore did not come to its end: cellar-hub restore --undo"
    hub=$(of hub)
    [ -n "$hub" ] || fail "there is no stack of the name $site here"
    image=$(docker inspect --format '{{.Image}}' "$hub")
    # A stack of a release that had no backups yet: by the image that is to take its place.
    docker run --rm --network none "$image" python -c 'import cellar_hub.backup' 2>/dev/null ||
        image=$(setting CELLAR_HUB_IMAGE cellar-hub:dev)
    remove_steps
    step plan "$@" </dev/null
    databases
    docker exec -e CELLAR_OPERATOR="${SUDO_USER:-$(id -un)}" "$(of gateway)" python -m cellar_hub.backup note "$@" ||
        say "That this backup was made is NOT in the audit."
    used >"$work/volumes"
    while read -r volume name; do mount "$volume" "volumes/$name"; done <"$work/volumes"
    # before the dumps: what the audit's second place knows must be in them
    # shellcheck disable=SC2046 # one name, or none: a folder of somebody else's
    step begin $(sed -n "s/^$(heads) //p" "$work/volumes") </dev/null
    spooled=yes
    for database in $databases; do
        { pg pg_dump -Fc "$database" && printf '\nwhole\n'; } | step keep "$database"
    done
    about >"$work/machine/about.json"
    if [ -n "$volumes" ]; then for volume in $(workspaces); do mount "$volume" "workspaces/$volume:ro"; done; fi
    rm -f -- "$to.part"
    (set -C && : >"$to.part") || fail "there is no backup" # a new file: nobody else's, and nobody else has it open
    unfinished=$to.part
    { tar --hard-dereference -chf - -C "$work/machine" . || touch "$work/unread"; } | step pack "$@" >"$unfinished" ||
        fail "there is no backup"
    [ ! -e "$work/unread" ] || fail "a file of this machine could not be read (above): there is no backup"
    sync -- "$unfinished" || fail "it could not be written to the disk: there is no backup"
    mv -- "$unfinished" "$to"
    unfinished=
    unkept | while IFS= read -r folder; do
        say "NOT in it: $folder, a folder of this machine that a service may write to."
    done
    say "The backup is $to."
}
databases() { # those in this stack's PostgreSQL, and whether others are elsewhere
    databases=
    elsewhere=
    for container in $(keepers); do
        for url in $(docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" |
            sed -n 's/^CELLAR_HUB_DATABASE_URL=//p; s/^CELLAR_DATABASE_URL=//p'); do
            case $url in
            sqlite:*) ;;
            *@postgres/*) databases="jupyterhub cellar" ;;
            *) elsewhere=yes ;;
            esac
        done
    done
    [ -z "$elsewhere" ] || [ -n "$without" ] ||
        fail "a database of this site is on a PostgreSQL of your own, which this does not reach: --without-databases" \
            "backs up all else, and pg_dump that database right after it (docs/operate.md, \"A PostgreSQL of your own\")"
    [ -n "$elsewhere" ] || [ -z "$without" ] || fail "--without-databases: the databases of this site are here"
}
about() { # what the machine tells: its files as links in $work/machine, and on standard output the rest
    mkdir "$work/machine/compose"
    for each in $parts; do
        [ ! -e "$(place "$each")" ] || ln -s "$(place "$each")" "$work/machine/$each"
    done
    printf '{"site": "%s", "compose": [' "$site"
    comma=
    for name in $(files_of "$hub"); do
        if [ -e "$here/$name" ]; then
            ln -s "$here/$name" "$work/machine/compose/$name"
        else
            say "NOT in it: $name, which the stack was made with and which is not in $here; restoring wants it there."
        fi
        printf '%s"%s"' "$comma" "$name"
        comma=,
    done
    printf '], "databases": ['
    comma=
    for name in $databases; do
        printf '%s"%s"' "$comma" "$name"
        comma=,
    done
    printf '], "elsewhere": %s, "external": [' "$([ -n "$elsewhere" ] && echo true || echo false)"
    comma=
    while read -r volume name; do # another stack's, or made by hand: it has no name of the site's before its own
        [ "$volume" != "$name" ] || { printf '%s"%s"' "$comma" "$name" && comma=,; }
    done <"$work/volumes"
    printf '], "workspaces": ['
    comma=
    if [ -n "$volumes" ]; then
        for volume in $(workspaces); do
            printf %s "$comma"
            docker volume inspect --format '{"volume": {{json .Name}}, "labels": {{json .Labels}}}' "$volume"
            comma=,
        done
    fi
    printf ']}\n'
}

# --- restore

restore() {
    file=
    yes=
    undo=
    without=
    while [ $# -gt 0 ]; do
        case $1 in
        --yes) yes=yes ;;
        --undo) undo=yes ;;
        --without-databases) without=yes ;;
        --identity)
            [ $# -gt 1 ] || usage
            identity=$2
            shift
            ;;
        --identity=*) identity=${1#--identity=} ;;
        -*) usage ;;
        *)
            [ -z "$file" ] || usage
            file=$1
            ;;
        esac
        shift
    done
    image=$(setting CELLAR_HUB_IMAGE cellar-hub:dev)
    if [ -n "$undo" ]; then
        go_on
        return
    fi
    [ -n "$file" ] || usage
    [ -r "$file" ] || fail "$file cannot be read"
    [ ! -e "$state" ] || fail "a restore did not come to its end: cellar-hub restore --undo"
    if [ -n "$identity" ]; then
        [ -r "$identity" ] || fail "$identity cannot be read"
        identity=$(cd "$(dirname "$identity")" && pwd)/$(basename "$identity")
    fi
    say "Reading the backup to its end; nothing is touched yet."
    step check <"$file" >"$work/plan"
    fits
    if [ -z "$yes" ]; then
        [ -t 0 ] || fail "--yes says that $site may be stopped and replaced"
        printf 'The site %s becomes what it was at %s. Workspaces are stopped. Type yes: ' "$site" "$(planned at)" >&2
        read -r answer
        [ "$answer" = yes ] || fail "nothing was done"
    fi
    begin
    trap 'put_back' EXIT
    stop
    while read -r volume name; do mount "$volume" "volumes/$name"; done <"$state/volumes"
    while read -r volume; do mount "$volume" "workspaces/$volume"; done <"$state/workspaces"
    step stage <"$file" >"$state/machine.tar"
    machine
    files=$(cat "$state/files")
    for database in $(cat "$state/databases"); do restore_database "$database"; done
    step switch </dev/null
    [ ! -s "$state/databases" ] || exchange_databases
    in_place_of hub renew-hub
    in_place_of gateway renew-gateway
    step ready </dev/null
    compose up -d --remove-orphans
    well hub
    well gateway
    [ -z "$(of console)" ] || well console
    touch "$state/finished"
    trap 'clean' EXIT
    go_on
    say "The site is what it was at $(planned at). Passwords are those of then; so is who was blocked: look through"
    say "\`cellar-hub users list\`. The audit:"
    docker exec "$(of gateway)" cellar-hub audit verify || true
}
planned() { sed -n "s/^$1 //p" "$work/plan"; }
fits() { # whether this backup can be restored here
    there=$(planned site)
    [ -e "$here/.env" ] || site=$there
    [ "$site" = "$there" ] || fail "this is a backup of the site $there, and CELLAR_SITE is $site here"
    for name in $(planned compose); do
        [ -e "$here/$name" ] || fail "its stack was made with $name, which is not in $here"
    done
    if [ -n "$(planned elsewhere)" ]; then
        [ -n "$without" ] || fail "its databases are on a PostgreSQL of your own: put those back first, then say" \
            "--without-databases (docs/operate.md, \"A PostgreSQL of your own\")"
    elif [ -n "$without" ]; then
        fail "--without-databases: this backup has its databases"
    fi
    hub=$(of hub)
    if [ -n "$hub" ]; then
        image=$(docker inspect --format '{{.Image}}' "$hub")
        if files_of "$hub" | grep -q postgres; then now=PostgreSQL; else now=SQLite; fi
        if [ -n "$(planned database)" ]; then then=PostgreSQL; else then=SQLite; fi
        [ $now = $then ] || [ -n "$without" ] ||
            fail "its databases are $then's, and this site's are $now's: end this one (make hub-down) first"
    fi
}
exists() { docker volume inspect "$1" >/dev/null 2>&1; }
begin() { # all that going back needs, also after a kill -9
    rm -rf "$state.part" # of one that was killed before it began
    mkdir "$state.part"
    printf '%s\n' "$site" >"$state.part/site"
    printf '%s\n' "$image" >"$state.part/image"
    planned compose >"$state.part/files"
    planned database >"$state.part/databases"
    [ -z "$hub" ] || files_of "$hub" >"$state.part/files.before"
    for name in $(planned volume); do
        volume=${site}_$name
        ! planned external | grep -qxF "$name" || volume=$name
        exists "$volume" || docker volume create --label "com.docker.compose.project=$site" \
            --label "com.docker.compose.volume=$name" "$volume" >/dev/null
        printf '%s %s\n' "$volume" "$name" >>"$state.part/volumes"
    done
    planned workspace >"$state.part/workspaces"
    volume=
    set --
    { sed -n '/^workspace /p; /^label /p' "$work/plan" && echo "workspace "; } | while IFS= read -r line; do
        case $line in
        label\ *) set -- "$@" --label "${line#label }" ;;
        *)
            [ -z "$volume" ] || exists "$volume" || docker volume create "$@" "$volume" >/dev/null
            volume=${line#workspace }
            set --
            ;;
        esac
    done
    mv "$state.part" "$state"
}
remove_steps() { # of a script that was killed
    # shellcheck disable=SC2046 # ids
    set -- $(docker ps -aq --filter "label=org.cellar.backup=$site")
    [ $# -eq 0 ] || docker rm -f "$@" >/dev/null 2>&1 || true # it ends by itself at the same moment
}
stop() { # services but PostgreSQL, then workspaces, and what a script that was killed has left
    # shellcheck disable=SC2046 # ids
    set -- $(containers | sed -n '/^postgres /!s/.* //p')
    [ $# -eq 0 ] || docker stop "$@" >/dev/null
    remove_steps
    # shellcheck disable=SC2046 # ids
    set -- $(docker ps -aq --filter "label=org.cellar.site=$site" --filter label=org.cellar.kind) \
        $(docker ps -aq --filter "label=com.docker.compose.project=$site" --filter label=com.docker.compose.oneoff=True)
    [ $# -eq 0 ] || docker rm -f "$@" >/dev/null
}
machine() { # the machine's files, with secrets that nobody has seen yet
    mkdir "$state/new"
    tar -xpf "$state/machine.tar" -C "$state/new"
    rm "$state/machine.tar"
    for folder in site tls; do
        [ ! -d "$state/new/$folder" ] || find "$state/new/$folder" -type d -exec chmod 755 {} +
    done
    env=$state/new/env
    for name in $(sed -n 's/^\([A-Z_]*\)=$/\1/p' "$here/.env.example"); do # what an older release did not have
        if ! grep -q "^$name=." "$env"; then
            sed -i "/^$name=/d" "$env"
            printf '%s=unset\n' "$name" >>"$env"
        fi
    done
    for name in $(sed -n 's/^\(CELLAR_[A-Z_]*TOKEN\|CONFIGPROXY_AUTH_TOKEN\|POSTGRES_[A-Z_]*PASSWORD\)=..*/\1/p' "$env"); do
        made=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
        printf 's/^%s=.*/%s=%s/\n' "$name" "$name" "$made" | sed -i -f - "$env" # in no list of processes
    done
    socket=$(sed -n 's/^DOCKER_SOCKET=//p' "$env" | tail -n 1)
    sed -i "s/^DOCKER_GID=.*/DOCKER_GID=$(stat -L -c %g "${socket:-/var/run/docker.sock}")/" "$env"
    for each in $parts; do
        [ ! -e "$state/new/$each" ] || exchange "$state/new/$each" "$(place "$each")"
    done
}
exchange() { # new, place; env is the first, and says where the others are
    if [ -e "$2" ]; then
        rm -rf "$2$before"
        printf 'had %s\n' "$2" >>"$state/exchanged"
        mv "$2" "$2$before"
    else
        printf 'none %s\n' "$2" >>"$state/exchanged"
        mkdir -p "$(dirname "$2")"
    fi
    mv "$1" "$2"
}
role_of() { if [ "$1" = jupyterhub ]; then echo cellar_hub; else echo cellar_books; fi; }
start_postgres() {
    compose up -d postgres
    well postgres
}
restore_database() { # beside the one that is there
    [ -n "${postgres_runs:-}" ] || start_postgres
    postgres_runs=yes
    role=$(role_of "$1")
    sql -c "DROP DATABASE IF EXISTS $1_restoring" -c "CREATE DATABASE $1_restoring OWNER $role TEMPLATE template0" \
        -c "REVOKE ALL ON DATABASE $1_restoring FROM PUBLIC" -c "DROP DATABASE IF EXISTS $1_before"
    step give "$1" </dev/null |
        pg pg_restore -d "$1_restoring" --no-owner --no-privileges --role="$role" --exit-on-error --single-transaction
}
exchange_databases() {
    changes=
    for database in $(cat "$state/databases"); do
        changes="$changes ALTER DATABASE $database RENAME TO ${database}_before;"
        changes="$changes ALTER DATABASE ${database}_restoring RENAME TO $database;"
    done
    sql -c "BEGIN; $changes COMMIT"
}
in_place_of() { # service, step
    compose run --rm --no-deps -T -e CELLAR_OPERATOR="${SUDO_USER:-$(id -un)}" -e CELLAR_BACKUP_AT="$(planned at)" \
        "$1" python -m cellar_hub.backup "$2" </dev/null
}
well() { # until its check says so
    tries=300
    while [ "$(docker inspect --format '{{.State.Health.Status}}' "$(of "$1")")" != healthy ]; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || [ "$(docker inspect --format '{{.RestartCount}}' "$(of "$1")")" -gt 3 ]; then
            docker logs --tail 20 "$(of "$1")" >&2
            fail "$1 does not start on what was restored"
        fi
        sleep 1
    done
}
go_on() { # the end of a restore: what is finished loses what was there before, else that is put back
    [ -d "$state" ] || fail "there is no restore to be undone"
    site=$(cat "$state/site")
    image=$(cat "$state/image")
    if [ ! -e "$state/finished" ]; then
        put_back
        say "What was there is back."
        return
    fi
    mount_all
    step finish </dev/null
    for database in $(cat "$state/databases"); do sql -c "DROP DATABASE IF EXISTS ${database}_before"; done
    if [ -e "$state/exchanged" ]; then
        sed -n 's/^had //p' "$state/exchanged" | while IFS= read -r where; do rm -rf "$where$before"; done
    fi
    rm -rf "$state"
}
mount_all() {
    mounts=
    while read -r volume name; do mount "$volume" "volumes/$name"; done <"$state/volumes"
    while read -r volume; do mount "$volume" "workspaces/$volume"; done <"$state/workspaces"
}
put_back() {
    status=$?
    trap - EXIT
    say "It did not come to its end. Putting back what was there."
    stop
    mount_all
    identity=
    step undo </dev/null
    if [ -s "$state/databases" ] && [ -n "$(of postgres)" ]; then
        docker start "$(of postgres)" >/dev/null
        well postgres
        for database in $(cat "$state/databases"); do put_database_back "$database"; done
    fi
    if [ -e "$state/exchanged" ]; then
        while read -r was where; do
            if [ "$was" = none ]; then
                rm -rf "$where"
            elif [ -e "$where$before" ]; then
                rm -rf "$where"
                mv "$where$before" "$where"
            fi
        done <"$state/exchanged"
    fi
    if [ -e "$state/files.before" ]; then
        files=$(cat "$state/files.before")
        compose up -d --remove-orphans || say "The stack did not start again: make hub"
    else
        # shellcheck disable=SC2046 # ids
        set -- $(containers | sed 's/.* //')
        [ $# -eq 0 ] || docker rm -f "$@" >/dev/null
    fi
    rm -rf "$state" "$work"
    [ $status -eq 0 ] || exit 2
}
put_database_back() {
    if [ -n "$(sql -c "SELECT 1 FROM pg_database WHERE datname = '$1_before'")" ]; then
        sql -c "DROP DATABASE IF EXISTS $1" -c "ALTER DATABASE $1_before RENAME TO $1"
    fi
    sql -c "DROP DATABASE IF EXISTS $1_restoring"
}

# --- which of them

clean() {
    status=$?
    trap - EXIT
    [ -z "${unfinished:-}" ] || rm -f "$unfinished"
    [ -z "${spooled:-}" ] || step drop </dev/null || true
    rm -rf "$work"
    exit $status
}
exec 9<"$here"
flock -n 9 || fail "another backup or restore of this site is under way"
site=$(setting CELLAR_SITE cellar)
identity=
work=$(mktemp -d)
mkdir "$work/machine"
trap 'exit 130' INT TERM HUP
trap 'clean' EXIT
case "${1:-}" in
backup)
    shift
    backup "$@"
    ;;
restore)
    shift
    restore "$@"
    ;;
*) usage ;;
esac
