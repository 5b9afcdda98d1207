-- The trail itself, partitioned by the month in which an entry was committed.
-- The bounds are the least UUIDv7 of each month, so that id stays a true
-- primary key and old months can be removed as a whole.
CREATE TABLE file_access_logs (
	id              uuid        NOT NULL PRIMARY KEY,
	op_id           uuid        NOT NULL,
	ref_op_id       uuid,
	writer_id       uuid        NOT NULL,
	seq             bigint      NOT NULL,
	occurred_at     timestamptz NOT NULL,
	created_at      timestamptz NOT NULL,
	action          text        NOT NULL,
	outcome         text        NOT NULL,
	settled_by      text        NOT NULL,
	user_id         text COLLATE "C",
	ip_address      text COLLATE "C",
	user_agent      text COLLATE "C",
	request_id      text COLLATE "C",
	tenant_id       text COLLATE "C",
	resource_type   text COLLATE "C",
	resource_id     text COLLATE "C",
	file_key        text COLLATE "C",
	source_key      text COLLATE "C",
	storage_backend text COLLATE "C",
	bucket          text COLLATE "C",
	grant_id        text COLLATE "C",
	size            bigint,
	sha256          bytea,
	content_type    text COLLATE "C",
	error_code      text COLLATE "C",
	details         text COLLATE "C",
	attrs           text COLLATE "C",
	schema_version  integer     NOT NULL,
	pii_salt        bytea,
	pii_commitment  bytea       NOT NULL,
	leaf            bytea       NOT NULL
) PARTITION BY RANGE (id);

CREATE INDEX file_access_logs_operation ON file_access_logs (op_id, id);

CREATE INDEX file_access_logs_reference ON file_access_logs (ref_op_id, id) WHERE ref_op_id IS NOT NULL;

CREATE INDEX file_access_logs_stream ON file_access_logs (writer_id, seq, id);

CREATE INDEX file_access_logs_time ON file_access_logs (occurred_at, id);

CREATE INDEX file_access_logs_key ON file_access_logs (file_key, id) WHERE file_key IS NOT NULL;

CREATE INDEX file_access_logs_user ON file_access_logs (user_id, id) WHERE user_id IS NOT NULL;

CREATE INDEX file_access_logs_tenant ON file_access_logs (tenant_id, id) WHERE tenant_id IS NOT NULL;

CREATE INDEX file_access_logs_resource ON file_access_logs (resource_type, resource_id, id) WHERE resource_type IS NOT NULL;

CREATE INDEX file_access_logs_resource_id ON file_access_logs (resource_id, id) WHERE resource_id IS NOT NULL;

CREATE INDEX file_access_logs_grant ON file_access_logs (grant_id, id) WHERE grant_id IS NOT NULL;

CREATE FUNCTION file_access_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END
$$;

-- A person's fields and the salt may be set to NULL, which is their erasure.
CREATE FUNCTION file_access_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	same file_access_logs := NEW;
BEGIN
	same.user_id := OLD.user_id;
	same.ip_address := OLD.ip_address;
	same.user_agent := OLD.user_agent;
	same.request_id := OLD.request_id;
	same.pii_salt := OLD.pii_salt;
	IF same IS DISTINCT FROM OLD
		OR (NEW.user_id IS NOT NULL AND NEW.user_id IS DISTINCT FROM OLD.user_id)
		OR (NEW.ip_address IS NOT NULL AND NEW.ip_address IS DISTINCT FROM OLD.ip_address)
		OR (NEW.user_agent IS NOT NULL AND NEW.user_agent IS DISTINCT FROM OLD.user_agent)
		OR (NEW.request_id IS NOT NULL AND NEW.request_id IS DISTINCT FROM OLD.request_id)
		OR (NEW.pii_salt IS NOT NULL AND NEW.pii_salt IS DISTINCT FROM OLD.pii_salt)
	THEN
		RAISE EXCEPTION '% is append-only: only personal fields can be set to NULL', TG_TABLE_NAME;
	END IF;
	RETURN NEW;
END
$$;

CREATE TRIGGER file_access_no_delete BEFORE DELETE ON file_access_logs FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_update BEFORE UPDATE ON file_access_logs FOR EACH ROW EXECUTE FUNCTION file_access_refuse_update();

CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON file_access_logs FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse();

-- ALWAYS: also for whoever sets session_replication_role.
ALTER TABLE file_access_logs ENABLE ALWAYS TRIGGER file_access_no_delete;

ALTER TABLE file_access_logs ENABLE ALWAYS TRIGGER file_access_no_update;

ALTER TABLE file_access_logs ENABLE ALWAYS TRIGGER file_access_no_truncate;

-- Guards one partition: a TRUNCATE trigger is not inherited, and neither is
-- ALWAYS in every version.
CREATE FUNCTION file_access_guard_partition(partition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse()', partition);
	EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER file_access_no_truncate', partition);
	EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER file_access_no_delete', partition);
	EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER file_access_no_update', partition);
END
$$;

-- What no month's partition takes, so that recording never fails for want of
-- one.
CREATE TABLE file_access_logs_rest PARTITION OF file_access_logs DEFAULT;

CREATE UNIQUE INDEX file_access_logs_rest_seq ON file_access_logs_rest (writer_id, seq);

SELECT file_access_guard_partition('file_access_logs_rest');

-- Makes the partitions of the months from first_day on that do not exist yet,
-- and returns how many it made.
CREATE FUNCTION file_access_make_partitions(first_day date, months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	month timestamptz;
	partition text;
	bounds text[];
	made integer := 0;
BEGIN
	FOR i IN 0 .. months - 1 LOOP
		month := (date_trunc('month', first_day::timestamp) + make_interval(months => i)) AT TIME ZONE 'UTC';
		partition := 'file_access_logs_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
		CONTINUE WHEN to_regclass(quote_ident(partition)) IS NOT NULL;
		SELECT array_agg(left(h, 8) || '-' || substr(h, 9) || '-0000-0000-000000000000' ORDER BY h) INTO bounds
		FROM (
			SELECT lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') AS h
			FROM (VALUES (month), ((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC')) AS v (t)
		) AS floors;
		EXECUTE format('CREATE TABLE %I PARTITION OF file_access_logs FOR VALUES FROM (%L) TO (%L)', partition, bounds[1], bounds[2]);
		EXECUTE format('CREATE UNIQUE INDEX %I ON %I (writer_id, seq)', partition || '_seq', partition);
		PERFORM file_access_guard_partition(partition);
		made := made + 1;
	END LOOP;
	RETURN made;
END
$$;

-- From yesterday, so that a clock that is late on the first of a month finds one.
SELECT file_access_make_partitions((now() AT TIME ZONE 'UTC')::date - 1, 3);

-- The operations that were begun and are not yet settled. begun_at and
-- lease_until are microseconds since 1970 by the database's own clock, so that
-- processes whose clocks differ agree on whose lease has run out. The writer
-- signs the operation, the holder and the event. A row without its signature is
-- never acted upon. Rows come and
-- go with every operation, hence the eager vacuum.
CREATE TABLE file_access_intents (
	op_id           uuid    NOT NULL PRIMARY KEY,
	holder          uuid    NOT NULL,
	writer_id       uuid    NOT NULL,
	storage_backend text COLLATE "C",
	bucket          text COLLATE "C",
	file_key        text COLLATE "C",
	begun_at        bigint  NOT NULL,
	lease_until     bigint  NOT NULL,
	renewals        bigint  NOT NULL DEFAULT 0,
	event           text    NOT NULL,
	signature       bytea   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The processes that appended entries, each a stream of its own.
CREATE TABLE file_access_writers (
	writer_id   uuid        NOT NULL PRIMARY KEY,
	origin      text        NOT NULL,
	public_key  bytea,
	certificate bytea,
	started_at  timestamptz NOT NULL
);

CREATE TRIGGER file_access_no_delete BEFORE DELETE ON file_access_writers FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_update BEFORE UPDATE ON file_access_writers FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON file_access_writers FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse();

ALTER TABLE file_access_writers ENABLE ALWAYS TRIGGER file_access_no_delete;

ALTER TABLE file_access_writers ENABLE ALWAYS TRIGGER file_access_no_update;

ALTER TABLE file_access_writers ENABLE ALWAYS TRIGGER file_access_no_truncate;
