-- What each writer signed: the root of its tree after each transaction. The
-- primary key keeps a second process with the same identity from signing
-- another history of the same length.
CREATE TABLE file_access_checkpoints (
	writer_id uuid   NOT NULL,
	tree_size bigint NOT NULL,
	note      text   NOT NULL,
	PRIMARY KEY (writer_id, tree_size)
);

-- Where a log goes on whose beginning was exported and removed: the hashes of
-- the complete subtrees of what is gone, and the signed order to remove it.
CREATE TABLE file_access_frontiers (
	writer_id uuid   NOT NULL,
	tree_size bigint NOT NULL,
	hashes    bytea  NOT NULL,
	note      text   NOT NULL,
	PRIMARY KEY (writer_id, tree_size)
);

-- The signed orders to erase personal fields, so that what was erased can be
-- told from what somebody blanked.
CREATE TABLE file_access_erasures (
	writer_id uuid   NOT NULL,
	first_seq bigint NOT NULL,
	op_id     uuid   NOT NULL,
	note      text   NOT NULL,
	PRIMARY KEY (writer_id, first_seq, op_id)
);

-- Entries and checkpoints can be removed once the frontier of their writer
-- stands beyond them, and a frontier once another one does. The triggers that
-- call this function remain as they are.
CREATE OR REPLACE FUNCTION file_access_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF TG_TABLE_NAME LIKE 'file\_access\_logs%' THEN
			IF EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = OLD.writer_id AND tree_size > OLD.seq) THEN
				RETURN OLD;
			END IF;
		ELSIF TG_TABLE_NAME IN ('file_access_checkpoints', 'file_access_frontiers') THEN
			IF EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = OLD.writer_id AND tree_size > OLD.tree_size) THEN
				RETURN OLD;
			END IF;
		END IF;
	END IF;
	RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END
$$;

-- A frontier stands at a checkpoint, beyond the last frontier.
CREATE FUNCTION file_access_check_frontier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT 1 FROM file_access_checkpoints WHERE writer_id = NEW.writer_id AND tree_size = NEW.tree_size)
		OR EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = NEW.writer_id AND tree_size >= NEW.tree_size)
	THEN
		RAISE EXCEPTION 'file_access_frontiers is append-only: a frontier stands at a checkpoint beyond the last frontier';
	END IF;
	RETURN NEW;
END
$$;

CREATE TRIGGER file_access_at_checkpoint BEFORE INSERT ON file_access_frontiers FOR EACH ROW EXECUTE FUNCTION file_access_check_frontier();

ALTER TABLE file_access_frontiers ENABLE ALWAYS TRIGGER file_access_at_checkpoint;

CREATE TRIGGER file_access_no_delete BEFORE DELETE ON file_access_checkpoints FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_update BEFORE UPDATE ON file_access_checkpoints FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON file_access_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_delete BEFORE DELETE ON file_access_frontiers FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_update BEFORE UPDATE ON file_access_frontiers FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON file_access_frontiers FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_delete BEFORE DELETE ON file_access_erasures FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_update BEFORE UPDATE ON file_access_erasures FOR EACH ROW EXECUTE FUNCTION file_access_refuse();

CREATE TRIGGER file_access_no_truncate BEFORE TRUNCATE ON file_access_erasures FOR EACH STATEMENT EXECUTE FUNCTION file_access_refuse();

-- ALWAYS: also for whoever sets session_replication_role.
ALTER TABLE file_access_checkpoints ENABLE ALWAYS TRIGGER file_access_no_delete;

ALTER TABLE file_access_checkpoints ENABLE ALWAYS TRIGGER file_access_no_update;

ALTER TABLE file_access_checkpoints ENABLE ALWAYS TRIGGER file_access_no_truncate;

ALTER TABLE file_access_frontiers ENABLE ALWAYS TRIGGER file_access_no_delete;

ALTER TABLE file_access_frontiers ENABLE ALWAYS TRIGGER file_access_no_update;

ALTER TABLE file_access_frontiers ENABLE ALWAYS TRIGGER file_access_no_truncate;

ALTER TABLE file_access_erasures ENABLE ALWAYS TRIGGER file_access_no_delete;

ALTER TABLE file_access_erasures ENABLE ALWAYS TRIGGER file_access_no_update;

ALTER TABLE file_access_erasures ENABLE ALWAYS TRIGGER file_access_no_truncate;
