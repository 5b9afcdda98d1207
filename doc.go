// Package blobtrail is file storage with an audit trail, embedded in a Go
// program: one call stores the file, hands back a link that expires, and leaves
// a record of who did it.
//
// This package is empty. The packages below it are, from those that a program
// begins with to those that it may never see:
//
//   - config sets up the whole from environment variables.
//   - blobstore has the Store, the one way to the files: upload, download, link,
//     list, copy, move, delete, and settling what a crash cut short.
//   - blobstore/filestore, s3store, azurestore, gcsstore and memstore are the
//     providers, chosen by the scheme of a URL and imported for their side
//     effect; blobstore/all imports all of them.
//   - blobstore/blobhttp is what a server mounts: the middleware that tells who
//     acts, and the handler that honours signed links.
//   - blobstore/transfer moves the files of one store to another, while the
//     program goes on if need be.
//   - audit/sqlaudit keeps the trail in an SQL database.
//   - audit is the vocabulary of the trail: events, actors, journals. It links
//     the standard library only.
//   - signurl signs and checks links, and links the standard library only.
//   - blobstore/driver is the seam for those who write a provider;
//     blobstore/storetest and audit/audittest are the suites that providers and
//     journals have to pass.
//
// Nothing is stored, changed or removed, no link issued and no byte served
// before its record is durable; if it can't be written, the operation is
// refused. What a killed process leaves is settled by blobstore.Store.Reconcile.
//
// Imports point downwards only, and the core links no cloud SDK and no SQL
// driver: a program imports those that it uses.
package blobtrail
