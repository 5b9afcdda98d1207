// Package config reads the configuration of a program from its environment, and
// checks it. blobtrail.Open opens the store and the trail that a [Config] describes:
//
//	cfg, err := config.Load()
//	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg})
//
// [Load] reports every mistake at once, each as a [*Problem] that names its
// variable. With an empty environment it is local files in ./uploads and a trail
// in blobtrail.db, a SQLite file. The variables are described in the file
// .env.example at the root of the module, and at the fields of [Config].
//
// Secrets are of type [secret.Text], which prints as "[redacted]": a Config can be
// logged as a whole.
package config
