// Package fuzzform holds the fuzz test of the handler for forms. A fuzz test looks at
// the coverage of everything in its binary after each call, so it is in a package
// without databases and services.
package fuzzform
