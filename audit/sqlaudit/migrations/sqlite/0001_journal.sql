-- The trail itself. Times are UTC text with microseconds, which sorts as it
-- reads; ids are UUIDv7 and sort by the time of the commit.
CREATE TABLE file_access_logs (
	id              TEXT    NOT NULL PRIMARY KEY,
	op_id           TEXT    NOT NULL,
	ref_op_id       TEXT,
	writer_id       TEXT    NOT NULL,
	seq             INTEGER NOT NULL,
	occurred_at     TEXT    NOT NULL,
	created_at      TEXT    NOT NULL,
	action          TEXT    NOT NULL,
	outcome         TEXT    NOT NULL,
	settled_by      TEXT    NOT NULL,
	user_id         TEXT,
	ip_address      TEXT,
	user_agent      TEXT,
	request_id      TEXT,
	tenant_id       TEXT,
	resource_type   TEXT,
	resource_id     TEXT,
	file_key        TEXT,
	source_key      TEXT,
	storage_backend TEXT,
	bucket          TEXT,
	grant_id        TEXT,
	size            INTEGER,
	sha256          BLOB,
	content_type    TEXT,
	error_code      TEXT,
	details         TEXT,
	attrs           TEXT,
	schema_version  INTEGER NOT NULL,
	pii_salt        BLOB,
	pii_commitment  BLOB    NOT NULL,
	leaf            BLOB    NOT NULL,
	UNIQUE (writer_id, seq)
);

CREATE INDEX file_access_logs_operation ON file_access_logs (op_id, id);

CREATE INDEX file_access_logs_reference ON file_access_logs (ref_op_id, id) WHERE ref_op_id IS NOT NULL;

CREATE INDEX file_access_logs_time ON file_access_logs (occurred_at, id);

CREATE INDEX file_access_logs_key ON file_access_logs (file_key, id) WHERE file_key IS NOT NULL;

CREATE INDEX file_access_logs_user ON file_access_logs (user_id, id) WHERE user_id IS NOT NULL;

CREATE INDEX file_access_logs_tenant ON file_access_logs (tenant_id, id) WHERE tenant_id IS NOT NULL;

CREATE INDEX file_access_logs_resource ON file_access_logs (resource_type, resource_id, id) WHERE resource_type IS NOT NULL;

CREATE INDEX file_access_logs_resource_id ON file_access_logs (resource_id, id) WHERE resource_id IS NOT NULL;

CREATE INDEX file_access_logs_grant ON file_access_logs (grant_id, id) WHERE grant_id IS NOT NULL;

-- INSERT OR REPLACE removes a row without asking a DELETE trigger.
CREATE TRIGGER file_access_logs_no_replace BEFORE INSERT ON file_access_logs
WHEN EXISTS (SELECT 1 FROM file_access_logs WHERE id = NEW.id)
	OR EXISTS (SELECT 1 FROM file_access_logs WHERE writer_id = NEW.writer_id AND seq = NEW.seq)
	OR EXISTS (SELECT 1 FROM file_access_logs WHERE rowid = NEW.rowid)
BEGIN
	SELECT RAISE(ABORT, 'file_access_logs is append-only: the entry exists already');
END;

CREATE TRIGGER file_access_logs_no_delete BEFORE DELETE ON file_access_logs
BEGIN
	SELECT RAISE(ABORT, 'file_access_logs is append-only: no entry can be deleted');
END;

-- A person's fields and the salt may be set to NULL, which is their erasure.
CREATE TRIGGER file_access_logs_no_update BEFORE UPDATE ON file_access_logs
WHEN NOT (
	NEW.rowid IS OLD.rowid
	AND NEW.id IS OLD.id
	AND NEW.op_id IS OLD.op_id
	AND NEW.ref_op_id IS OLD.ref_op_id
	AND NEW.writer_id IS OLD.writer_id
	AND NEW.seq IS OLD.seq
	AND NEW.occurred_at IS OLD.occurred_at
	AND NEW.created_at IS OLD.created_at
	AND NEW.action IS OLD.action
	AND NEW.outcome IS OLD.outcome
	AND NEW.settled_by IS OLD.settled_by
	AND NEW.tenant_id IS OLD.tenant_id
	AND NEW.resource_type IS OLD.resource_type
	AND NEW.resource_id IS OLD.resource_id
	AND NEW.file_key IS OLD.file_key
	AND NEW.source_key IS OLD.source_key
	AND NEW.storage_backend IS OLD.storage_backend
	AND NEW.bucket IS OLD.bucket
	AND NEW.grant_id IS OLD.grant_id
	AND NEW.size IS OLD.size
	AND NEW.sha256 IS OLD.sha256
	AND NEW.content_type IS OLD.content_type
	AND NEW.error_code IS OLD.error_code
	AND NEW.details IS OLD.details
	AND NEW.attrs IS OLD.attrs
	AND NEW.schema_version IS OLD.schema_version
	AND NEW.pii_commitment IS OLD.pii_commitment
	AND NEW.leaf IS OLD.leaf
	AND (NEW.user_id IS NULL OR NEW.user_id IS OLD.user_id)
	AND (NEW.ip_address IS NULL OR NEW.ip_address IS OLD.ip_address)
	AND (NEW.user_agent IS NULL OR NEW.user_agent IS OLD.user_agent)
	AND (NEW.request_id IS NULL OR NEW.request_id IS OLD.request_id)
	AND (NEW.pii_salt IS NULL OR NEW.pii_salt IS OLD.pii_salt)
)
BEGIN
	SELECT RAISE(ABORT, 'file_access_logs is append-only: only personal fields can be set to NULL');
END;

-- The operations that were begun and are not yet settled. begun_at and
-- lease_until are microseconds since 1970 by the database's own clock, so that
-- processes whose clocks differ agree on whose lease has run out. The writer
-- signs the operation, the holder and the event. A row without its signature is
-- never acted upon.
CREATE TABLE file_access_intents (
	op_id           TEXT    NOT NULL PRIMARY KEY,
	holder          TEXT    NOT NULL,
	writer_id       TEXT    NOT NULL,
	storage_backend TEXT,
	bucket          TEXT,
	file_key        TEXT,
	begun_at        INTEGER NOT NULL,
	lease_until     INTEGER NOT NULL,
	renewals        INTEGER NOT NULL DEFAULT 0,
	event           TEXT    NOT NULL,
	signature       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The processes that appended entries, each a stream of its own.
CREATE TABLE file_access_writers (
	writer_id   TEXT NOT NULL PRIMARY KEY,
	origin      TEXT NOT NULL,
	public_key  BLOB,
	certificate BLOB,
	started_at  TEXT NOT NULL
);

CREATE TRIGGER file_access_writers_no_replace BEFORE INSERT ON file_access_writers
WHEN EXISTS (SELECT 1 FROM file_access_writers WHERE writer_id = NEW.writer_id OR rowid = NEW.rowid)
BEGIN
	SELECT RAISE(ABORT, 'file_access_writers is append-only: the writer exists already');
END;

CREATE TRIGGER file_access_writers_no_delete BEFORE DELETE ON file_access_writers
BEGIN
	SELECT RAISE(ABORT, 'file_access_writers is append-only: no writer can be deleted');
END;

CREATE TRIGGER file_access_writers_no_update BEFORE UPDATE ON file_access_writers
BEGIN
	SELECT RAISE(ABORT, 'file_access_writers is append-only: no writer can be changed');
END;
