package audit_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// writers lists the exports, each with a function that reads the result back as
// one map for each entry.
var writers = map[string]struct {
	write func(io.Writer, iter.Seq2[audit.Entry, error]) (int64, error)
	read  func(t *testing.T, text string) []map[string]string
}{
	"JSON Lines": {audit.WriteJSONL, func(t *testing.T, text string) (out []map[string]string) {
		for line := range strings.Lines(text) {
			require.True(t, strings.HasSuffix(line, "\n"))
			var fields map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(line), &fields))
			m := make(map[string]string)
			for name, value := range fields {
				var s string
				if json.Unmarshal(value, &s) != nil {
					s = string(value)
				}
				m[name] = s
			}
			out = append(out, m)
		}
		return out
	}},
	"CSV": {audit.WriteCSV, func(t *testing.T, text string) (out []map[string]string) {
		require.Equal(t, strings.Count(text, "\n"), strings.Count(text, "\r\n"))
		lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		require.NoError(t, err)
		for _, line := range lines[1:] {
			m := make(map[string]string)
			for i, value := range line {
				if value != "" {
					m[lines[0][i]] = strings.TrimPrefix(value, "'")
				}
			}
			out = append(out, m)
		}
		return out
	}},
}

func onEachWriter(t *testing.T, test func(t *testing.T, write func(io.Writer, iter.Seq2[audit.Entry, error]) (int64, error), read func(*testing.T, string) []map[string]string)) {
	t.Helper()
	for name, w := range writers {
		t.Run(name, func(t *testing.T) { test(t, w.write, w.read) })
	}
}

func seq(entries ...audit.Entry) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// full returns an entry with a different text in every field.
func full(text func(field string) string) audit.Entry {
	e := audit.Entry{Seq: 7, CreatedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.FixedZone("", 3600))}
	var fill func(v reflect.Value, name string)
	fill = func(v reflect.Value, name string) {
		switch v.Kind() {
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range v.NumField() {
				fill(v.Field(i), v.Type().Field(i).Name)
			}
		case reflect.String:
			v.SetString(text(name))
		}
	}
	fill(reflect.ValueOf(&e).Elem(), "")
	e.OccurredAt = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	e.Size, e.SHA256, e.Attrs = new(int64(1<<60)), bytes.Repeat([]byte{0xab}, 32), map[string]string{"b": text("attr"), "a": "1"}
	return e
}

// Every field survives the export with the same name in both formats.
func TestExportsAreComplete(t *testing.T) {
	for _, hostile := range []string{
		"plain", `a,b"c`, "line\r\nend", "two\nlines", " space ", `\.`, "März 🏁", "<script>&", "=1+1", "+1", "-1", "@SUM(A1)", "\ttab", "'quoted", "＝1", `"`, ",", "\u2028",
	} {
		e := full(func(field string) string { return hostile + field })
		onEachWriter(t, func(t *testing.T, write func(io.Writer, iter.Seq2[audit.Entry, error]) (int64, error), read func(*testing.T, string) []map[string]string) {
			var out bytes.Buffer
			n, err := write(&out, seq(audit.Entry{}, e))
			require.NoError(t, err)
			assert.EqualValues(t, 2, n)
			got := read(t, out.String())
			require.Len(t, got, 2)
			want := map[string]string{
				"seq": "7", "occurred_at": "2026-01-02T03:04:05.678901Z", "created_at": "2026-01-02T02:04:06.000000Z",
				"size": "1152921504606846976", "sha256": strings.Repeat("ab", 32),
			}
			for name, field := range map[string]string{
				"id": "ID", "op_id": "OpID", "ref_op_id": "RefOpID", "writer_id": "WriterID", "action": "Action", "outcome": "Outcome", "settled_by": "SettledBy",
				"user_id": "UserID", "ip_address": "IP", "user_agent": "UserAgent", "request_id": "RequestID", "tenant_id": "TenantID",
				"resource_type": "Type", "resource_id": "ID", "file_key": "Key", "source_key": "SourceKey", "storage_backend": "Backend", "bucket": "Bucket",
				"grant_id": "GrantID", "content_type": "ContentType", "error_code": "ErrorCode",
			} {
				// A CSV reader normalizes line ends.
				want[name] = strings.ReplaceAll(hostile+field, "\r\n", "\n")
				got[1][name] = strings.ReplaceAll(got[1][name], "\r\n", "\n")
			}
			var attrs map[string]string
			require.NoError(t, json.Unmarshal([]byte(got[1]["attrs"]), &attrs))
			assert.Equal(t, e.Attrs, attrs)
			var details map[string]string
			require.NoError(t, json.Unmarshal([]byte(got[1]["details"]), &details))
			assert.Equal(t, maps.Collect(e.Details.All()), details)
			assert.Equal(t, hostile+"StagingKey", details["staging_key"])
			delete(got[1], "attrs")
			delete(got[1], "details")
			assert.Equal(t, want, got[1])
			assert.Equal(t, "0", got[0]["seq"])
			assert.NotContains(t, got[0], "size")
		})
	}
}

// No field of the CSV can be interpreted as a formula.
func TestCSVHasNoFormulas(t *testing.T) {
	for _, start := range []string{"=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＋", "－", "＠"} {
		var out bytes.Buffer
		_, err := audit.WriteCSV(&out, seq(full(func(field string) string { return start + `cmd|' /C calc'!A0` + field })))
		require.NoError(t, err)
		lines, err := csv.NewReader(&out).ReadAll()
		require.NoError(t, err)
		for _, field := range lines[1] {
			assert.False(t, strings.HasPrefix(strings.TrimLeft(field, " \t\r\n"), strings.TrimSpace(start)), field)
		}
	}
}

func TestExportsStopAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	onEachWriter(t, func(t *testing.T, write func(io.Writer, iter.Seq2[audit.Entry, error]) (int64, error), read func(*testing.T, string) []map[string]string) {
		var out bytes.Buffer
		n, err := write(&out, func(yield func(audit.Entry, error) bool) {
			_ = yield(audit.Entry{ID: "1"}, nil) && yield(audit.Entry{}, broken) && yield(audit.Entry{ID: "2"}, nil)
		})
		require.ErrorIs(t, err, broken)
		assert.EqualValues(t, 1, n)
		assert.Len(t, read(t, out.String()), 1)

		yielded := 0
		_, err = write(failingWriter{broken}, func(yield func(audit.Entry, error) bool) {
			for yielded < 10_000 && yield(audit.Entry{ID: "1"}, nil) {
				yielded++
			}
		})
		require.ErrorIs(t, err, broken)
		assert.Less(t, yielded, 1000, "it stops soon")
		_, err = write(failingWriter{broken}, seq(audit.Entry{}))
		require.ErrorIs(t, err, broken, "what is left in a buffer counts")
	})
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestExportsHoldOneEntryAtATime(t *testing.T) {
	e := full(func(field string) string { return strings.Repeat(field, 100) })
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	onEachWriter(t, func(t *testing.T, write func(io.Writer, iter.Seq2[audit.Entry, error]) (int64, error), _ func(*testing.T, string) []map[string]string) {
		before, most := heap(), uint64(0)
		n, err := write(io.Discard, func(yield func(audit.Entry, error) bool) {
			for i := range 4000 {
				if i%1000 == 999 {
					most = max(most, heap())
				}
				if !yield(e, nil) {
					return
				}
			}
		})
		require.NoError(t, err)
		assert.EqualValues(t, 4000, n)
		assert.Less(t, most, before+1<<20, "bytes on the heap, of some 40 MB that were written")
	})
}

func ExampleWriteCSV() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	var trail audit.Memory
	actor, _ := audit.ActorFrom(ctx)
	if err := trail.Log(ctx, audit.Event{Action: audit.ActionDownload, Actor: actor, Key: "=invoices, 2026.pdf"}); err != nil {
		fmt.Println(err)
	}

	var file bytes.Buffer // or a file, or a response
	n, err := audit.WriteCSV(&file, trail.Entries(ctx, audit.Query{UserID: "anna"}))
	if err != nil {
		fmt.Println(err)
	}
	lines, _ := csv.NewReader(&file).ReadAll()
	fmt.Println(n, lines[0][17], lines[1][17])
	// Output: 1 file_key '=invoices, 2026.pdf
}
