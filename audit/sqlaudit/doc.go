// Package sqlaudit stores the audit trail in an SQL database: SQLite,
// PostgreSQL, MariaDB or MySQL. Its [Journal] implements audit.Journal and
// audit.Reader.
//
//	journal, err := sqlaudit.Open(ctx, "sqlite:trail.db", nil)
//	store, err := blobstore.Open(ctx, "local:///var/lib/app/files", journal, nil)
//
// An operation becomes a durable intent before it takes effect. Exactly one
// entry settles the intent, even after a crash.
//
// Concurrent callers share transactions. While one transaction is being stored,
// other callers queue, and the next transaction stores all of their records. If
// the database rejects one event, only that event fails.
//
// No record is acknowledged before it is committed. [WhenQueued] gives up this
// guarantee for entries that callers should not wait for; its comment lists the
// consequences.
//
// # Tables
//
//	file_access_logs        the entries; only personal fields can be erased
//	file_access_intents     operations that have begun and are not settled
//	file_access_writers     the processes that wrote entries, with their public keys
//	file_access_checkpoints the tree roots that each writer signed
//	file_access_frontiers   the start of each purged log, and the signed orders to purge
//	file_access_erasures    the signed orders to erase personal fields
//	file_access_grants      the use counts of limited links, and revoked links
//	file_access_migrations  the migrations of this package that were applied
//
// Triggers reject every change to an entry except setting the personal columns
// (user_id, ip_address, user_agent, request_id and pii_salt) to NULL. They
// permit the deletion of an entry only if its seq is less than the tree_size of
// a frontier of its writer. They permit the deletion of a checkpoint only if its
// tree_size is less than that of a frontier of its writer.
//
// The triggers are guard rails: anyone who can change the schema can drop them.
// The proof detects changes that were made without them.
//
// # Rights
//
// The owner of the tables can drop the triggers, so the program should not own
// them. Once another role has run the migrations, the program needs only the
// following rights. With them, the database rejects every statement that would
// change or remove an entry:
//
//	SELECT, INSERT                  file_access_logs, file_access_writers, file_access_checkpoints
//	SELECT, INSERT, UPDATE, DELETE  file_access_intents, file_access_grants
//	SELECT                          file_access_migrations, file_access_frontiers, file_access_erasures
//
// Intents are inserted and deleted with every operation. A row of
// file_access_grants is inserted when a limited link is first used or a link is
// revoked. Triggers reject a negative or decreasing count, an undone revocation,
// an earlier expiry, and the deletion of a row until an hour after its link
// expired. Without the right DELETE, the rows of expired links remain.
//
// [Journal.Erase] and [Journal.Purge] need additional rights and should run
// under a separate role. Erase needs INSERT on file_access_erasures and UPDATE
// on file_access_logs. Purge needs INSERT and DELETE on file_access_frontiers,
// and DELETE on file_access_logs and file_access_checkpoints.
//
// On PostgreSQL, only the owner of the partitioned table can create partitions
// for future months and drop partitions of past months. Once a month, such a
// role must open a journal or call file_access_make_partitions. Entries without
// a partition are stored in file_access_logs_rest. Purge deletes old entries
// there row by row.
//
// # Metrics
//
// A journal reports these metrics to OpenTelemetry's global meter provider, if
// the program sets one. A record is an entry or an intent.
//
//	blobtrail.sqlaudit.queue.length    records waiting to be stored
//	blobtrail.sqlaudit.flush.size      records in each transaction attempt
//	blobtrail.sqlaudit.flush.duration  seconds for each transaction attempt
//	blobtrail.sqlaudit.flush.failures  failed attempts, by error.type; most are retried
//	blobtrail.sqlaudit.failures        records that were not stored
//
// The attribute db.system.name identifies the database.
//
// # Proof
//
// The entries of each writer form a Merkle tree. With every transaction that
// stores entries, the writer signs the new root in a checkpoint. A transaction
// that only begins operations has no checkpoint: each intent has a signature.
// [Verify] recomputes all trees and checks all signatures. [Journal.Prove] and
// [proof.Verify] do the same for one entry.
//
// The configuration determines which attacks are detected:
//
//   - With none of the options below: a change by an attacker who does not sign
//     again. An attacker who rewrites the whole database with a new key is not
//     detected.
//   - With [Options.DeploymentKey]: entries that were changed, deleted,
//     inserted, reordered or appended, and writers that do not belong to the
//     deployment. Three attacks are not detected: cutting off the end of a log
//     at a checkpoint, removing all rows of a writer, and restoring an older
//     copy of the database.
//   - With [Options.Publish] in addition: those three attacks too, except for
//     entries newer than the last published checkpoint of their writer. This
//     unprotected tail covers at most [PublishOptions.Every] or
//     [PublishOptions.Entries]. It grows while the bucket fails. If a process
//     was killed, its tail remains unprotected until another process publishes
//     for it.
//   - With [AfterPublish] in addition: cutting off any acknowledged entry.
//
// Protect the keys from the attacker. An attacker who can read the memory of a
// process can sign as its writer. An attacker who has the deployment key can
// create writers. Neither can change checkpoints that were published.
//
// # Writers
//
// Each open [Journal] is a writer. It generates its ID when it opens. The
// entries of a writer are numbered in seq, from 0 and without gaps. Entry IDs
// are UUIDv7 values, generated when the entry is committed. Within a writer, IDs
// ascend with seq.
//
// Several processes may write to one database concurrently. Each of them is a
// separate writer, and they share only the locks of the database.
//
// # Format
//
// The comment of package proof specifies the format of the trail. That package
// also checks it: [Verify] reads the tables and passes them to a
// [proof.Checker]. The directory testdata contains verify.py, which was written
// from that comment. It recomputes the hashes of a trail in SQLite, but does not
// check signatures.
//
// # Open operations
//
// A row of file_access_intents is acted upon only if it has a valid signature of
// the writer that holds it. The column signature contains 64 bytes: the Ed25519
// signature, by the key of writer_id, over these four lines, each ending in a
// newline:
//
//	blobtrail intent v1
//	op <op_id>
//	holder <holder>
//	event <SHA-256 of the column event, in lowercase hexadecimal digits>
//
// A process that takes over an intent signs it again as its holder.
// [Journal.Dangling] and [Journal.Claim] check three things: this signature; the
// certificate of the writer, by the key of [Options.DeploymentKey] or one of
// [Options.TrustedKeys]; and that the trail does not contain an entry of op_id
// yet. They do not change any other row and return an error that wraps
// audit.ErrUntrusted. [Verify] reports such rows as findings. Without a
// deployment key, anyone who can insert into file_access_writers can add a
// writer whose signature is accepted.
//
// The signature does not cover the lease. In file_access_intents, begun_at and
// lease_until are microseconds since 1970 according to the database's clock.
package sqlaudit
