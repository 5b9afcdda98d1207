// Package rules tests rules of this project that no linter checks, such as a
// limit of exported identifiers and a ban on repeated code.
package rules
