// Package orms tests that a file follows the transactions of GORM, ent and Bun, as
// docs/transactions.md shows it. It has no code of its own.
package orms
