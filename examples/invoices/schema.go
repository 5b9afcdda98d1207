package main

// This file defines the tables of the service. They are in the same database as
// the trail, so one transaction can commit a row together with the record of
// its file.

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// schema is valid for SQLite, PostgreSQL and MariaDB. For MariaDB, createTables
// adds a binary collation. Times are in milliseconds since 1970.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS users (
		id            VARCHAR(36)  NOT NULL PRIMARY KEY,
		tenant_id     VARCHAR(40)  NOT NULL,
		email         VARCHAR(190) NOT NULL UNIQUE,
		password_hash VARCHAR(100) NOT NULL,
		created_at    BIGINT       NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS sessions (
		id          VARCHAR(36) NOT NULL PRIMARY KEY,
		user_id     VARCHAR(36) NOT NULL,
		refresh_id  VARCHAR(36) NOT NULL,
		previous_id VARCHAR(36) NOT NULL,
		rotated_at  BIGINT      NOT NULL,
		expires_at  BIGINT      NOT NULL,
		ended_at    BIGINT
	)`,
	`CREATE TABLE IF NOT EXISTS invoices (
		id             VARCHAR(36)   NOT NULL PRIMARY KEY,
		tenant_id      VARCHAR(40)   NOT NULL,
		user_id        VARCHAR(36)   NOT NULL,
		number         VARCHAR(64)   NOT NULL,
		issued_on      VARCHAR(10)   NOT NULL,
		total_cents    BIGINT        NOT NULL,
		currency       VARCHAR(3)    NOT NULL,
		transaction_id VARCHAR(64)   NOT NULL,
		state          VARCHAR(10)   NOT NULL,
		file_key       VARCHAR(1024) NOT NULL,
		filename       VARCHAR(255)  NOT NULL,
		size           BIGINT        NOT NULL,
		content_type   VARCHAR(255)  NOT NULL,
		sha256         VARCHAR(64)   NOT NULL,
		created_at     BIGINT        NOT NULL,
		changed_at     BIGINT        NOT NULL
	)`,
	// The indexes support the list of a tenant, and the search for unfinished
	// work.
	`CREATE INDEX IF NOT EXISTS invoices_by_tenant ON invoices (tenant_id, state, created_at)`,
	`CREATE INDEX IF NOT EXISTS invoices_by_state ON invoices (state, changed_at)`,
}

func createTables(ctx context.Context, db *sqlx.DB) error {
	for _, statement := range schema {
		if db.DriverName() == "mysql" && statement[:12] == "CREATE TABLE" {
			statement += " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		}
		_, err := db.ExecContext(ctx, statement)
		if err != nil {
			// PostgreSQL fails despite IF NOT EXISTS if another process creates
			// the same table concurrently. The second attempt finds that table.
			_, err = db.ExecContext(ctx, statement)
		}
		if err != nil {
			return fmt.Errorf("creating the tables of the service: %w", err)
		}
	}
	return nil
}
