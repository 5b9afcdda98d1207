package blobstore

import (
	"fmt"

	"github.com/blobtrail/blobtrail/audit"
)

// reservedAttrs are the attributes that this package writes into its events.
// Some of them steer how an operation is settled after a crash, and readers of
// the trail rely on the others, so a caller can't set any of them.
var reservedAttrs = map[string]bool{
	audit.AttrSourceKey: true,
	audit.AttrFilename:  true,
	audit.AttrMethod:    true,
	audit.AttrExpires:   true,
	audit.AttrRange:     true,
	audit.AttrStaged:    true,
	audit.AttrPrior:     true,
	attrETag:            true,
	attrStagingKey:      true,
	attrMaxSize:         true,
	attrTypes:           true,
}

// checkAttrs refuses the caller's attributes if one has a reserved name.
func checkAttrs(attrs map[string]string) error {
	for name := range attrs {
		if reservedAttrs[name] {
			return fmt.Errorf("%w: attribute %q is reserved for the library: use another name in Attrs", audit.ErrEvent, name)
		}
	}
	return nil
}
