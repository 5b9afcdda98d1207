// Package transfer moves the objects of one store to another: from local files
// to S3, from one cloud to another, or from a folder that other programs wrote
// into a store that keeps a trail.
//
//	report, err := transfer.Copy(ctx, dst, src, &transfer.Options{Parallel: 8})
//
// Every object is copied along the way that an upload takes, so it has its entry
// in the trail of dst (and its reading one in that of src), nothing half-written
// is ever seen, and the copy has the SHA-256 that the source's digest says; an
// object whose content is not what its digest says is reported and not copied.
//
// Copy keeps no state. What is at its destination already, with the same content,
// is left alone, so that after a kill or a failure the same call goes on where
// the last one ended, and a last call tells that nothing is left to do.
package transfer
