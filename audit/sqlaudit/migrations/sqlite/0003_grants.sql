-- How often gateway links were used, and which were withdrawn. expires_at is
-- when the link is over, in microseconds since 1970; an hour later its row may
-- go.
CREATE TABLE file_access_grants (
	grant_id   TEXT    NOT NULL PRIMARY KEY,
	used       INTEGER NOT NULL,
	revoked    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX file_access_grants_end ON file_access_grants (expires_at);

-- What was counted stays counted, and what was withdrawn stays withdrawn.
CREATE TRIGGER file_access_grants_only_grow BEFORE UPDATE ON file_access_grants
WHEN NEW.grant_id <> OLD.grant_id OR NEW.used < OLD.used OR NEW.revoked < OLD.revoked OR NEW.expires_at < OLD.expires_at
BEGIN
	SELECT RAISE(ABORT, 'file_access_grants only grows: no use and no withdrawal can be taken back');
END;

CREATE TRIGGER file_access_grants_no_delete BEFORE DELETE ON file_access_grants
WHEN OLD.expires_at > (unixepoch('now') - 3600) * 1000000
BEGIN
	SELECT RAISE(ABORT, 'file_access_grants only grows: a grant can be deleted an hour after its link is over');
END;
