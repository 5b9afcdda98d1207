// Package config sets up a program's file storage from its environment: one call
// reads and checks the variables, another opens the store, its journal and the
// signer of its links.
//
//	cfg, err := config.Load()
//	app, err := config.Open(ctx, cfg, nil)
//	defer app.Close(context.Background())
//	obj, err := app.Store.Upload(ctx, key, r, nil)
//
// [Load] reports every mistake at once, each as a [*Problem] that names its
// variable. With an empty environment it is local files in ./uploads and a trail
// in blobtrail.db, a SQLite file. The variables are described in the file
// .env.example at the root of the module, and at the fields of [Config].
//
// Secrets are of type [secret.Text], which prints as "[redacted]": a Config can be
// logged as a whole.
//
// This package links no storage provider and no SQL driver. As with
// database/sql, the program chooses them with blank imports, and a missing one
// is an error that names the line to add:
//
//	import (
//		_ "github.com/blobtrail/blobtrail/blobstore/filestore"
//		_ "modernc.org/sqlite"
//	)
package config
