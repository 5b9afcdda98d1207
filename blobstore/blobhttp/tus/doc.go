// Package tus takes uploads that survive a dropped connection, by the tus
// protocol (https://tus.io), and stores each complete one in a blobstore.Store:
//
//	files := blobhttp.Intake{Store: store, MaxSize: 10 << 30}
//	uploads, err := tus.New(&files, "/var/spool/app", nil)
//	mux.Handle("/uploads/", uploads)
//
// It is a separate module, so that other programs do not link the library of the
// protocol, github.com/tus/tusd/v2.
//
// # Uploads under way
//
// The bytes of an upload under way are in a folder. They are synced before the
// response confirms them. They are not objects: they can't be read, and the trail
// does not mention them. When the upload is complete, it takes the path of every
// upload, with its intent, checks and entry, under the actor of the request that
// completed it. Only then does the response say that the upload is complete. If the
// process dies in between, the next request for the offset finishes the upload. An
// upload that breaks a rule is removed, and the response names the rule. Unfinished
// uploads expire; [Handler.Sweep] removes them.
//
// One process at a time uses the folder. On Unix it holds a lock on the folder as
// long as it lives. A service of several processes gives each process its own
// folder, on a disk that outlives the process, and routes a client that resumes to
// the process where it began. Another process responds with 404, and the client
// begins anew.
//
// An upload belongs to the user and tenant who began it. For others it does not
// exist.
package tus
