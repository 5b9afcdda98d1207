// Package fuzzform contains the fuzz test of the form handler. A fuzz test
// measures the coverage of its whole binary after each call, so this package
// links no database and no service.
package fuzzform
