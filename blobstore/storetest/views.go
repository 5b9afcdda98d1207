package storetest

// This file implements the cases of operations on part of a store: views, the
// deletion of a folder, and scrubbing.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func viewCases() []testCase {
	return []testCase{
		{"a view MUST support all operations within its prefix", func(e *env) {
			v, err := e.store.Sub(e.prefix)
			require.NoError(e, err)
			for _, op := range operations() {
				e.fill()
				require.NoError(e, op.do(e, v), op.name)
				_, err := v.DeletePrefix(e.ctx, e.prefix, nil)
				require.NoError(e, err)
			}
			require.NoError(e, v.Close(context.Background()), "closing a view has no effect")
			e.put(e.key("later"), nil, nil)
		}},
		{"a view MUST refuse and record operations outside its prefix", func(e *env) {
			e.fill()
			v, err := e.store.Sub(e.prefix + "in/")
			require.NoError(e, err)
			for _, op := range operations() {
				entry := e.one(func() { require.ErrorIs(e, op.do(e, v), blobstore.ErrDenied, op.name) })
				e.recorded(entry, op.action, audit.OutcomeDenied, e.key(op.key))
			}
			for _, prefix := range []string{"", e.prefix, e.prefix + "in", e.prefix + "inn/"} {
				for _, err := range v.List(e.ctx, &blobstore.ListOptions{Prefix: prefix}) {
					e.isError(err, "list", prefix, blobstore.ErrDenied)
				}
			}
			for _, err := range []error{
				v.Copy(e.ctx, e.key("in/a"), e.key("a"), nil), v.Move(e.ctx, e.key("in/a"), e.key("a"), nil),
				v.Copy(e.ctx, e.key("c"), e.key("in/a"), nil),
			} {
				require.ErrorIs(e, err, blobstore.ErrDenied)
			}
			_, err = v.Reconcile(e.ctx)
			require.ErrorIs(e, err, blobstore.ErrUnsupported)
			e.has("a", "b")
			e.settled()
		}},
		{"a view of a view MUST be limited to both prefixes", func(e *env) {
			outer, err := e.store.Sub(e.prefix + "out/")
			require.NoError(e, err)
			_, err = outer.Sub(e.prefix + "in/")
			e.isError(err, "sub", e.prefix+"in/", blobstore.ErrDenied)
			inner, err := outer.Sub(e.prefix + "out/in/")
			require.NoError(e, err)
			_, err = inner.Stat(e.ctx, e.key("out/a"))
			e.isError(err, "stat", e.key("out/a"), blobstore.ErrDenied)
		}},
		{"a prefix that is not a whole folder MUST be ErrInvalidKey", func(e *env) {
			for _, prefix := range []string{"", "/", "a", "a//", "/a/", "a/../", "a/b", "\x00/"} {
				_, err := e.store.Sub(prefix)
				e.isError(err, "sub", prefix, blobstore.ErrInvalidKey)
				if !strings.HasSuffix(prefix, "/") {
					_, err := e.store.DeletePrefix(e.ctx, prefix, nil)
					e.isError(err, "delete prefix", prefix, blobstore.ErrInvalidKey)
				}
			}
		}},
		{"deleting a folder MUST delete and record exactly the objects below it", func(e *env) {
			for i := range 40 {
				e.put(e.key(fmt.Sprintf("in/%d/%d", i/10, i)), content(10), nil)
			}
			e.put(e.key("in-2"), nil, nil)
			var n int
			added := e.since(func() {
				var err error
				n, err = e.store.DeletePrefix(e.ctx, e.key("in/"), &blobstore.DeleteOptions{Resource: audit.Resource{Type: "case", ID: "7"}})
				require.NoError(e, err)
			})
			assert.Equal(e, 40, n)
			require.Len(e, added, 40)
			for _, entry := range added {
				assert.Equal(e, audit.ActionDelete, entry.Action)
				assert.Equal(e, audit.OutcomeOK, entry.Outcome)
				assert.Equal(e, "7", entry.Resource.ID)
			}
			e.has("in-2")
			n, err := e.store.DeletePrefix(e.ctx, e.key("in/"), nil)
			require.NoError(e, err)
			assert.Zero(e, n)
		}},
		{"deleting a folder MUST stop at an object that may not be deleted", func(e *env) {
			for i := range 40 {
				e.put(e.key(fmt.Sprintf("in/%02d", i)), nil, nil)
			}
			no := errors.New("not this one")
			s := e.open(&blobstore.Options{Authorize: func(_ context.Context, ev audit.Event) error {
				if ev.Key == e.key("in/07") {
					return no
				}
				return nil
			}})
			n, err := s.DeletePrefix(e.ctx, e.key("in/"), nil)
			e.isError(err, "delete", e.key("in/07"), blobstore.ErrDenied, no)
			left := e.list(blobstore.ListOptions{})
			assert.Len(e, left, 40-n)
			assert.Contains(e, left, "in/07")
			e.settled()
		}},
		{"scrubbing MUST find and record objects that were changed", scrubbed},
	}
}

func scrubbed(e *env) {
	data := content(1000)
	e.put(e.key("sound"), data, &blobstore.UploadOptions{SHA256: sum(data)})
	e.put(e.key("rotten"), data, &blobstore.UploadOptions{SHA256: sum(data)})
	e.tamper(e.key("rotten"), append(bytes.Clone(data[:999]), data[999]^1))
	// An attacker with write access to the bucket changes both content and
	// digest.
	forged := e.put(e.key("forged"), data, &blobstore.UploadOptions{SHA256: sum(data)})
	write := func(key string, meta map[string]string) {
		require.NoError(e, e.bucket.Write(e.ctx, key, bytes.NewReader(data[1:]), &driver.WriteOptions{
			Size: 999, ContentType: "text/plain", Metadata: meta,
		}))
	}
	digest := fmt.Sprintf("%x", sum(data[1:]))
	write(forged.Key, map[string]string{provider.MetaOp: forged.OpID, provider.MetaSHA256: digest})
	write(e.key("planted"), map[string]string{provider.MetaSHA256: digest})
	write(e.key("posing"), map[string]string{provider.MetaSHA256: digest, provider.MetaOp: forged.OpID})
	write(e.key("strange"), map[string]string{provider.MetaSHA256: digest, provider.MetaOp: "\U0001F4A5"})

	scrub := func(trail audit.Reader) map[string]error {
		found := map[string]error{}
		for one, err := range e.store.Scrub(e.ctx, &blobstore.ScrubOptions{Prefix: e.prefix, Trail: trail}) {
			require.NoError(e, err)
			found[strings.TrimPrefix(one.Object.Key, e.prefix)] = one.Err
		}
		return found
	}
	check := func(trail audit.Reader, want map[string]error) {
		var found map[string]error
		added := e.since(func() { found = scrub(trail) })
		assert.Len(e, found, len(want))
		var recorded []string
		for name, w := range want {
			if w == nil {
				assert.NoError(e, found[name], name)
				continue
			}
			e.isError(found[name], "scrub", e.key(name), w)
			recorded = append(recorded, e.key(name))
		}
		slices.Sort(recorded)
		var got []string
		for _, entry := range added {
			assert.Equal(e, audit.ActionScrub, entry.Action)
			assert.Equal(e, audit.OutcomeFailed, entry.Outcome)
			assert.Contains(e, []string{"checksum", "unrecorded"}, entry.ErrorCode)
			got = append(got, entry.Key)
		}
		assert.Equal(e, recorded, got)
	}
	check(nil, map[string]error{
		"sound": nil, "rotten": blobstore.ErrChecksum, "forged": nil, "planted": nil, "posing": nil, "strange": nil,
	})
	check(&e.memory, map[string]error{
		"sound": nil, "rotten": blobstore.ErrChecksum, "forged": blobstore.ErrChecksum,
		"planted": blobstore.ErrUnrecorded, "posing": blobstore.ErrUnrecorded, "strange": blobstore.ErrUnrecorded,
	})
}
