package sqlaudit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	base := func(seq int64, e audit.Event) *row {
		e.OpID, e.OccurredAt = "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e3f", at
		r, err := newRow(e, "")
		if err != nil {
			panic(err)
		}
		r.place("01941f29-7c00-7000-8000-000000000001", "01941f29-7bff-7000-8000-000000000000", seq, at.Add(time.Second), salt)
		return r
	}
	size := int64(9007199254740993)
	full := base(41, audit.Event{
		RefOpID: "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e40", Action: audit.ActionUpload, Outcome: audit.OutcomeOK,
		Actor:    audit.Actor{UserID: "ü", TenantID: "acme", IP: "2001:db8::1", UserAgent: "curl/8.5 (\"x\")", RequestID: "r-1"},
		Resource: audit.Resource{Type: "invoice", ID: "42"}, Key: `invoices/"März"\a/` + "\u2028\U0001F4C4", SourceKey: "staging/1", Backend: "s3", Bucket: "b",
		GrantID: "g", Size: &size, SHA256: make([]byte, 32), ContentType: "application/pdf", ErrorCode: "none",
		Details: audit.Details{
			Filename: "<&>/ä\t.pdf", Method: "PUT", Expires: at.Add(time.Hour), Staged: true, ETag: `"e"`, StagingKey: "staging/1", MaxSize: &size,
			AllowedTypes: []string{"image/*", "application/pdf"},
		},
		Attrs: map[string]string{"note": "<&>/ä\t\n\r\b\f\x01\x7f", "\uE000": "after the emoji", "\U0001F600": "before U+E000", "": "empty name"},
	})
	erased := base(0, audit.Event{Action: "purge", Outcome: audit.OutcomeDenied})
	erased.salt = nil
	return map[string]*row{
		"least": base(0, audit.Event{Action: audit.ActionDelete, Outcome: audit.OutcomeUnknown}),
		"full":  full, "erased": erased,
	}
}

const vectorFile = "testdata/vectors.json"

var update = flag.Bool("update", false, "write "+vectorFile+" anew")

// vectorOf returns the vector of a row, made by other means than the code under
// test except for the canonical form and the commitment.
func vectorOf(name string, r *row) vector {
	v := vector{Name: name, Columns: map[string]any{"schema_version": float64(r.schema)}, Canonical: string(r.canonical(nil)), Commitment: hex.EncodeToString(r.commitment)}
	sum := sha256.Sum256(append([]byte{0}, v.Canonical...))
	v.Leaf = hex.EncodeToString(sum[:])
	if r.salt != nil {
		v.Columns["pii_salt"] = hex.EncodeToString(r.salt)
	}
	for _, c := range audit.Columns() {
		switch value := c.Value(&r.Entry).(type) {
		case nil:
		case []byte:
			v.Columns[c.Name] = hex.EncodeToString(value)
		case time.Time:
			v.Columns[c.Name] = value.Format(timeFormat)
		case int64:
			v.Columns[c.Name] = json.Number(strconv.FormatInt(value, 10))
		default:
			if !c.Personal || r.salt != nil {
				v.Columns[c.Name] = value
			}
		}
	}
	return v
}

// The vectors are kept in a file for those who write another verifier. A change
// of the format must show here.
func TestVectors(t *testing.T) {
	rows := vectorRows()
	if *update {
		var vectors []vector
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			vectors = append(vectors, vectorOf(name, rows[name]))
		}
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "\t")
		require.NoError(t, enc.Encode(vectors))
		require.NoError(t, os.WriteFile(vectorFile, text.Bytes(), 0o644))
	}
	text, err := os.ReadFile(vectorFile)
	require.NoError(t, err)
	var want []vector
	require.NoError(t, json.Unmarshal(text, &want))
	require.Len(t, want, len(rows))
	for _, v := range want {
		t.Run(v.Name, func(t *testing.T) {
			r := rows[v.Name]
			require.NotNil(t, r)
			got := vectorOf(v.Name, r)
			assert.Equal(t, v.Canonical, got.Canonical)
			assert.Equal(t, v.Commitment, got.Commitment)
			assert.Equal(t, v.Leaf, got.Leaf)
			assert.Equal(t, v.Leaf, hex.EncodeToString(r.leaf[:]))
			var object map[string]any
			require.NoError(t, json.Unmarshal([]byte(got.Canonical), &object), "canonical JSON is JSON")
		})
	}
}

// sealed returns a row of an actor with its commitment.
func sealed(a audit.Actor, salt []byte) *row {
	r := &row{Entry: audit.Entry{Event: audit.Event{Actor: a}}, salt: salt}
	r.values = valuesOf(&r.Entry)
	return r
}

func TestCommitmentBindsEachField(t *testing.T) {
	salt := make([]byte, 32)
	seen := make(map[string]audit.Actor)
	for _, a := range []audit.Actor{
		{}, {UserID: "a"}, {IP: "a"}, {UserAgent: "a"}, {RequestID: "a"}, {UserID: "ab"}, {UserID: "a", IP: "b"}, {UserID: "b", IP: "a"},
	} {
		r := sealed(a, salt)
		sum := hex.EncodeToString(r.commit())
		assert.NotContains(t, seen, sum, a)
		seen[sum] = a
	}
	tenant := sealed(audit.Actor{TenantID: "t"}, salt)
	assert.Contains(t, seen, hex.EncodeToString(tenant.commit()), "the tenant is not personal")
}
