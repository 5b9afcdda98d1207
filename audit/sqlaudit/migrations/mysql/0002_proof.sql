-- What each writer signed: the root of its tree after each transaction. The
-- primary key keeps a second process with the same identity from signing
-- another history of the same length.
CREATE TABLE IF NOT EXISTS file_access_checkpoints (
	writer_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	tree_size BIGINT NOT NULL,
	note      TEXT NOT NULL,
	PRIMARY KEY (writer_id, tree_size)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Where a log goes on whose beginning was exported and removed: the hashes of
-- the complete subtrees of what is gone, and the signed order to remove it.
CREATE TABLE IF NOT EXISTS file_access_frontiers (
	writer_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	tree_size BIGINT NOT NULL,
	hashes    BLOB NOT NULL,
	note      TEXT NOT NULL,
	PRIMARY KEY (writer_id, tree_size)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The signed orders to erase personal fields, so that what was erased can be
-- told from what somebody blanked.
CREATE TABLE IF NOT EXISTS file_access_erasures (
	writer_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	first_seq BIGINT NOT NULL,
	op_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	note      MEDIUMTEXT NOT NULL,
	PRIMARY KEY (writer_id, first_seq, op_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A frontier stands at a checkpoint, beyond the last frontier.
DROP TRIGGER IF EXISTS file_access_frontiers_at_checkpoint;

CREATE TRIGGER file_access_frontiers_at_checkpoint BEFORE INSERT ON file_access_frontiers FOR EACH ROW
IF NOT EXISTS (SELECT 1 FROM file_access_checkpoints AS c WHERE c.writer_id = NEW.writer_id AND c.tree_size = NEW.tree_size)
	OR EXISTS (SELECT 1 FROM file_access_frontiers AS f WHERE f.writer_id = NEW.writer_id AND f.tree_size >= NEW.tree_size) THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_frontiers is append-only: a frontier stands at a checkpoint beyond the last frontier';
END IF;

DROP TRIGGER IF EXISTS file_access_frontiers_no_update;

CREATE TRIGGER file_access_frontiers_no_update BEFORE UPDATE ON file_access_frontiers FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_frontiers is append-only: no frontier can be changed';

DROP TRIGGER IF EXISTS file_access_frontiers_no_delete;

CREATE TRIGGER file_access_frontiers_no_delete BEFORE DELETE ON file_access_frontiers FOR EACH ROW
IF NOT EXISTS (SELECT 1 FROM file_access_frontiers AS f WHERE f.writer_id = OLD.writer_id AND f.tree_size > OLD.tree_size) THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_frontiers is append-only: the last frontier of a writer stays';
END IF;

DROP TRIGGER IF EXISTS file_access_checkpoints_no_update;

CREATE TRIGGER file_access_checkpoints_no_update BEFORE UPDATE ON file_access_checkpoints FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_checkpoints is append-only: no checkpoint can be changed';

DROP TRIGGER IF EXISTS file_access_checkpoints_no_delete;

CREATE TRIGGER file_access_checkpoints_no_delete BEFORE DELETE ON file_access_checkpoints FOR EACH ROW
IF NOT EXISTS (SELECT 1 FROM file_access_frontiers AS f WHERE f.writer_id = OLD.writer_id AND f.tree_size > OLD.tree_size) THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_checkpoints is append-only: only those before a frontier can be deleted';
END IF;

DROP TRIGGER IF EXISTS file_access_erasures_no_update;

CREATE TRIGGER file_access_erasures_no_update BEFORE UPDATE ON file_access_erasures FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_erasures is append-only: no erasure can be changed';

DROP TRIGGER IF EXISTS file_access_erasures_no_delete;

CREATE TRIGGER file_access_erasures_no_delete BEFORE DELETE ON file_access_erasures FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_erasures is append-only: no erasure can be deleted';

-- Entries can be removed once the frontier of their writer stands beyond them.
DROP TRIGGER IF EXISTS file_access_logs_no_delete;

CREATE TRIGGER file_access_logs_no_delete BEFORE DELETE ON file_access_logs FOR EACH ROW
IF NOT EXISTS (SELECT 1 FROM file_access_frontiers AS f WHERE f.writer_id = OLD.writer_id AND f.tree_size > OLD.seq) THEN
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'file_access_logs is append-only: only entries before a frontier can be deleted';
END IF;
