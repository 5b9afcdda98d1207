// Package crash proves by kill -9 what the library promises of crashes: a real
// child process works on a real folder and a real database, is killed at a
// random moment or at a chosen point, and what it leaves is reconciled and then
// checked against everything that it acknowledged.
//
// Its tests are the whole of it. A short run is part of go test; the figures of
// the documentation come from
//
//	go test ./internal/crash -kills 500 -kills-at-point 20 -v -timeout 60m
package crash
