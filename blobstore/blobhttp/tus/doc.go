// Package tus provides resumable uploads. An upload survives a dropped
// connection. The client uses the tus protocol (https://tus.io), and each
// complete upload is stored in a blobstore.Store:
//
//	files := blobhttp.Intake{Store: store, MaxSize: 10 << 30}
//	uploads, err := tus.New(&files, "/var/spool/app", nil)
//	mux.Handle("/uploads/", uploads)
//
// The package is a separate module. Programs that do not import it do not link
// the library github.com/tus/tusd/v2.
//
// # Unfinished uploads
//
// The content of an unfinished upload is in a spool folder. It is synced to
// disk before the response confirms it. It is not an object yet: it cannot be
// downloaded, and the trail does not record it.
//
// The last request of an upload stores the object. The handler records the
// intent, checks the content, and records the outcome, for the actor of that
// request. Only then does the response report that the upload is complete. If
// the process dies before that, the next request for the offset completes the
// upload. If the upload violates a limit, the handler removes it and responds
// with the reason. Unfinished uploads expire; [Handler.Sweep] removes them.
//
// An upload belongs to the user and tenant who began it. Other users get status
// 404.
//
// # Several processes
//
// Only one process can use a spool folder at a time. On Unix, the process holds
// a lock on the folder while it runs.
//
// If a service has several processes, give each process a separate folder on a
// disk that outlives the process. Route each client to the process where its
// upload began. Any other process responds with status 404, and the client
// starts again.
package tus
