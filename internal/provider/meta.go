package provider

// Metadata names for the library's own values. They contain only lowercase
// letters, because every service stores these unchanged. Names that begin with
// MetaPrefix are reserved.
const (
	MetaPrefix   = "blobtrail"
	MetaOp       = MetaPrefix + "op"     // the operation that wrote the object
	MetaSHA256   = MetaPrefix + "sha256" // digest of the content, in lowercase hex
	MetaFilename = MetaPrefix + "name"   // name of the uploaded file
)
