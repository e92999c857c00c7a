#!/bin/sh
# nginx: fills in the template of its configuration, then serves.
set -eu
for file in tls.crt tls.key; do
    if [ ! -r "$CELLAR_TLS/$file" ]; then
        echo "CELLAR_TLS_FILES: there is no $file, or the container's user may not read it (chown 10001 $file)" >&2
        exit 1
    fi
done
home=/tmp/nginx
mkdir -p "$home"
cp /opt/cellar/nginx.conf "$home"
envsubst "$(env | sed -n 's/^\(CELLAR_[A-Z_]*\)=.*/${\1}/p')" </etc/cellar/tls.conf.template >"$home/tls.conf"
exec nginx -e stderr -p "$home" -c "$home/nginx.conf"
