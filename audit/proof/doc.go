// Package proof specifies the format of the audit trail and verifies it.
//
// [Verify] checks the proof of one entry. [VerifyExport] checks the entries
// exported by a purge. Both need only their arguments and a verifier key, so an
// auditor can use them without access to the trail. A [Checker] checks a whole
// trail; package sqlaudit feeds it from a database. This package performs no
// I/O except reading and writing exports.
//
// The rest of this comment is the format. It is sufficient to write another
// verifier. Names of tables and columns are those of package sqlaudit.
//
// # Canonical entry, version 1
//
// The canonical form of an entry is a JSON object. It has one member for each
// column of [audit.Columns] that is not personal, named after the column, and
// the members schema_version and pii_commitment. The personal columns are
// user_id, ip_address, user_agent and request_id. A column with the value NULL
// has no member. Members are sorted by name. No white space separates the
// tokens. Values are encoded as follows:
//
//   - Text columns: a JSON string as specified in RFC 8785. Only '"', '\' and
//     the characters below U+0020 are escaped, as \" \\ \b \t \n \f \r or
//     \u00xx with lowercase hexadecimal digits. Every other character is
//     encoded in UTF-8.
//   - seq, size and schema_version: a number in decimal digits. schema_version
//     is 1.
//   - id, op_id, ref_op_id and writer_id: a string with the UUID in hyphenated
//     lowercase form.
//   - occurred_at and created_at: a string with the time in UTC and six
//     fractional digits: "2006-01-02T15:04:05.000000Z".
//   - sha256 and pii_commitment: a string of lowercase hexadecimal digits.
//   - details and attrs: the column contains a JSON object whose values are
//     strings. The member contains that object itself, not a string. Its members
//     are sorted by the UTF-16 code units of their names. Its strings are
//     encoded like text columns. A verifier must parse the column and encode it
//     again: text with more than one object could imitate the members after it.
//
// A verifier must also check that each column has a value of the column's type.
// SQLite accepts any value in any column. There, text stored as a BLOB gives
// the same leaf, but no query finds it. NULL is never stored as an empty text.
//
// leaf is the SHA-256 of the byte 0x00 followed by the canonical form. This is
// the leaf hash of RFC 6962.
//
// pii_commitment is the SHA-256 of these bytes, in this order: pii_salt (32
// random bytes), user_id, ip_address, user_agent, request_id. Each of the four
// fields is encoded as its length in bytes (8 bytes, big-endian) followed by
// its bytes in UTF-8. A NULL field is encoded as eight bytes 0xff with no
// content. After an erasure, pii_salt is NULL. The commitment can then neither
// be checked nor be guessed.
//
// # Checkpoints and certificates
//
// Each process that writes entries is a writer. Its entries are numbered in
// seq, from 0 and without gaps. Their leaves, in ascending order of seq, are
// the leaves of a Merkle tree as defined in RFC 6962. An inner node is the
// SHA-256 of the byte 0x01, the left hash and the right hash.
//
// A checkpoint is a C2SP signed note (c2sp.org/signed-note, Ed25519, in the
// format of golang.org/x/mod/sumdb/note). Its text is a C2SP tlog-checkpoint of
// three lines:
//
//	blobtrail/<writer_id>
//	<tree_size, decimal>
//	<root, base64>
//
// The note is signed by the key named "blobtrail/<writer_id>". The 32 bytes of
// the public key are in file_access_writers.public_key. In
// file_access_checkpoints, tree_size equals the size in the note. The seq of
// every entry is less than the largest tree_size of its writer.
//
// file_access_writers.certificate is a signed note. The writer's key signs it
// and, if the deployment has a key, the deployment key signs it too. Its text
// is:
//
//	blobtrail writer certificate v1
//	writer <writer_id>
//	key <the writer's verifier key, as in golang.org/x/mod/sumdb/note>
//	origin <origin, as a JSON string of the canonical form>
//	started <started_at, as a time of the canonical form, without quotes>
//
// # Published objects
//
// Each writer has one folder below the prefix. The folder contains the object
// "<writer_id>/certificate", written before the first checkpoint, and one
// object "<writer_id>/<tree_size>" for each published checkpoint, with
// tree_size in 20 decimal digits. The content of each object is the note, byte
// for byte. Published objects are never replaced.
//
// Only signed objects count. A certificate must be signed by its writer and by
// a trusted key. A checkpoint must be signed by its writer, for the size in its
// name. A verifier must draw no conclusion from other objects below the prefix.
//
// # Orders
//
// The personal fields and pii_salt of an entry may be NULL if a row of
// file_access_erasures with the same writer_id names the entry. The row's note
// is signed by any writer with a valid certificate. The last line lists
// sequence numbers and ranges in ascending order, and its first number equals
// the column first_seq:
//
//	blobtrail erasure v1
//	op <op_id>
//	writer <writer_id>
//	entries 3,7-12,40
//
// For each writer, the row of file_access_frontiers with the largest tree_size
// states that all entries with a smaller seq were removed. The column hashes
// contains the roots of the complete subtrees of a tree with tree_size leaves,
// 32 bytes each. There is one root for each bit set in tree_size, ordered from
// the highest bit to the lowest, so the largest and leftmost subtree comes
// first. Together they produce the root in the writer's checkpoint with the
// same tree_size. Purge keeps that checkpoint. The row's note is signed by any
// writer with a valid certificate:
//
//	blobtrail frontier v1
//	op <op_id>
//	writer <writer_id>
//	size <tree_size>
//	root <root, base64>
//
// # Proofs
//
// A [Proof] is a JSON document with these members:
//
//	version      the number 1
//	entry        the canonical form, as a string
//	personal     salt (hexadecimal) and the recorded personal columns; absent after an erasure
//	index        the entry's seq
//	path         the inclusion proof of RFC 6962, from the leaf upward, as base64 strings
//	checkpoint   the note of a checkpoint that covers the entry
//	certificate  the note of the writer's certificate
//
// A proof is valid if all of these conditions hold:
//
//   - version is 1.
//   - A trusted key signed the certificate.
//   - The key in the certificate signed the checkpoint.
//   - path leads from the leaf hash of entry to the root in the checkpoint.
//   - entry is in canonical form, names the writer of the certificate, and its
//     seq equals index.
//   - If personal is present, the pii_commitment of entry matches it.
//
// # Exports
//
// An export contains one JSON object per line. Strings are escaped as
// encoding/json does without HTML escaping. Members have the order given here;
// those of "personal" are sorted by name. The members "personal" and "hashes"
// are absent if they are empty.
//
//   - {"export": …} begins an export. Its members are "version", the number 1,
//     and "op_id", the operation of the purge.
//   - {"writer": …} precedes the entries of a writer. Its members are
//     "writer_id", "origin", "certificate" (the note), "from" (the seq of the
//     first entry after this line) and "hashes" (of the tree with from leaves,
//     as in file_access_frontiers, as base64 strings).
//   - {"entry": …, "leaf": …, "personal": …} contains the canonical form as a
//     string, the leaf in hexadecimal digits, and the personal columns as in a
//     proof unless they were erased.
//   - {"checkpoint": …} contains the writer's note that covers the entries
//     before it, from the beginning of the log.
//   - {"end": …} ends an export. Its members are "note" and "certificate". The
//     certificate belongs to the writer that signed the note.
//
// The text of the note at the end covers all lines before it, including their
// line ends, from the line that begins the export:
//
//	blobtrail export v1
//	op <op_id>
//	lines <their number, decimal>
//	sha256 <SHA-256 of their bytes, in hexadecimal digits>
//
// A file may contain several exports. In a later one, the entries of a writer
// begin after the last entry of an earlier one. They begin before that entry if
// the purge was interrupted and exported some entries again. An interrupted
// purge leaves no end.
//
// # Vectors
//
// The directory testdata contains test vectors: vectors.json for entries,
// proof.json for a proof and export.jsonl for an export. The directory testdata
// of package sqlaudit contains verify.py, a verifier for SQLite written from
// this comment. It recomputes every leaf, commitment and root, but does not
// check signatures.
package proof
