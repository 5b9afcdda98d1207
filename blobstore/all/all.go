// Package all brings every provider into a program, for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/all"
//
// A program that knows its backend imports that provider alone and stays
// smaller: each cloud brings its SDK along.
package all

import (
	_ "github.com/blobtrail/blobtrail/blobstore/azurestore" // azblob://
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"  // local:// and file://
	_ "github.com/blobtrail/blobtrail/blobstore/gcsstore"   // gs://
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"   // mem://
	_ "github.com/blobtrail/blobtrail/blobstore/s3store"    // s3://
)
