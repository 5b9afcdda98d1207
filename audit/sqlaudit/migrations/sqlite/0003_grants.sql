-- How often gateway links were used, and which were withdrawn. expires_at is
-- when the link is over, in microseconds since 1970; an hour later its row may
-- go.
CREATE TABLE file_access_grants (
	grant_id   TEXT    NOT NULL PRIMARY KEY,
	used       INTEGER NOT NULL CHECK (used >= 0),
	revoked    INTEGER NOT NULL CHECK (revoked IN (0, 1)),
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX file_access_grants_end ON file_access_grants (expires_at);

-- INSERT OR REPLACE removes a row without asking a DELETE trigger, so a row that
-- exists stays, whatever the statement says. A session can turn off CHECK.
CREATE TRIGGER file_access_grants_no_replace BEFORE INSERT ON file_access_grants
WHEN EXISTS (SELECT 1 FROM file_access_grants WHERE grant_id = NEW.grant_id)
BEGIN
	SELECT RAISE(IGNORE);
END;

CREATE TRIGGER file_access_grants_bounds BEFORE INSERT ON file_access_grants
WHEN NEW.used < 0 OR NEW.revoked NOT IN (0, 1)
BEGIN
	SELECT RAISE(ABORT, 'file_access_grants only grows: used is not negative, and revoked is 0 or 1');
END;

-- What was counted stays counted, and what was withdrawn stays withdrawn.
CREATE TRIGGER file_access_grants_only_grow BEFORE UPDATE ON file_access_grants
WHEN NEW.grant_id IS NOT OLD.grant_id OR NEW.used < OLD.used OR NEW.revoked < OLD.revoked OR NEW.revoked > 1 OR NEW.expires_at < OLD.expires_at
BEGIN
	SELECT RAISE(ABORT, 'file_access_grants only grows: no use and no withdrawal can be taken back');
END;

CREATE TRIGGER file_access_grants_no_delete BEFORE DELETE ON file_access_grants
WHEN OLD.expires_at > (unixepoch('now') - 3600) * 1000000
BEGIN
	SELECT RAISE(ABORT, 'file_access_grants only grows: a grant can be deleted an hour after its link is over');
END;
