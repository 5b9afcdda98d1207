// Package integration runs the cloud providers against real servers on
// loopback: versitygw and MinIO for S3, Azurite for Azure, and for Google Cloud
// Storage fake-gcs-server behind a [Gate], which checks the signatures that
// fake-gcs-server does not look at. A headless Chromium shows what a browser makes
// of the answers.
//
//	servers/install.sh   # once: builds and installs the servers
//	go test ./...        # starts what is installed, and stops it
//
// Each server is started by the first test that asks for it, on a free port,
// and stopped when the tests end, even if they are killed. A server that is not
// installed is left out, with a message that says so; where
// BLOBTRAIL_REQUIRE_SERVERS holds its name (or "all") it is a failure instead.
//
// The figures of what is promised of crashes come from
//
//	go test -run TestKill -kills 500 -kills-at-point 20 -v -timeout 90m
package integration
