// Package crash proves by kill -9 what the library promises of crashes: a real
// child process works on a real bucket and a real database, is killed at a
// random moment or at a chosen point, and what it leaves is reconciled and then
// checked against everything that it acknowledged.
//
// It is a harness for tests, and has those of local files itself; those of a
// cloud are in internal/integration. A short run of each is part of the checks;
// the figures of the documentation come from
//
//	go test ./internal/crash -run Kill -kills 500 -kills-at-point 20 -v -timeout 60m
//	go test ./internal/crash -run Soak -soak 30m -soak-kills 1m -v -timeout 60m
package crash
