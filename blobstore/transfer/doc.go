// Package transfer copies the objects of one store to another: from local files
// to S3, from one cloud to another, or from a folder written by other programs
// into a store with an audit trail.
//
//	report, err := transfer.Copy(ctx, dst, src, &transfer.Options{Parallel: 8})
//
// [Copy] uploads every object like any other upload. The trail of dst records
// the upload, and the trail of src records the download. A partial object is
// never visible. If the content of an object does not match its stored SHA-256,
// Copy reports the object and does not copy it.
//
// Copy keeps no state. It skips objects already present at the destination with
// the same content. After a crash or a failure, call Copy again to continue.
// When a call copies nothing, the transfer is complete.
package transfer
