// Package sqlaudit keeps the audit trail in an SQL database. Its [Journal]
// implements audit.Journal and audit.Reader: operations become durable intents
// before their effect and are settled by exactly one entry, whatever crashes.
//
// Callers share transactions: while one is stored, those who come wait, and the
// next stores all of them together. Nothing is acknowledged before its commit.
// An event that the database refuses fails alone. [Options.Async] gives that up
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
// transaction. [Verify] recomputes all of it; [Journal.Prove] and [VerifyProof]
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
//   - [AnchorSync] as well: nothing that was acknowledged can be cut off.
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
// # The canonical entry, version 1
//
// The column leaf proves the rest of its row. This section is all that is
// needed to check it with a program of one's own.
//
// The canonical form of an entry is a JSON object with one member for each
// column of file_access_logs, named like the column, except leaf, pii_salt,
// user_id, ip_address, user_agent and request_id. A column that is NULL has no
// member. Members stand in the order of their names, with no white space:
//
//   - text: a string as RFC 8785 writes it. Only '"', '\' and the characters
//     below U+0020 are escaped, as \" \\ \b \t \n \f \r or \u00xx with
//     lower-case digits; everything else stands for itself in UTF-8.
//   - seq, size and schema_version: decimal digits.
//   - id, op_id, ref_op_id and writer_id: a string, the UUID in its hyphenated
//     lower-case form.
//   - occurred_at and created_at: a string, in UTC with six digits of a second:
//     "2006-01-02T15:04:05.000000Z".
//   - sha256 and pii_commitment: a string of lower-case hexadecimal digits.
//   - attrs: an object, its members ordered by the UTF-16 code units of their
//     names, its strings written as above. The column holds exactly this text. A
//     verifier has to parse it and write it again: text that holds more than one
//     object could stand for the members behind it.
//
// A verifier also has to check that each column holds a value of its own type. On
// SQLite, where any column takes any value, text that is stored as a BLOB gives
// the same leaf, but no query finds it. NULL is never stored as an empty text.
//
// leaf is the SHA-256 of one byte 0x00 followed by the canonical form, which is
// the leaf hash of RFC 6962.
//
// pii_commitment is the SHA-256 of pii_salt (32 random bytes), followed by
// user_id, ip_address, user_agent and request_id in this order, each as the
// number of its bytes (8 bytes, big-endian) and its bytes in UTF-8; for one
// that is NULL, eight bytes 0xff and nothing else. After an erasure pii_salt is
// NULL, and the commitment can be neither checked nor guessed.
//
// # Checkpoints and certificates
//
// The leaves of a writer's entries, in the order of seq, are the leaves of a
// Merkle tree as RFC 6962 defines it: a node is the SHA-256 of one byte 0x01,
// the left and the right hash. A checkpoint is a C2SP signed note
// (c2sp.org/signed-note, Ed25519, as golang.org/x/mod/sumdb/note writes it), with
// the text of a C2SP tlog-checkpoint, three lines:
//
//	blobtrail/<writer_id>
//	<tree_size, decimal>
//	<root, base64>
//
// It is signed by the key named "blobtrail/<writer_id>", whose 32 bytes are
// file_access_writers.public_key. In file_access_checkpoints, tree_size is that
// of the note; no entry has a seq beyond the last of them.
//
// file_access_writers.certificate is a signed note with this text, signed by the
// writer's key and, if the deployment has one, by the deployment's key:
//
//	blobtrail writer certificate v1
//	writer <writer_id>
//	key <the writer's verifier key, as in golang.org/x/mod/sumdb/note>
//	origin <origin, as a JSON string of the canonical form>
//	started <started_at, as a time of the canonical form, without quotes>
//
// # Published objects
//
// Below the prefix there is one folder for each writer. It has the object
// "<writer_id>/certificate", written before the first checkpoint, and one
// "<writer_id>/<tree_size>" for each checkpoint that was published, its size in
// 20 decimal digits. Their content is the note, byte for byte. Objects are never
// replaced. An object counts only if it is signed: the certificate by the writer
// and by a key that one trusts, a checkpoint by the writer, for the size that is in
// its name. Anything else below the prefix says nothing about the trail.
//
// # Erasures and frontiers
//
// Personal fields may be NULL together with pii_salt if a row of
// file_access_erasures of this writer names the entry. Its note is signed by any
// writer with a valid certificate; entries are ascending numbers and runs of
// them, the first being first_seq:
//
//	blobtrail erasure v1
//	op <op_id>
//	writer <writer_id>
//	entries 3,7-12,40
//
// The row of file_access_frontiers with the largest tree_size of a writer says
// that the entries before it were removed. hashes are the roots of the complete
// subtrees of the tree of that size, 32 bytes each, the largest and leftmost
// first: one for each bit that is set in tree_size, from the highest. Their root
// is that of the writer's own checkpoint of that size, which is kept. The note
// is signed by any writer with a valid certificate:
//
//	blobtrail frontier v1
//	op <op_id>
//	writer <writer_id>
//	size <tree_size>
//	root <root, base64>
//
// # Proofs and exports
//
// A [Proof] is a JSON document: entry is the canonical form as a string,
// personal holds salt and fields, index is seq, path the inclusion proof of RFC
// 6962 from the leaf up, checkpoint and certificate are the notes. It holds if
// the certificate is signed by a key one trusts, the checkpoint by the key in
// the certificate, the path leads from the leaf to the checkpoint's root, the
// entry names that writer and seq, and its pii_commitment is that of personal.
//
// An export of [Journal.Purge] has one JSON object in each line: {"writer": …}
// before the entries of a writer, from the place in "from"; {"entry": …,
// "leaf": …, "personal": …} with the canonical form as a string, the leaf in
// hexadecimal digits, and the personal fields unless they were erased; and
// {"checkpoint": …}, the note that covers the entries before it.
//
// testdata has test vectors: vectors.json for entries, proof.json for a proof,
// and verify.py, a verifier for SQLite that was written from this comment.
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
