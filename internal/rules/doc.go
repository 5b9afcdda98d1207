// Package rules holds tests of the rules that the code of this project follows and
// that no linter knows: how much it exports, and what it must not repeat.
package rules
