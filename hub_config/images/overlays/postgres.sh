#!/bin/sh
# PostgreSQL: makes its cluster and both databases in an empty volume, then serves. The password is that of .env at each
# start.
set -eu
data=/var/lib/cellar-postgres/15
alone() {
    # After a kill -9, postmaster.pid names process 1: this script, not another server.
    PG_GRANDPARENT_PID=$$ postgres --single -j -c exit_on_error=on -D "$1" postgres >/dev/null
}

case $POSTGRES_PASSWORD in
*[!A-Za-z0-9]*)
    echo "POSTGRES_PASSWORD must be letters and digits" >&2
    exit 1
    ;;
esac
if [ ! -d "$data" ]; then
    rm -rf "$data.part" # of a start that did not come to its end
    initdb -k -D "$data.part" -U cellar -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256
    echo "host all all samenet scram-sha-256" >>"$data.part/pg_hba.conf"
    for name in cellar jupyterhub; do
        echo "CREATE DATABASE $name" | alone "$data.part"
    done
    mv "$data.part" "$data"
fi
echo "ALTER ROLE cellar PASSWORD '$POSTGRES_PASSWORD'" | alone "$data"
unset POSTGRES_PASSWORD
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
