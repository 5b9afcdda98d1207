package sqlaudit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// vector is one test vector of the published format: what the columns hold,
// and what follows from them.
type vector struct {
	Name       string         `json:"name"`
	Columns    map[string]any `json:"columns"`
	Canonical  string         `json:"canonical"`
	Commitment string         `json:"pii_commitment"`
	Leaf       string         `json:"leaf"`
}

func vectorRows() map[string]*row {
	at := time.Date(2026, 1, 2, 3, 4, 5, 60007000, time.UTC)
	salt := make([]byte, 32)
	for i := range salt {
		salt[i] = byte(i)
	}
	base := func(e audit.Event) *row {
		e.OpID, e.OccurredAt = "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e3f", at
		r, err := newRow(e, "")
		if err != nil {
			panic(err)
		}
		r.ID, r.WriterID, r.CreatedAt, r.salt = "01941f29-7c00-7000-8000-000000000001", "01941f29-7bff-7000-8000-000000000000", at.Add(time.Second), salt
		r.commitment = r.commit()
		r.leaf = tlog.RecordHash(r.canonical(nil))
		return r
	}
	size := int64(9007199254740993)
	full := base(audit.Event{
		RefOpID: "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e40", Action: audit.ActionUpload, Outcome: audit.OutcomeOK,
		Actor:    audit.Actor{UserID: "ü", TenantID: "acme", IP: "2001:db8::1", UserAgent: "curl/8.5 (\"x\")", RequestID: "r-1"},
		Resource: audit.Resource{Type: "invoice", ID: "42"}, Key: `invoices/"März"\a/` + "\u2028\U0001F4C4", Backend: "s3", Bucket: "b",
		GrantID: "g", Size: &size, SHA256: make([]byte, 32), ContentType: "application/pdf", ErrorCode: "none",
		Attrs: map[string]string{"filename": "<&>/ä\t\n\r\b\f\x01\x7f", "\uE000": "after the emoji", "\U0001F600": "before U+E000", "": "empty name"},
	})
	full.Seq = 41
	full.leaf = tlog.RecordHash(full.canonical(nil))
	erased := base(audit.Event{Action: "purge", Outcome: audit.OutcomeDenied})
	erased.salt = nil
	return map[string]*row{
		"least": base(audit.Event{Action: audit.ActionDelete, Outcome: audit.OutcomeUnknown}),
		"full":  full, "erased": erased,
	}
}

const vectorFile = "testdata/vectors.json"

// The vectors are kept in a file for those who write another verifier. A change
// of the format must show here.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile(vectorFile)
	require.NoError(t, err)
	var want []vector
	require.NoError(t, json.Unmarshal(text, &want))
	rows := vectorRows()
	require.Len(t, want, len(rows))
	for _, v := range want {
		t.Run(v.Name, func(t *testing.T) {
			r := rows[v.Name]
			require.NotNil(t, r)
			canonical := string(r.canonical(nil))
			assert.Equal(t, v.Canonical, canonical)
			assert.Equal(t, v.Commitment, hex.EncodeToString(r.commitment))
			assert.Equal(t, v.Leaf, hex.EncodeToString(r.leaf[:]))
			// By other means than the code under test.
			sum := sha256.Sum256(append([]byte{0}, canonical...))
			assert.Equal(t, v.Leaf, hex.EncodeToString(sum[:]))
			var object map[string]any
			require.NoError(t, json.Unmarshal([]byte(canonical), &object), "canonical JSON is JSON")
		})
	}
}

func TestCommitmentBindsEachField(t *testing.T) {
	salt := make([]byte, 32)
	seen := make(map[string]audit.Actor)
	for _, a := range []audit.Actor{
		{}, {UserID: "a"}, {IP: "a"}, {UserAgent: "a"}, {RequestID: "a"}, {UserID: "ab"}, {UserID: "a", IP: "b"}, {UserID: "b", IP: "a"},
	} {
		r := row{Entry: audit.Entry{Event: audit.Event{Actor: a}}, salt: salt}
		sum := hex.EncodeToString(r.commit())
		assert.NotContains(t, seen, sum, a)
		seen[sum] = a
	}
	tenant := row{Entry: audit.Entry{Event: audit.Event{Actor: audit.Actor{TenantID: "t"}}}, salt: salt}
	assert.Contains(t, seen, hex.EncodeToString(tenant.commit()), "the tenant is not personal")
}
