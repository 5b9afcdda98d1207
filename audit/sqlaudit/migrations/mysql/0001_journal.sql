-- The trail itself. InnoDB ends every secondary index with id by itself. Where
-- a key is too long for an index, its beginning is indexed. Times are UTC.
-- Statements of this file may be repeated: MariaDB and MySQL commit each of
-- them at once, and a migration that was cut short starts again.
CREATE TABLE IF NOT EXISTS file_access_logs (
	id              CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	op_id           CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	ref_op_id       CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
	writer_id       CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	seq             BIGINT NOT NULL,
	occurred_at     DATETIME(6) NOT NULL,
	created_at      DATETIME(6) NOT NULL,
	action          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	outcome         VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	settled_by      VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	user_id         VARCHAR(255),
	ip_address      VARCHAR(64),
	user_agent      VARCHAR(512),
	request_id      VARCHAR(255),
	tenant_id       VARCHAR(255),
	resource_type   VARCHAR(64),
	resource_id     VARCHAR(255),
	file_key        VARCHAR(1024),
	source_key      VARCHAR(1024),
	storage_backend VARCHAR(32),
	bucket          VARCHAR(1024),
	grant_id        VARCHAR(64),
	size            BIGINT,
	sha256          VARBINARY(32),
	content_type    VARCHAR(255),
	error_code      VARCHAR(64),
	details         MEDIUMTEXT,
	attrs           MEDIUMTEXT,
	schema_version  INTEGER NOT NULL,
	pii_salt        VARBINARY(32),
	pii_commitment  VARBINARY(32) NOT NULL,
	leaf            VARBINARY(32) NOT NULL,
	UNIQUE KEY file_access_logs_stream (writer_id, seq),
	KEY file_access_logs_operation (op_id, id),
	KEY file_access_logs_reference (ref_op_id, id),
	KEY file_access_logs_time (occurred_at, id),
	KEY file_access_logs_key (file_key(255), id),
	KEY file_access_logs_user (user_id, id),
	KEY file_access_logs_tenant (tenant_id, id),
	KEY file_access_logs_resource (resource_type, resource_id, id),
	KEY file_access_logs_resource_id (resource_id, id),
	KEY file_access_logs_grant (grant_id, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

DROP TRIGGER IF EXISTS file_access_logs_no_delete;

CREATE TRIGGER file_access_logs_no_delete BEFORE DELETE ON file_access_logs FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_logs is append-only: no entry can be deleted';

DROP TRIGGER IF EXISTS file_access_logs_no_update;

-- A person's fields and the salt may be set to NULL, which is their erasure.
-- Text is compared as bytes: by their collation, trailing spaces are equal.
CREATE TRIGGER file_access_logs_no_update BEFORE UPDATE ON file_access_logs FOR EACH ROW
IF NOT (
	NEW.id <=> OLD.id
	AND NEW.op_id <=> OLD.op_id
	AND NEW.ref_op_id <=> OLD.ref_op_id
	AND NEW.writer_id <=> OLD.writer_id
	AND NEW.seq <=> OLD.seq
	AND NEW.occurred_at <=> OLD.occurred_at
	AND NEW.created_at <=> OLD.created_at
	AND CAST(NEW.action AS BINARY) <=> CAST(OLD.action AS BINARY)
	AND CAST(NEW.outcome AS BINARY) <=> CAST(OLD.outcome AS BINARY)
	AND CAST(NEW.settled_by AS BINARY) <=> CAST(OLD.settled_by AS BINARY)
	AND CAST(NEW.tenant_id AS BINARY) <=> CAST(OLD.tenant_id AS BINARY)
	AND CAST(NEW.resource_type AS BINARY) <=> CAST(OLD.resource_type AS BINARY)
	AND CAST(NEW.resource_id AS BINARY) <=> CAST(OLD.resource_id AS BINARY)
	AND CAST(NEW.file_key AS BINARY) <=> CAST(OLD.file_key AS BINARY)
	AND CAST(NEW.source_key AS BINARY) <=> CAST(OLD.source_key AS BINARY)
	AND CAST(NEW.storage_backend AS BINARY) <=> CAST(OLD.storage_backend AS BINARY)
	AND CAST(NEW.bucket AS BINARY) <=> CAST(OLD.bucket AS BINARY)
	AND CAST(NEW.grant_id AS BINARY) <=> CAST(OLD.grant_id AS BINARY)
	AND CAST(NEW.content_type AS BINARY) <=> CAST(OLD.content_type AS BINARY)
	AND CAST(NEW.error_code AS BINARY) <=> CAST(OLD.error_code AS BINARY)
	AND CAST(NEW.details AS BINARY) <=> CAST(OLD.details AS BINARY)
	AND CAST(NEW.attrs AS BINARY) <=> CAST(OLD.attrs AS BINARY)
	AND NEW.size <=> OLD.size
	AND NEW.sha256 <=> OLD.sha256
	AND NEW.schema_version <=> OLD.schema_version
	AND NEW.pii_commitment <=> OLD.pii_commitment
	AND NEW.leaf <=> OLD.leaf
	AND (NEW.user_id IS NULL OR CAST(NEW.user_id AS BINARY) <=> CAST(OLD.user_id AS BINARY))
	AND (NEW.ip_address IS NULL OR CAST(NEW.ip_address AS BINARY) <=> CAST(OLD.ip_address AS BINARY))
	AND (NEW.user_agent IS NULL OR CAST(NEW.user_agent AS BINARY) <=> CAST(OLD.user_agent AS BINARY))
	AND (NEW.request_id IS NULL OR CAST(NEW.request_id AS BINARY) <=> CAST(OLD.request_id AS BINARY))
	AND (NEW.pii_salt IS NULL OR NEW.pii_salt <=> OLD.pii_salt)
) THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_logs is append-only: only personal fields can be set to NULL';
END IF;

-- The operations that were begun and are not yet settled. begun_at and
-- lease_until are microseconds since 1970 by the database's own clock, so that
-- processes whose clocks differ agree on whose lease has run out. The writer
-- signs the operation, the holder and the event. A row without its signature is
-- never acted upon.
CREATE TABLE IF NOT EXISTS file_access_intents (
	op_id           CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	holder          CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	writer_id       CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	storage_backend VARCHAR(32),
	bucket          VARCHAR(1024),
	file_key        VARCHAR(1024),
	begun_at        BIGINT NOT NULL,
	lease_until     BIGINT NOT NULL,
	renewals        BIGINT NOT NULL DEFAULT 0,
	event           MEDIUMTEXT NOT NULL,
	signature       VARBINARY(64) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The processes that appended entries, each a stream of its own.
CREATE TABLE IF NOT EXISTS file_access_writers (
	writer_id   CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
	origin      VARCHAR(255) NOT NULL,
	public_key  VARBINARY(64),
	certificate BLOB,
	started_at  DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

DROP TRIGGER IF EXISTS file_access_writers_no_delete;

CREATE TRIGGER file_access_writers_no_delete BEFORE DELETE ON file_access_writers FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_writers is append-only: no writer can be deleted';

DROP TRIGGER IF EXISTS file_access_writers_no_update;

CREATE TRIGGER file_access_writers_no_update BEFORE UPDATE ON file_access_writers FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_writers is append-only: no writer can be changed';
