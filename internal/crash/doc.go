// Package crash tests the crash guarantees of the library with kill -9. A real
// child process uses a real bucket and a real database. It is killed at a
// random moment or at a chosen point. The test then reconciles its leftovers
// and compares the result with every acknowledged operation.
//
// The package is a harness for tests. It contains the tests of local files; the
// tests of cloud services are in internal/integration. The regular checks
// include a short run of each. The figures in the documentation come from these
// commands:
//
//	go test ./internal/crash -run Kill -kills 500 -kills-at-point 20 -v -timeout 60m
//	go test ./internal/crash -run Soak -soak 30m -soak-kills 1m -v -timeout 60m
package crash
