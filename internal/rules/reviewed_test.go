package rules

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Parameters of one type can be swapped by mistake, and may have to match.
// pairs lists the reviewed functions with such parameters. Review a new
// function before adding it.
var pairs = map[string]string{
	"audit/proof: ErasureText":                            "IDs of an operation and of a writer, in the order of the text",
	"audit/proof: FrontierText":                           "as ErasureText",
	"audit/proof: Log.Erasure":                            "columns of one row",
	"audit/proof: Log.Frontier":                           "columns of one row",
	"audit/proof: NewProof":                               "a checkpoint that is a certificate does not open",
	"blobstore: NewKey":                                   "a prefix and a name, as path.Join",
	"blobstore: Store.Copy":                               "destination first, as io.Copy",
	"blobstore: Store.Move":                               "as Copy",
	"blobstore: Store.Revoke":                             "a grant of another key is refused",
	"blobstore: Store.Ticket":                             "a ticket of another key is refused",
	"blobstore/driver: Bucket.Copy":                       "as Store.Copy",
	"blobstore/driver: CopyThrough":                       "as Store.Copy",
	"blobstore/driver: Bucket.Read":                       "offset and length, as io.NewSectionReader",
	"blobstore/filestore/localblob: Bucket.Adopt":         "as Store.Copy",
	"blobstore/filestore/localblob: Bucket.DeleteVersion": "a key has no version of that name",
	"blobstore/filestore/localblob: Bucket.OpenRange":     "as Bucket.Read",
	"blobstore/transfer: Copy":                            "destination first, as io.Copy",
	"signurl: Grant.CheckActor":                           "the two that an actor has",
}

// Functions must not have two arguments that have to match. Those with several
// parameters of one type must have been reviewed.
func TestParametersOfOneType(t *testing.T) {
	found := make(map[string]bool)
	for _, s := range signatures(t) {
		if s.fn == nil {
			continue
		}
		types := make(map[string]int)
		for _, p := range s.fn.Params.List {
			types[written(t, p.Type)] += max(1, len(p.Names))
		}
		for typ, n := range types {
			if n > 1 && !strings.HasPrefix(typ, "...") {
				found[s.where] = true
				assert.Contains(t, pairs, s.where, "%s: two of %s: use a struct, or say here why they need not match", s.text, typ)
			}
		}
	}
	for name := range pairs {
		assert.True(t, found[name], "%s has no such parameters any more", name)
	}
}
