// Package sqlaudit keeps the audit trail in an SQL database. Its [Journal]
// implements audit.Journal and audit.Reader: operations become durable intents
// before their effect and are settled by exactly one entry, whatever crashes.
//
// Callers share transactions: while one is stored, those who come wait, and the
// next stores all of them together. Nothing is acknowledged before its commit.
// An event that the database refuses fails alone.
//
// # Tables
//
//	file_access_logs        the entries; nothing but personal fields can change
//	file_access_intents     operations that were begun and are not yet settled
//	file_access_writers     the processes that wrote entries
//	file_access_migrations  which of the package's migrations were applied
//
// Triggers refuse to change or remove an entry, but for setting the personal
// columns (user_id, ip_address, user_agent, request_id and pii_salt) to NULL.
// They are guard rails: whoever may change the schema can drop them.
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
//   - attrs: the column holds a JSON object whose values are strings. It stands
//     here as an object, its members ordered by the UTF-16 code units of their
//     names, its strings written as above.
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
// Leases in file_access_intents are microseconds since 1970 by the database's
// clock.
package sqlaudit
