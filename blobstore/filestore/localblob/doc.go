// Package localblob is a Go CDK driver for files in a local folder.
// Acknowledged writes survive crashes and power failures.
//
// It uses the same folder layout as gocloud.dev/blob/fileblob, with these
// differences:
//
//   - When Close of a writer returns nil, the object, its attributes and the
//     folders above them are durable (fsync).
//   - A replacement is atomic and includes the attributes. A reader sees either
//     the old or the new object, complete, even during the replacement or after
//     a crash at any point.
//   - blob.WriterOptions.IfNotExist is exact: exactly one of several concurrent
//     writers succeeds, in any number of processes. The others get an error
//     with the code FailedPrecondition that matches fs.ErrExist.
//   - A failed or canceled write leaves nothing. The same is true for
//     blob.Bucket.Upload if its reader fails.
//   - Neither a key nor a symbolic link can reach anything outside the folder
//     (os.Root).
//   - No two keys share a file. Ambiguous keys are refused with the code
//     InvalidArgument: keys with an empty, "." or ".." part, keys ending in
//     ".attrs", and keys inside ".blobtrail". The exceptions are
//     ".blobtrail/check" and ".blobtrail/uploads". Listings without the prefix
//     ".blobtrail/uploads/" never include these objects.
//   - A listing reads every folder once, for any page size. It uses memory for
//     one page and for the names in the folders on the path to its position. It
//     keeps these names for up to two minutes between pages.
//   - Files are private (0600, folders 0700). An MD5 is computed only if
//     Options.MD5 is set.
//
// # Layout
//
// The key "a/b.pdf" is stored in the file a/b.pdf. Its attributes are stored in
// the JSON file a/b.pdf.attrs, the sidecar, with the escapes and the fields of
// fileblob. Fields that begin with "blobtrail." are additions, and fileblob
// ignores them. Each record identifies its data file by size and time. A
// sidecar also contains the record of the version that it replaced. A data file
// that was changed or copied by hand keeps its type and metadata, but not its
// MD5.
//
// The folder .blobtrail contains temporary files and lock files and is never
// listed, except for uploads (see above). Open and Sweep remove the temporary
// files of crashed writers.
//
// A part of a key can have up to 255 bytes as a file name, and the last part up
// to 249. "a" and "a/b" cannot both be objects.
//
// Reading follows symbolic links that stay inside the folder. Listings omit
// symbolic links, and writing replaces them. Do not put links to folders into
// the folder, because they give one object two keys. On a file system that
// ignores case, keys that differ only in case are the same object.
//
// # Metadata known only at the end
//
// A checksum computed while streaming can be stored with the object; see
// [Bucket.Write].
//
// # Requirements
//
// The file system must support rename, hard links (only for IfNotExist) and
// fsync. It must make the changes of one folder durable in the order of the
// calls, as ext4, XFS, Btrfs, ZFS and APFS do. The whole folder must be on one
// file system.
//
// Writers in several processes need flock. On a network file system, the file
// system must implement it. Without flock (Windows), only writers of the same
// process are ordered, and temporary files are not removed.
//
// # Limits
//
// A listing may continue for up to a minute with names it has already read. It
// may omit objects that were added in this time to a folder it has already
// entered. It omits deleted objects.
//
// The bucket caches the attributes of up to 4,096 objects in memory. If a
// program changes the attributes of an object without changing the object,
// other processes may not see the change until they open the bucket again.
package localblob
