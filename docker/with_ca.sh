#!/usr/bin/env bash
# Runs a command with the certificate of a proxy, where the build was given one as the secret `proxy_ca`.
set -euo pipefail

ca=/run/secrets/proxy_ca
if [ -f "$ca" ]; then
  export PIP_CERT=$ca SSL_CERT_FILE=$ca
  APT_CONFIG=$(mktemp)
  export APT_CONFIG
  echo "Acquire::https::CaInfo \"$ca\";" >"$APT_CONFIG"
fi
exec "$@"
