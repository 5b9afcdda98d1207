// Package integration tests the cloud providers against real servers on the
// loopback interface: versitygw and MinIO for S3, Azurite for Azure, and
// fake-gcs-server for Google Cloud Storage. fake-gcs-server does not check
// signatures, so it runs behind a [Gate] that does. A headless Chromium tests
// the behavior of browsers.
//
//	servers/install.sh   # once: builds and installs the servers
//	go test ./...        # starts and stops the installed servers
//
// The first test that needs a server starts it on a free port. The server stops
// when the tests end, even if they are killed. If a server is not installed,
// its tests are skipped with a message. If BLOBTRAIL_REQUIRE_SERVERS contains
// its name or "all", they fail instead.
//
// The figures of the crash guarantees come from this command:
//
//	go test -run TestKill -kills 500 -kills-at-point 20 -v -timeout 90m
package integration
