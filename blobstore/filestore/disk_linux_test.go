package filestore

// This file tests Check on a file system that is full, read-only or not the one
// that was opened.

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

func TestCheckNamesTheDisksFault(t *testing.T) {
	for _, scheme := range []string{"local", "file"} {
		t.Run(scheme, func(t *testing.T) {
			dir, trail := t.TempDir(), &audit.Memory{}
			mountTiny(t, dir, 64<<10)
			ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			s, err := blobstore.Open(ctx, scheme+"://"+dir, trail, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close(context.Background())) }()
			require.NoError(t, s.Check(ctx))
			checkSays := func(what string) {
				t.Helper()
				var ce *blobstore.CheckError
				require.ErrorAs(t, s.Check(ctx), &ce)
				require.Contains(t, []string{"write", "delete"}, ce.Step, "the latter of an earlier check that left something in doubt")
				require.Contains(t, ce.Advice, what)
				require.NotContains(t, ce.Error(), "network")
			}

			require.NoError(t, fillUp(filepath.Join(dir, "filler")))
			checkSays("the disk is full")
			_, err = s.Upload(ctx, "a", strings.NewReader(strings.Repeat("x", 10_000)), nil)
			require.ErrorIs(t, err, syscall.ENOSPC)

			require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
			checkSays("read-only")
			require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""))

			mountTiny(t, dir, 64<<10) // over the folder that was opened
			checkSays("does not exist: mount its volume")
			_, err = s.Stat(ctx, "a")
			require.ErrorIs(t, err, blobstore.ErrNoBucket)
			require.NotErrorIs(t, err, fs.ErrNotExist)
		})
	}
}
