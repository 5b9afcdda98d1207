package proof

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

// vector is a test vector of the format: the values of the columns and the
// results computed from them.
type vector struct {
	Name       string         `json:"name"`
	Columns    map[string]any `json:"columns"`
	Canonical  string         `json:"canonical"`
	Commitment string         `json:"pii_commitment"`
	Leaf       string         `json:"leaf"`
}

// valuesOf returns the values of the columns of e.
func valuesOf(e *audit.Entry) []any {
	var out []any
	for _, c := range audit.Columns() {
		out = append(out, c.Value(e))
	}
	return out
}

func vectorEntries() map[string]*Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 60007000, time.UTC)
	salt := make([]byte, 32)
	for i := range salt {
		salt[i] = byte(i)
	}
	base := func(seq int64, ev audit.Event) *Entry {
		ev.OpID, ev.OccurredAt = "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e3f", at
		e := &Entry{Salt: salt, Values: valuesOf(&audit.Entry{
			Event: ev, ID: "01941f29-7c00-7000-8000-000000000001", WriterID: "01941f29-7bff-7000-8000-000000000000", Seq: seq, CreatedAt: at.Add(time.Second), SettledBy: audit.SettledByWriter,
		})}
		e.Seal()
		return e
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
	erased.Salt = nil
	return map[string]*Entry{
		"least": base(0, audit.Event{Action: audit.ActionDelete, Outcome: audit.OutcomeUnknown}),
		"full":  full, "erased": erased,
	}
}

const vectorFile = "testdata/vectors.json"

var update = flag.Bool("update", false, "write "+vectorFile+" anew")

// vectorOf returns the vector of a row. It computes everything except the
// canonical form and the commitment independently of the tested code.
func vectorOf(name string, e *Entry) vector {
	v := vector{Name: name, Columns: map[string]any{"schema_version": SchemaVersion}, Canonical: string(e.Canonical(nil)), Commitment: hex.EncodeToString(e.Commitment)}
	sum := sha256.Sum256(append([]byte{0}, v.Canonical...))
	v.Leaf = hex.EncodeToString(sum[:])
	if e.Salt != nil {
		v.Columns["pii_salt"] = hex.EncodeToString(e.Salt)
	}
	for i, c := range audit.Columns() {
		switch value := e.Values[i].(type) {
		case nil:
		case []byte:
			v.Columns[c.Name] = hex.EncodeToString(value)
		case time.Time:
			v.Columns[c.Name] = value.Format(audit.TimeFormat)
		case int64:
			v.Columns[c.Name] = json.Number(strconv.FormatInt(value, 10))
		default:
			if !c.Personal || e.Salt != nil {
				v.Columns[c.Name] = value
			}
		}
	}
	return v
}

// The file of vectors is for authors of other verifiers. It also detects every
// change of the format.
func TestVectors(t *testing.T) {
	entries := vectorEntries()
	if *update {
		var vectors []vector
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			vectors = append(vectors, vectorOf(name, entries[name]))
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
	require.Len(t, want, len(entries))
	for _, v := range want {
		t.Run(v.Name, func(t *testing.T) {
			e := entries[v.Name]
			require.NotNil(t, e)
			got := vectorOf(v.Name, e)
			assert.Equal(t, v.Canonical, got.Canonical)
			assert.Equal(t, v.Commitment, got.Commitment)
			assert.Equal(t, v.Leaf, got.Leaf)
			assert.Equal(t, v.Leaf, hex.EncodeToString(e.Leaf[:]))
			var object map[string]any
			require.NoError(t, json.Unmarshal([]byte(got.Canonical), &object), "canonical JSON is JSON")
		})
	}
}

func TestCommitmentBindsEachField(t *testing.T) {
	commitment := func(a audit.Actor) string {
		e := Entry{Values: valuesOf(&audit.Entry{Event: audit.Event{Actor: a}}), Salt: make([]byte, 32)}
		return hex.EncodeToString(e.commitment())
	}
	seen := make(map[string]audit.Actor)
	for _, a := range []audit.Actor{
		{}, {UserID: "a"}, {IP: "a"}, {UserAgent: "a"}, {RequestID: "a"}, {UserID: "ab"}, {UserID: "a", IP: "b"}, {UserID: "b", IP: "a"},
	} {
		sum := commitment(a)
		assert.NotContains(t, seen, sum, a)
		seen[sum] = a
	}
	assert.Contains(t, seen, commitment(audit.Actor{TenantID: "t"}), "the tenant is not personal")
}
