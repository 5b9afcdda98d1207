#!/bin/sh
# Builds and installs the servers that the integration tests run against: two for S3, into bin, and one for Azure,
# into azurite/node_modules. The first build of MinIO takes several minutes; the Go build cache makes the next one quick.
set -eu
cd "$(dirname "$0")"
mkdir -p bin
go build -o bin/ github.com/versity/versitygw/cmd/versitygw github.com/minio/minio
if command -v npm >/dev/null; then
	(cd azurite && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
else
	echo "npm is missing: the tests will leave Azurite out" >&2
fi
