package rules

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/apicount"
)

// Names use one word for each concept: Size and MaxSize, range, revoke, redeem,
// issue.
func TestNamesHaveOneWordForEachIdea(t *testing.T) {
	synonyms := regexp.MustCompile(`MaxBytes|MaxLength|MaxUploadBytes|ContentLength|Withdraw|TakeBack|UseLink|DenyLink|GenerateURL|GenerateUploadURL|Newest$`)
	packages, err := apicount.Count("../..")
	require.NoError(t, err)
	for _, p := range packages {
		for _, name := range p.Names {
			assert.NotRegexp(t, synonyms, name, p.Path)
		}
	}
}
