// Package config reads the configuration of a program from environment
// variables and validates it. blobtrail.Open opens the store and the trail
// described by a [Config]:
//
//	cfg, err := config.Load()
//	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg})
//
// [Load] reports all mistakes at once, each as a [*Problem] with its variable.
// If no variable is set, files are stored in ./uploads and the trail in the
// SQLite file blobtrail.db. The file .env.example at the root of the module and
// the fields of [Config] describe the variables.
//
// Secrets have the type [secret.Text], which prints as "[redacted]". A Config
// can therefore be logged.
package config
