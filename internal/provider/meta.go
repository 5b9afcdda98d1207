package provider

// Metadata names under which the library keeps facts with each object. They are
// lower-case letters only, which every service takes as they are. Names that
// begin with MetaPrefix are reserved.
const (
	MetaPrefix   = "blobtrail"
	MetaOp       = MetaPrefix + "op"     // the operation that wrote the object
	MetaSHA256   = MetaPrefix + "sha256" // its content's digest, lower-case hex
	MetaFilename = MetaPrefix + "name"   // the name it was uploaded under
)
