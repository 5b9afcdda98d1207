// Package orms tests that a file follows the transactions of GORM, ent and Bun,
// as documented in docs/transactions.md. It contains only tests.
package orms
