// Package all imports every provider. Import it for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/all"
//
// To keep a program small, import only the providers it uses. Each cloud
// provider links its SDK.
package all

import (
	_ "github.com/blobtrail/blobtrail/blobstore/azurestore" // azblob://
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"  // local:// and file://
	_ "github.com/blobtrail/blobtrail/blobstore/gcsstore"   // gs://
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"   // mem://
	_ "github.com/blobtrail/blobtrail/blobstore/s3store"    // s3://
)
