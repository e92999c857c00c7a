#!/bin/sh
# PostgreSQL: makes its cluster in an empty volume, then serves. The hub's database and the gateway's books belong to a
# role each, none of them a superuser, and only its own can connect to it. Roles, passwords (those of .env) and whose
# everything is are set at each start, so a volume that an older release made becomes as a new one is.
set -eu
data=/var/lib/cellar-postgres/15
alone() { # folder, database; statements end with ; and an empty line
    # After a kill -9, postmaster.pid names process 1: this script, not another server.
    PG_GRANDPARENT_PID=$$ postgres --single -j -c exit_on_error=on -D "$1" "$2" >/dev/null
}
checked() { # variable, value
    case $2 in
    '' | *[!A-Za-z0-9]*)
        echo "$1 must be letters and digits" >&2
        exit 1
        ;;
    esac
}
role() { # name, password
    cat <<SQL
DO 'BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ''$1'') THEN CREATE ROLE $1; END IF; END';

ALTER ROLE $1 LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '$2';

SQL
}
give() { # database, role: the database, and what the superuser has made in it, as older releases did
    alone "$data" postgres <<SQL
ALTER DATABASE $1 OWNER TO $2;

REVOKE ALL ON DATABASE $1 FROM PUBLIC;

SQL
    alone "$data" "$1" <<SQL
DO \$\$
DECLARE
    change text;
BEGIN
    FOR change IN
        SELECT format('ALTER TABLE %s OWNER TO $2', oid::regclass) FROM pg_class c
        WHERE relnamespace = 'public'::regnamespace AND relowner = 'cellar'::regrole
        AND (relkind IN ('r', 'p', 'v', 'm') OR relkind = 'S' AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i')))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO $2', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proowner = 'cellar'::regrole
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO $2', oid::regtype) FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typowner = 'cellar'::regrole AND typtype IN ('e', 'd')
    LOOP
        EXECUTE change;
    END LOOP;
END
\$\$;

SQL
}

checked POSTGRES_PASSWORD "${POSTGRES_PASSWORD:-}"
checked POSTGRES_HUB_PASSWORD "${POSTGRES_HUB_PASSWORD:-}"
if [ ! -d "$data" ]; then
    rm -rf "$data.part" # of a start that did not come to its end
    initdb -k -D "$data.part" -U cellar -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=reject
    for name in cellar jupyterhub; do
        echo "CREATE DATABASE $name" | alone "$data.part" postgres
    done
    mv "$data.part" "$data"
fi
cat >"$data/pg_hba.conf" <<HBA
# Written at each start. The superuser has no password: it is whoever may enter this container.
local all cellar peer
host cellar cellar_books samenet scram-sha-256
host jupyterhub cellar_hub samenet scram-sha-256
HBA
{
    role cellar_books "$POSTGRES_PASSWORD"
    role cellar_hub "$POSTGRES_HUB_PASSWORD"
    cat <<SQL
ALTER ROLE cellar PASSWORD NULL;

REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;

SQL
} | alone "$data" postgres
give cellar cellar_books
give jupyterhub cellar_hub
unset POSTGRES_PASSWORD POSTGRES_HUB_PASSWORD
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
