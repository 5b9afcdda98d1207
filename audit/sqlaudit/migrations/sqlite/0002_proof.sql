-- What each writer signed: the root of its tree after each transaction. The
-- primary key keeps a second process with the same identity from signing
-- another history of the same length.
CREATE TABLE file_access_checkpoints (
	writer_id TEXT    NOT NULL,
	tree_size INTEGER NOT NULL,
	note      TEXT    NOT NULL,
	PRIMARY KEY (writer_id, tree_size)
) WITHOUT ROWID;

-- Where a log goes on whose beginning was exported and removed: the hashes of
-- the complete subtrees of what is gone, and the signed order to remove it.
CREATE TABLE file_access_frontiers (
	writer_id TEXT    NOT NULL,
	tree_size INTEGER NOT NULL,
	hashes    BLOB    NOT NULL,
	note      TEXT    NOT NULL,
	PRIMARY KEY (writer_id, tree_size)
) WITHOUT ROWID;

-- The signed orders to erase personal fields, so that what was erased can be
-- told from what somebody blanked.
CREATE TABLE file_access_erasures (
	writer_id TEXT    NOT NULL,
	first_seq INTEGER NOT NULL,
	op_id     TEXT    NOT NULL,
	note      TEXT    NOT NULL,
	PRIMARY KEY (writer_id, first_seq, op_id)
) WITHOUT ROWID;

-- A frontier stands at a checkpoint, and before it are only entries that go in
-- the same transaction.
CREATE TRIGGER file_access_frontiers_at_checkpoint BEFORE INSERT ON file_access_frontiers
WHEN NOT EXISTS (SELECT 1 FROM file_access_checkpoints WHERE writer_id = NEW.writer_id AND tree_size = NEW.tree_size)
	OR EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = NEW.writer_id AND tree_size >= NEW.tree_size)
BEGIN
	SELECT RAISE(ABORT, 'file_access_frontiers is append-only: a frontier stands at a checkpoint beyond the last frontier');
END;

CREATE TRIGGER file_access_frontiers_no_update BEFORE UPDATE ON file_access_frontiers
BEGIN
	SELECT RAISE(ABORT, 'file_access_frontiers is append-only: no frontier can be changed');
END;

CREATE TRIGGER file_access_frontiers_no_delete BEFORE DELETE ON file_access_frontiers
WHEN NOT EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = OLD.writer_id AND tree_size > OLD.tree_size)
BEGIN
	SELECT RAISE(ABORT, 'file_access_frontiers is append-only: the last frontier of a writer stays');
END;

CREATE TRIGGER file_access_checkpoints_no_replace BEFORE INSERT ON file_access_checkpoints
WHEN EXISTS (SELECT 1 FROM file_access_checkpoints WHERE writer_id = NEW.writer_id AND tree_size = NEW.tree_size)
BEGIN
	SELECT RAISE(ABORT, 'file_access_checkpoints is append-only: the checkpoint exists already');
END;

CREATE TRIGGER file_access_checkpoints_no_update BEFORE UPDATE ON file_access_checkpoints
BEGIN
	SELECT RAISE(ABORT, 'file_access_checkpoints is append-only: no checkpoint can be changed');
END;

CREATE TRIGGER file_access_checkpoints_no_delete BEFORE DELETE ON file_access_checkpoints
WHEN NOT EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = OLD.writer_id AND tree_size > OLD.tree_size)
BEGIN
	SELECT RAISE(ABORT, 'file_access_checkpoints is append-only: only those before a frontier can be deleted');
END;

CREATE TRIGGER file_access_erasures_no_replace BEFORE INSERT ON file_access_erasures
WHEN EXISTS (SELECT 1 FROM file_access_erasures WHERE writer_id = NEW.writer_id AND first_seq = NEW.first_seq AND op_id = NEW.op_id)
BEGIN
	SELECT RAISE(ABORT, 'file_access_erasures is append-only: the erasure exists already');
END;

CREATE TRIGGER file_access_erasures_no_update BEFORE UPDATE ON file_access_erasures
BEGIN
	SELECT RAISE(ABORT, 'file_access_erasures is append-only: no erasure can be changed');
END;

CREATE TRIGGER file_access_erasures_no_delete BEFORE DELETE ON file_access_erasures
BEGIN
	SELECT RAISE(ABORT, 'file_access_erasures is append-only: no erasure can be deleted');
END;

-- Entries can be removed once the frontier of their writer stands beyond them.
DROP TRIGGER file_access_logs_no_delete;

CREATE TRIGGER file_access_logs_no_delete BEFORE DELETE ON file_access_logs
WHEN NOT EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = OLD.writer_id AND tree_size > OLD.seq)
BEGIN
	SELECT RAISE(ABORT, 'file_access_logs is append-only: only entries before a frontier can be deleted');
END;
