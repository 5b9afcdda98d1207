// Package localblob is a Go CDK driver for files in a local folder that keeps what it acknowledges.
//
// It reads and writes the folders of gocloud.dev/blob/fileblob, with these differences:
//
//   - When a writer's Close returns nil, the object, its attributes and the folders above them are durable (fsync).
//   - An object is replaced in one step together with its attributes. Readers see the old or the new one, whole, also
//     while it is replaced, and so does who opens the folder after a crash at any point.
//   - blob.WriterOptions.IfNotExist is exact: of any number of writers, in any number of processes, one wins. The others
//     get an error with the code FailedPrecondition that satisfies errors.Is(err, fs.ErrExist).
//   - A write that fails or is cancelled leaves nothing, and so does blob.Bucket.Upload when its reader fails.
//   - Nothing outside the folder can be reached: not by a key, and not by a symbolic link (os.Root).
//   - No two keys have the same file. Keys that would are refused with the code InvalidArgument: those with an empty,
//     "." or ".." part, those that end in ".attrs", and those inside ".blobtrail" but not in
//     ".blobtrail/check", whose objects are never listed.
//   - A listing reads every folder once, whatever the page size. Its memory is one page and the names in the folders
//     on the way to where it is; for the next page these names are kept for up to two minutes.
//   - Files are private (0600, folders 0700), and an MD5 is computed only if Options.MD5 is set.
//
// # Layout
//
// The key "a/b.pdf" is the file a/b.pdf, and its attributes are the JSON file a/b.pdf.attrs, with the escapes and the
// fields of fileblob. Fields that begin with "blobtrail." are additions, which fileblob ignores: each record names the
// data file that it belongs to by size and time, and a sidecar also keeps the record of the version that it replaced.
// A data file that was changed or copied by hand keeps its type and metadata, but not its MD5. The folder .blobtrail
// holds temporary files and lock files; it is never listed. Temporary files of writers that crashed are removed by
// Open and Sweep.
//
// A part of a key can have 255 bytes as a file name, the last one 249. "a" and "a/b" cannot both be objects. Symbolic
// links that stay inside the folder are followed for reading, are not listed, and are replaced by writing; a folder
// should not hold links to folders, since they give one object two keys. On a file system that ignores case, keys that
// differ only in case are one object.
//
// # Metadata that is known at the end
//
// A checksum that is computed while streaming can be kept with the object: see [Bucket.Write].
//
// # What it relies on
//
// The file system must have rename, hard links (for IfNotExist only) and fsync, and must make the changes of one folder
// durable in the order they were made, as ext4, XFS, Btrfs, ZFS and APFS do. Writers in several processes need flock;
// on a network file system, that of the file system. Where there is none (Windows), only writers of one process are
// ordered, and temporary files are not removed. The folder must be one file system.
//
// A listing may go on for up to a minute with the names it has read: objects added meanwhile to a folder that it has
// entered may be missing from it, those deleted are left out.
//
// The attributes of a version of an object are kept in memory when they were read, for up to 4,096 objects: attributes
// that a program changes, without the object, may be seen only when it is opened by another process.
package localblob
