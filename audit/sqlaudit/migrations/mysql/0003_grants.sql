-- How often gateway links were used, and which were withdrawn. expires_at is
-- when the link is over, in microseconds since 1970; an hour later its row may
-- go.
CREATE TABLE IF NOT EXISTS file_access_grants (
	grant_id   VARBINARY(64) NOT NULL PRIMARY KEY,
	used       BIGINT NOT NULL CHECK (used >= 0),
	revoked    TINYINT NOT NULL CHECK (revoked IN (0, 1)),
	expires_at BIGINT NOT NULL,
	KEY file_access_grants_end (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A session of MariaDB can turn off CHECK.
DROP TRIGGER IF EXISTS file_access_grants_bounds;

CREATE TRIGGER file_access_grants_bounds BEFORE INSERT ON file_access_grants FOR EACH ROW
IF NEW.used < 0 OR NEW.revoked NOT IN (0, 1) THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_grants only grows: used is not negative, and revoked is 0 or 1';
END IF;

-- What was counted stays counted, and what was withdrawn stays withdrawn.
DROP TRIGGER IF EXISTS file_access_grants_only_grow;

CREATE TRIGGER file_access_grants_only_grow BEFORE UPDATE ON file_access_grants FOR EACH ROW
IF NEW.grant_id <> OLD.grant_id OR NEW.used < OLD.used OR NEW.revoked < OLD.revoked OR NEW.revoked > 1 OR NEW.expires_at < OLD.expires_at THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_grants only grows: no use and no withdrawal can be taken back';
END IF;

-- SYSDATE is the server's clock; a session can set the others.
DROP TRIGGER IF EXISTS file_access_grants_no_delete;

CREATE TRIGGER file_access_grants_no_delete BEFORE DELETE ON file_access_grants FOR EACH ROW
IF OLD.expires_at > CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED) - 3600000000 THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_grants only grows: a grant can be deleted an hour after its link is over';
END IF;
