package rules

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/apicount"
)

// ceiling bounds the exported identifiers of all packages, including methods
// and fields.
const ceiling = 993

func TestExportedIdentifiers(t *testing.T) {
	packages, err := apicount.Count("../..")
	require.NoError(t, err)
	total := 0
	for _, p := range packages {
		total += len(p.Names)
		t.Logf("%4d %s", len(p.Names), p.Path)
	}
	require.Greater(t, total, 500, "the packages are there")
	require.LessOrEqual(t, total, ceiling, "export less: every exported name is something that users must learn")
}
