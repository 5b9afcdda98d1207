-- How often gateway links were used, and which were withdrawn. expires_at is
-- when the link is over, in microseconds since 1970; an hour later its row may
-- go.
CREATE TABLE file_access_grants (
	grant_id   text COLLATE "C" NOT NULL PRIMARY KEY,
	used       bigint   NOT NULL CHECK (used >= 0),
	revoked    smallint NOT NULL CHECK (revoked IN (0, 1)),
	expires_at bigint   NOT NULL
);

CREATE INDEX file_access_grants_end ON file_access_grants (expires_at);

-- What was counted stays counted, and what was withdrawn stays withdrawn.
CREATE FUNCTION file_access_check_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND NEW.grant_id = OLD.grant_id AND NEW.used >= OLD.used AND NEW.revoked >= OLD.revoked AND NEW.expires_at >= OLD.expires_at THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'DELETE' AND OLD.expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 3600000000 THEN
		RETURN OLD;
	END IF;
	RAISE EXCEPTION 'file_access_grants only grows: % is refused', TG_OP
		USING HINT = 'No use and no withdrawal can be taken back. A grant can be deleted an hour after its link is over.';
END
$$;

CREATE TRIGGER file_access_only_grow BEFORE UPDATE ON file_access_grants FOR EACH ROW EXECUTE FUNCTION file_access_check_grant();

CREATE TRIGGER file_access_no_delete BEFORE DELETE ON file_access_grants FOR EACH ROW EXECUTE FUNCTION file_access_check_grant();

CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON file_access_grants FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse();

-- ALWAYS: also for whoever sets session_replication_role.
ALTER TABLE file_access_grants ENABLE ALWAYS TRIGGER file_access_only_grow;

ALTER TABLE file_access_grants ENABLE ALWAYS TRIGGER file_access_no_delete;

ALTER TABLE file_access_grants ENABLE ALWAYS TRIGGER file_access_no_truncate;
