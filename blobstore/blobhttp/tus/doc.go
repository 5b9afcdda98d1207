// Package tus takes uploads that survive a dropped connection, by the tus
// protocol (https://tus.io), and stores each in a blobstore.Store when it is
// complete:
//
//	files := blobhttp.Intake{Store: store, MaxSize: 10 << 30}
//	uploads, err := tus.New(&files, "/var/spool/app", nil)
//	mux.Handle("/uploads/", uploads)
//
// It is a module of its own, so that only who wants it has the library that
// speaks the protocol, github.com/tus/tusd/v2.
//
// # What is kept where
//
// The bytes of an upload under way lie in a folder, synced before the client is
// told that they have arrived. They are no objects: nobody can read them and the
// trail knows nothing of them. When the last has come they go the way of every
// upload, with its intent, its checks and its entry, under the actor of the request
// that completed it; only then is the client told that it is complete. If the
// process dies in between, the client's next question how far its upload has come
// finishes it. What breaks a rule is removed, and the client told why. Unfinished
// uploads expire; [Handler.Sweep] removes them.
//
// The folder is of one process at a time, which on Unix holds a lock on it as long
// as it lives. A service of several processes gives each its own folder, on a disk
// that outlives the process, and leads a client that resumes to the one where it
// began; at another its upload does not exist (404), and it begins anew.
//
// An upload belongs to the user and tenant who began it; for others it does not
// exist.
package tus
