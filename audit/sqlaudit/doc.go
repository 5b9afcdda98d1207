// Package sqlaudit keeps the audit trail in an SQL database. Its [Journal]
// implements audit.Journal and audit.Reader: operations become durable intents
// before their effect and are settled by exactly one entry, whatever crashes.
//
// Callers share transactions: while one is stored, those who come wait, and the
// next stores all of them together. Nothing is acknowledged before its commit.
// An event that the database refuses fails alone. [WhenQueued] gives that up
// for entries that nobody should wait for, and says what it costs.
//
// # Tables
//
//	file_access_logs        the entries; nothing but personal fields can change
//	file_access_intents     operations that were begun and are not yet settled
//	file_access_writers     the processes that wrote entries, and their keys
//	file_access_checkpoints what each writer signed
//	file_access_frontiers   where a log goes on whose beginning was removed
//	file_access_erasures    the signed orders to erase personal fields
//	file_access_grants      how often gateway links were used, and which were withdrawn
//	file_access_migrations  which of the package's migrations were applied
//
// Triggers refuse to change or remove an entry, but for setting the personal
// columns (user_id, ip_address, user_agent, request_id and pii_salt) to NULL.
// They let entries and checkpoints go once a frontier stands beyond them. They
// are guard rails: whoever may change the schema can drop them. What shows that
// somebody did is the proof.
//
// # Rights
//
// Whoever owns the tables can drop the triggers, so a program should not. These
// rights are enough for it, once somebody else has migrated, and with them the
// database refuses every change of the trail, by whatever statement:
//
//	SELECT, INSERT                  file_access_logs, file_access_writers, file_access_checkpoints
//	SELECT, INSERT, UPDATE, DELETE  file_access_intents, file_access_grants
//	SELECT                          file_access_migrations, file_access_frontiers, file_access_erasures
//
// Intents come and go, and a use of a link is counted in its grant, which can
// only grow: triggers refuse a negative count, a smaller count, an earlier end, and
// to delete a grant before an hour after its link expired. Without DELETE the
// grants of expired links stay. [Journal.Erase]
// and [Journal.Purge] need more, and are for a role of their own: INSERT on
// file_access_erasures and UPDATE on file_access_logs; INSERT and DELETE on
// file_access_frontiers, and DELETE on file_access_logs and file_access_checkpoints.
//
// On PostgreSQL the partitions of the coming months are made, and those of old
// months dropped as a whole, only by whoever owns them: have such a role open a
// journal, or call file_access_make_partitions, once a month. Entries for which
// there is no partition go to file_access_logs_rest, and old ones are removed one
// by one.
//
// # Metrics
//
// A journal measures through OpenTelemetry's global meter provider, if the
// program sets one: blobtrail.sqlaudit.queue.length, the records that wait;
// blobtrail.sqlaudit.flush.size and flush.duration, the records and the seconds of
// each transaction; blobtrail.sqlaudit.flush.failures, the attempts that failed,
// by error.type; and blobtrail.sqlaudit.failures, the records that were not
// stored. db.system.name is that of the database.
//
// # The proof
//
// Each writer's log is a Merkle tree, and the writer signs its root with every
// transaction. [Verify] recomputes all of it; [Journal.Prove] and [proof.Verify]
// do so for one entry. What an attacker can't get away with depends on what is
// set up:
//
//   - Nothing: a change by somebody who does not sign anew is found. Whoever
//     writes the whole database, with a key of their own, is not.
//   - [Options.DeploymentKey]: changing, deleting, inserting, reordering and
//     appending entries is found, and so is a writer of somebody else. Cutting
//     off the end of a log at a checkpoint, removing a writer whole, and putting
//     an older copy of the database in its place are not.
//   - [Options.Publish] as well: these are found too, but for what came after
//     the last published checkpoint of its writer: at most
//     [PublishOptions.Every] or [PublishOptions.Entries], longer while the
//     bucket fails and until another process publishes for one that was killed.
//   - [AfterPublish] as well: nothing that was acknowledged can be cut off.
//
// The keys must be out of the attacker's reach: whoever reads the memory of a
// process can sign as its writer, and whoever has the deployment's key can make
// writers. What such an attacker can't do is change what was published.
//
// # Writers
//
// Each open [Journal] is a writer with an id of its own, minted when it opens.
// Its entries are numbered from 0 without a gap in seq, and their ids (UUIDv7,
// minted when the entry is committed) ascend with seq. Several processes may
// write to one database at once; each is a writer, and no lock is shared
// between them but the database's own.
//
// The format of the trail is specified in the comment of package proof, which also
// checks it: [Verify] reads the tables and feeds them to a [proof.Checker]. testdata
// has verify.py, a verifier for SQLite that was written from that comment.
//
// # Open operations
//
// A row of file_access_intents is acted upon only with the signature of the
// writer that holds it. The column signature has 64 bytes: the Ed25519
// signature, by the key of writer_id, over these four lines, each of which ends
// in a newline:
//
//	blobtrail intent v1
//	op <op_id>
//	holder <holder>
//	event <SHA-256 of the column event, in lower-case hexadecimal digits>
//
// A process that takes over an intent signs it anew as its holder.
// [Journal.Dangling] and [Journal.Claim] check that signature, the certificate
// of its writer by the key of [Options.DeploymentKey] or one of
// [Options.TrustedKeys], and that the trail has no entry of op_id yet. They leave
// every other row as it is and return an error that wraps audit.ErrUntrusted.
// [Verify] reports these rows as findings. Without a deployment key, anyone who
// may insert into file_access_writers can add a writer whose signature counts.
//
// The signature does not cover the lease. Times in file_access_intents are
// microseconds since 1970 by the database's clock.
package sqlaudit
