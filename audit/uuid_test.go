package audit

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUUIDv7Form(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 2000 {
		id := newUUIDv7()
		require.Regexp(t, form, id)
		require.True(t, isUUID(id))
		require.False(t, seen[id], "minted twice")
		seen[id] = true
	}
}

func TestUUIDv7CarriesTheTime(t *testing.T) {
	before := time.Now().UnixMilli()
	id := newUUIDv7()
	after := time.Now().UnixMilli()
	raw, err := hex.DecodeString(strings.ReplaceAll(id[:13], "-", ""))
	require.NoError(t, err)
	var ms int64
	for _, b := range raw {
		ms = ms<<8 | int64(b)
	}
	assert.GreaterOrEqual(t, ms, before)
	assert.LessOrEqual(t, ms, after)
}

func TestUUIDv7Order(t *testing.T) {
	// 245 ns is the smallest step that always changes the 12-bit fraction.
	at, last := time.Date(2026, 1, 1, 0, 0, 0, 999_000_000, time.UTC), ""
	for range 20_000 {
		id := uuidv7At(at)
		require.Greater(t, id, last)
		at, last = at.Add(245*time.Nanosecond), id
	}
}

func TestUUIDAfter(t *testing.T) {
	for _, tc := range []struct{ last, want string }{
		{"ffffffff-ffff-7fff-8000-000000000000", "ffffffff-ffff-7fff-8000-000000000001"},
		{"ffffffff-ffff-7fff-8000-0000000000af", "ffffffff-ffff-7fff-8000-0000000000b0"},
		{"ffffffff-ffff-7fff-8000-000000000009", "ffffffff-ffff-7fff-8000-00000000000a"},
		{"ffffffff-ffff-7fff-8000-ffffffffffff", "ffffffff-ffff-7fff-8001-000000000000"},
	} {
		assert.Equal(t, tc.want, uuidAfter(tc.last))
	}
	assert.True(t, isUUID(uuidAfter("")))
	now := newUUIDv7()
	assert.Greater(t, uuidAfter(now), now)
}

func TestIsUUID(t *testing.T) {
	for s, want := range map[string]bool{
		"0198f2e0-0000-7000-8000-000000000000":  true,
		"0198f2e0-0000-7000-8000-00000000000":   false,
		"0198f2e0-0000-7000-8000-0000000000000": false,
		"0198F2E0-0000-7000-8000-000000000000":  false,
		"0198f2e0a0000-7000-8000-000000000000":  false,
		"0198f2e0-0000-7000-8000-00000000000-":  false,
		"0198f2e0-0000-7000-8000-00000000000g":  false,
		"":                                      false,
	} {
		assert.Equal(t, want, isUUID(s), s)
	}
}
