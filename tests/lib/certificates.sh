#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes certificates for the tests: certificates.sh FOLDER. ca.crt vouches for server.crt (localhost, 127.0.0.1) and
# client.crt; wrong.crt is for the same names, but nobody vouches for it. Keys beside them.
set -euo pipefail
mkdir -p "$1" && cd "$1"
names='subjectAltName=DNS:localhost,IP:127.0.0.1'

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

signed() { # name, extension
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=otelprof test $1" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$1.crt" \
        -extfile <(printf '%s\n' "$2") 2>/dev/null
}

key ca
openssl req -x509 -new -key ca.key -subj '/CN=otelprof test CA' -days 2 -out ca.crt
signed server "$names"
signed client 'extendedKeyUsage=clientAuth'
key wrong
openssl req -x509 -new -key wrong.key -subj '/CN=localhost' -addext "$names" -days 2 -out wrong.crt
