//go:build unix

package crash

// This file implements the inspection after each kill: nothing may be
// unrecorded, lost, dangling or recorded twice.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// violations are states that the library promises to prevent.
type violations struct{ unrecorded, lost, dangling, doubled, leftover []string }

func (v *violations) count() int {
	return len(v.unrecorded) + len(v.lost) + len(v.dangling) + len(v.doubled) + len(v.leftover)
}

func (v *violations) String() string {
	show := func(name string, l []string) string {
		if len(l) == 0 {
			return "0 " + name
		}
		return fmt.Sprintf("%d %s (such as %q)", len(l), name, l[0])
	}
	return strings.Join([]string{
		show("unrecorded", v.unrecorded), show("lost", v.lost), show("dangling", v.dangling),
		show("doubled", v.doubled), show("left over", v.leftover),
	}, ", ")
}

// recorded is the state according to the trail.
type recorded struct {
	wrote     map[string]string // operation -> key, of operations that left an object
	current   map[string]string // key -> the operation that last wrote it; "" after its deletion
	unknown   map[string]bool   // keys with an unknown outcome
	grants    map[string]bool
	downloads map[string]int
}

// inspect compares the bucket, the trail and the acknowledged operations.
func inspect(t *testing.T, s Site, a *acknowledged) *violations {
	t.Helper()
	journal, store := s.open(t)
	v := &violations{}
	r := v.readTrail(t, journal)

	// Every object must be recorded, and every recorded object must exist.
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "inspector"})
	present := map[string]bool{}
	for item, err := range store.List(ctx, nil) {
		require.NoError(t, err)
		present[item.Key] = true
		obj, err := store.Stat(ctx, item.Key)
		if err != nil {
			v.leftover = append(v.leftover, item.Key+": "+err.Error())
			continue
		}
		if r.wrote[obj.OpID] != item.Key || r.current[item.Key] != obj.OpID {
			v.unrecorded = append(v.unrecorded, "object "+item.Key)
		}
	}
	for key, op := range r.current {
		if op != "" && !present[key] && !r.unknown[key] {
			v.unrecorded = append(v.unrecorded, "deletion of "+key)
		}
	}
	v.compare(t, s, r, a, present)
	if s.Strays != nil {
		v.leftover = append(v.leftover, s.Strays(t, present)...)
	}
	return v
}

func (v *violations) readTrail(t *testing.T, journal *sqlaudit.Journal) *recorded {
	t.Helper()
	r := &recorded{map[string]string{}, map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]int{}}
	finals := map[string]int{}
	for e, err := range journal.Entries(t.Context(), audit.Query{}) {
		require.NoError(t, err)
		finals[e.OpID]++
		if finals[e.OpID] == 2 {
			v.doubled = append(v.doubled, fmt.Sprintf("%s %s", e.Action, e.Key))
		}
		if e.Outcome == audit.OutcomeUnknown {
			r.unknown[e.Key] = true
		}
		if e.Outcome != audit.OutcomeOK {
			continue
		}
		switch e.Action {
		case audit.ActionUpload, audit.ActionCopy, audit.ActionMove:
			r.wrote[e.OpID], r.current[e.Key] = e.Key, e.OpID
		case audit.ActionDelete:
			r.current[e.Key] = ""
		case audit.ActionIssueLink:
			r.grants[e.GrantID] = true
		case audit.ActionDownload:
			r.downloads[e.Key]++
		}
	}
	open, err := journal.OpenIntents(t.Context())
	require.NoError(t, err)
	if open > 0 {
		v.dangling = append(v.dangling, strconv.Itoa(open))
	}
	return r
}

// compare finds acknowledged operations that are missing in the trail or the
// bucket.
func (v *violations) compare(t *testing.T, s Site, r *recorded, a *acknowledged, present map[string]bool) {
	t.Helper()
	bucket, err := driver.Open(t.Context(), s.BucketURL, driver.Credentials{})
	require.NoError(t, err)
	defer bucket.Close()
	for key, sum := range a.objects {
		switch {
		case a.inDoubt[key]:
		case !present[key]:
			v.lost = append(v.lost, "object "+key)
		case r.current[key] == "":
			v.lost = append(v.lost, "entry of "+key)
		case sum != "":
			if got := contentSum(t, bucket, key); got != sum {
				v.lost = append(v.lost, "content of "+key)
			}
		}
	}
	for key := range a.deleted {
		if present[key] || r.current[key] != "" {
			v.lost = append(v.lost, "deletion of "+key)
		}
	}
	for grant := range a.links {
		if !r.grants[grant] {
			v.lost = append(v.lost, "link "+grant)
		}
	}
	for key, n := range a.downloads {
		if r.downloads[key] < n {
			v.lost = append(v.lost, "download of "+key)
		}
	}
}

// contentSum reads directly from the bucket, so that the inspection records no
// download in the inspected trail.
func contentSum(t *testing.T, b driver.Bucket, key string) string {
	t.Helper()
	r, err := b.Read(context.WithoutCancel(t.Context()), key, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	h := sha256.New()
	_, err = io.Copy(h, r)
	require.NoError(t, err)
	return fmt.Sprintf("%x", h.Sum(nil))
}
