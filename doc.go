// Package blobtrail stores files with an audit trail, embedded in a Go program: one
// call stores the file, returns a link that expires, and records who did it.
//
// [Open] is the start: it opens the store, its trail and the signer of links that
// the environment describes.
//
//	app, err := blobtrail.Open(ctx, nil)
//	defer app.Close(context.Background())
//	obj, err := app.Store.Upload(ctx, key, r, nil)
//
// With an empty environment the files are in ./uploads and the trail is in
// blobtrail.db, a SQLite file. This package links no storage provider and no SQL
// driver. As with database/sql, the program chooses them with blank imports:
//
//	import (
//		_ "github.com/blobtrail/blobtrail/blobstore/filestore"
//		_ "modernc.org/sqlite"
//	)
//
// The packages below it, from those that a program uses first to those that it may
// never see:
//
//   - config reads and checks the environment variables.
//   - blobstore has the Store, the one way to the files: upload, download, link,
//     list, copy, move, delete, and reconcile the leftovers of a crash.
//   - blobstore/filestore, s3store, azurestore, gcsstore and memstore are the
//     providers, chosen by the scheme of a URL and imported for their side
//     effect; blobstore/all imports all of them.
//   - blobstore/blobhttp has the handlers of a server: the middleware that
//     identifies the actor, uploads, delivery, and the handler of signed links.
//   - blobstore/transfer moves the files of one store to another, if need be
//     while the program runs.
//   - audit/sqlaudit keeps the trail in an SQL database.
//   - audit/proof checks proofs and exports of a trail without its database.
//   - audit is the vocabulary of the trail: events, actors, journals. It links
//     the standard library only.
//   - signurl signs and verifies links, and links the standard library only.
//   - secret is the type of keys, passwords and connection strings, which does not
//     print them.
//   - blobstore/driver is the seam for authors of providers; blobstore/storetest
//     and audit/audittest are the suites that providers and journals have to pass.
//
// Nothing is stored, changed or removed, no link issued and no byte served
// before its record is durable; if the record can't be written, the operation is
// refused. Reconcile settles the operations of a killed process.
//
// Imports point downwards only, and the core links no cloud SDK and no SQL
// driver: a program imports those that it uses.
package blobtrail
