// Package blobtrail stores files with an audit trail, embedded in a Go program.
// One call stores a file, returns a link that expires, and records who stored
// it.
//
// [Open] is the entry point. It opens the store, its trail and the signer of
// links, as described by environment variables.
//
//	app, err := blobtrail.Open(ctx, nil)
//	defer app.Close(context.Background())
//	obj, err := app.Store.Upload(ctx, key, r, nil)
//
// If no variable is set, files are stored in ./uploads and the trail in the
// SQLite file blobtrail.db. This package links no storage provider and no SQL
// driver. As with database/sql, the program imports them:
//
//	import (
//		_ "github.com/blobtrail/blobtrail/blobstore/filestore"
//		_ "modernc.org/sqlite"
//	)
//
// Every operation is recorded durably before the store stores, changes or
// removes an object, issues a link, or serves a byte. If the record cannot be
// written, the operation is refused. Reconcile settles the operations of a
// killed process.
//
// These are the other packages. The ones that most programs use come first:
//
//   - config reads and validates the environment variables.
//   - blobstore has the Store: upload, download, link, list, copy, move,
//     delete, and reconcile after a crash.
//   - blobstore/filestore, s3store, azurestore, gcsstore and memstore are the
//     providers. The scheme of a URL selects one, and a blank import registers
//     it. blobstore/all imports all of them.
//   - blobstore/blobhttp has HTTP handlers: middleware that identifies the
//     actor, uploads, downloads, and signed links.
//   - blobstore/transfer copies the objects of one store to another, verified and
//     resumable.
//   - audit/sqlaudit stores the trail in an SQL database.
//   - audit/proof verifies proofs and exports of a trail without its database.
//   - audit defines events, actors and journals. It links only the standard
//     library.
//   - signurl signs and verifies links. It links only the standard library.
//   - secret has the type of keys, passwords and connection strings. It never
//     prints them.
//   - blobstore/driver is the interface for authors of providers.
//     blobstore/storetest and audit/audittest are the conformance suites for
//     providers and journals.
package blobtrail
