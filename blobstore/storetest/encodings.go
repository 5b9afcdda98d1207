package storetest

// This file implements the cases of encoded objects. No service and no driver
// may decode them.

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore"
)

func encodedObject(e *env) {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, err := zw.Write([]byte(strings.Repeat("as it was stored, ", 2000)))
	require.NoError(e, err)
	require.NoError(e, zw.Close())
	data := packed.Bytes()
	large := append(content(9*mib), data...) // not valid gzip despite the encoding
	for name, c := range map[string]struct {
		data     []byte
		encoding string
	}{"gzip": {data, "gzip"}, "large": {large, "gzip"}, "br": {data, "br"}, "plain": {data, ""}} {
		key := e.key(name)
		obj := e.put(key, c.data, &blobstore.UploadOptions{ContentType: "text/plain", ContentEncoding: c.encoding})
		assert.Equal(e, c.encoding, obj.ContentEncoding)
		check := func(key string) {
			is := e.stat(key)
			assert.Equal(e, c.encoding, is.ContentEncoding, name)
			assert.Equal(e, "text/plain", is.ContentType, name)
			assert.Equal(e, int64(len(c.data)), is.Size, name)
			if is.SHA256 != nil {
				assert.Equal(e, sum(c.data), is.SHA256, name)
			}
			assert.True(e, bytes.Equal(c.data, e.get(key)), "the content of %s", name)
			assert.Equal(e, c.data[5:15], e.getWith(key, &blobstore.DownloadOptions{Range: blobstore.Range{Offset: 5, Length: 10}}), name)
			assert.True(e, bytes.Equal(c.data[7:], e.getWith(key, &blobstore.DownloadOptions{Range: blobstore.Range{Offset: 7}})), "the end of %s", name)
		}
		check(key)
		require.NoError(e, e.store.Copy(e.ctx, key+".copy", key, nil))
		check(key + ".copy")
		require.NoError(e, e.store.Move(e.ctx, key+".moved", key, nil))
		check(key + ".moved")
	}
	for found, err := range e.store.Scrub(e.ctx, &blobstore.ScrubOptions{Prefix: e.prefix, Trail: &e.memory}) {
		require.NoError(e, err)
		if !errors.Is(found.Err, blobstore.ErrUnsupported) { // ErrUnsupported: a copy has a digest neither in the bucket nor in the trail
			require.NoError(e, found.Err, "%v", found.Object)
		}
	}
}
