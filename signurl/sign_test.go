package signurl_test

// This file tests the inputs that New and Sign refuse, and the form of signed
// URLs.

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

func TestNewRefuses(t *testing.T) {
	k := testKey(t, "k1", 0)
	for name, c := range map[string]struct {
		base string
		keys []signurl.Key
		opts *signurl.Options
		want string
	}{
		"relative":           {"/files/", []signurl.Key{k}, nil, "not an absolute http or https URL"},
		"no host":            {"https:///files/", []signurl.Key{k}, nil, "not an absolute http or https URL"},
		"opaque":             {"https:files", []signurl.Key{k}, nil, "not an absolute http or https URL"},
		"other scheme":       {"ftp://h/", []signurl.Key{k}, nil, "not an absolute http or https URL"},
		"password":           {"https://u:hunter2@h/", []signurl.Key{k}, nil, "has a user or password"},
		"unparsable":         {"https://u:hunter2/x@h/", []signurl.Key{k}, nil, "not a valid URL"},
		"query":              {"https://h/?a=hunter2", []signurl.Key{k}, nil, "has a query"},
		"empty query":        {"https://h/?", []signurl.Key{k}, nil, "has a query"},
		"fragment":           {"https://h/#", []signurl.Key{k}, nil, "has a query or a fragment"},
		"dot segment":        {"https://h/a/../b", []signurl.Key{k}, nil, "empty or dot segments"},
		"empty segment":      {"https://h/a//b", []signurl.Key{k}, nil, "empty or dot segments"},
		"two slashes":        {"https://h//", []signurl.Key{k}, nil, "empty or dot segments"},
		"two slashes at end": {"https://h/a//", []signurl.Key{k}, nil, "empty or dot segments"},
		"encoded slash":      {"https://h/a%2Fb", []signurl.Key{k}, nil, "encoded slash"},
		"long path":          {"https://h/" + strings.Repeat("ä", 200), []signurl.Key{k}, nil, "longer than 1024 bytes"},
		"no keys":            {base, nil, nil, "no keys"},
		"zero key":           {base, []signurl.Key{k, {}}, nil, "key 2: invalid ID"},
		"key without secret": {base, []signurl.Key{{ID: "k"}}, nil, "key 1: the key has no secret"},
		"same key twice":     {base, []signurl.Key{k, k}, nil, "keys 1 and 2 have the same ID"},
		"negative MaxExpiry": {base, []signurl.Key{k}, &signurl.Options{MaxExpiry: -1}, "is negative"},
		"negative Leeway":    {base, []signurl.Key{k}, &signurl.Options{Leeway: -1}, "is negative"},
		"long audience":      {base, []signurl.Key{k}, &signurl.Options{Audience: strings.Repeat("a", 1025)}, "invalid Options.Audience"},
		"binary audience":    {base, []signurl.Key{k}, &signurl.Options{Audience: "\xff"}, "invalid Options.Audience"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signurl.New(c.base, c.keys, c.opts)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://h":                   "https://h/k?",
		"https://h/":                  "https://h/k?",
		"http://127.0.0.1:8080/files": "http://127.0.0.1:8080/files/k?",
		"http://[::1]:80/a/b/":        "http://[::1]:80/a/b/k?",
		"https://h/d%C3%A4ta+x":       "https://h/d%C3%A4ta%2Bx/k?",
	} {
		s := newSigner(t, in, nil)
		link := sign(t, s, signurl.Grant{Key: "k"})
		assert.True(t, strings.HasPrefix(link, want), "%s: %s", in, link)
		_, err := s.Verify(request(t, "GET", link))
		assert.NoError(t, err, in)
	}
}

func TestSignRefuses(t *testing.T) {
	in := start.Add(time.Hour)
	for name, c := range map[string]struct {
		l    signurl.Grant
		want string
	}{
		"unknown method":           {signurl.Grant{Method: "POST", Key: "k", Expires: in}, "invalid Method: want GET"},
		"method in lower case":     {signurl.Grant{Method: "get", Key: "k", Expires: in}, "invalid Method: want GET"},
		"no expiry":                {signurl.Grant{Key: "k"}, "Expires is not set"},
		"expiry now":               {signurl.Grant{Key: "k", Expires: start}, "not in the future"},
		"expiry below a second":    {signurl.Grant{Key: "k", Expires: start.Add(time.Second - 1)}, "truncated to seconds, is not in the future"},
		"expiry past":              {signurl.Grant{Key: "k", Expires: start.Add(-time.Hour)}, "not in the future"},
		"expiry too far":           {signurl.Grant{Key: "k", Expires: start.Add(7*24*time.Hour + time.Second)}, "more than 168h0m0s ahead"},
		"empty key":                {signurl.Grant{Expires: in}, "object key is empty"},
		"key too long":             {signurl.Grant{Key: strings.Repeat("a", 1025), Expires: in}, "longer than 1024 bytes"},
		"key not UTF-8":            {signurl.Grant{Key: "a\xff", Expires: in}, "not valid UTF-8"},
		"key with NUL":             {signurl.Grant{Key: "a\x00b", Expires: in}, "control character"},
		"key with a line break":    {signurl.Grant{Key: "a\nb", Expires: in}, "control character"},
		"key with a backslash":     {signurl.Grant{Key: `a\b`, Expires: in}, "backslash"},
		"key with a leading slash": {signurl.Grant{Key: "/a", Expires: in}, "slash"},
		"key with a final slash":   {signurl.Grant{Key: "a/", Expires: in}, "slash"},
		"key with two slashes":     {signurl.Grant{Key: "a//b", Expires: in}, "two in a row"},
		"key is dot":               {signurl.Grant{Key: ".", Expires: in}, "dot segment"},
		"key with dots":            {signurl.Grant{Key: "a/../b", Expires: in}, "dot segment"},
		"key ends in dots":         {signurl.Grant{Key: "a/..", Expires: in}, "dot segment"},
		"grant too long":           {signurl.Grant{Key: "k", Expires: in, ID: strings.Repeat("g", 65)}, "invalid ID"},
		"grant with a slash":       {signurl.Grant{Key: "k", Expires: in, ID: "a/b"}, "invalid ID"},
		"content type on GET":      {signurl.Grant{Key: "k", Expires: in, ContentType: "a/b"}, "for PUT only"},
		"length on HEAD":           {signurl.Grant{Method: "HEAD", Key: "k", Expires: in, Size: 1}, "for PUT only"},
		"maximum on DELETE":        {signurl.Grant{Method: "DELETE", Key: "k", Expires: in, MaxSize: 1}, "for PUT only"},
		"hash on GET":              {signurl.Grant{Key: "k", Expires: in, SHA256: make([]byte, 32)}, "for PUT only"},
		"create-only on DELETE":    {signurl.Grant{Method: "DELETE", Key: "k", Expires: in, CreateOnly: true}, "for PUT only"},
		"file name on PUT":         {signurl.Grant{Method: "PUT", Key: "k", Expires: in, Filename: "a"}, "for GET and HEAD only"},
		"inline on DELETE":         {signurl.Grant{Method: "DELETE", Key: "k", Expires: in, Inline: true}, "for GET and HEAD only"},
		"response type on PUT":     {signurl.Grant{Method: "PUT", Key: "k", Expires: in, ResponseType: "a/b"}, "for GET and HEAD only"},
		"negative length":          {signurl.Grant{Method: "PUT", Key: "k", Expires: in, Size: -1}, "0 for any size"},
		"negative maximum":         {signurl.Grant{Method: "PUT", Key: "k", Expires: in, MaxSize: -1}, "0 for unlimited"},
		"length over maximum":      {signurl.Grant{Method: "PUT", Key: "k", Expires: in, Size: 2, MaxSize: 1}, "greater than MaxSize"},
		"hash too short":           {signurl.Grant{Method: "PUT", Key: "k", Expires: in, SHA256: make([]byte, 31)}, "SHA256 has 31 bytes: want 32"},
		"hash empty":               {signurl.Grant{Method: "PUT", Key: "k", Expires: in, SHA256: []byte{}}, "SHA256 has 0 bytes: want 32"},
		"no media type":            {signurl.Grant{Method: "PUT", Key: "k", Expires: in, ContentType: "pdf"}, "invalid ContentType: want a media type"},
		"media type header":        {signurl.Grant{Key: "k", Expires: in, ResponseType: "a/b\r\nSet-Cookie: x"}, "invalid ResponseType: want a media type"},
		"media type not ASCII":     {signurl.Grant{Key: "k", Expires: in, ResponseType: `a/b; c="ä"`}, "invalid ResponseType: want a media type"},
		"media type too long":      {signurl.Grant{Key: "k", Expires: in, ResponseType: "a/" + strings.Repeat("b", 254)}, "ResponseType is longer than 255"},
		"file name header":         {signurl.Grant{Key: "k", Expires: in, Filename: "a\r\nb"}, "invalid Filename: want valid UTF-8"},
		"file name with a slash":   {signurl.Grant{Key: "k", Expires: in, Filename: "../a"}, "without slashes"},
		"file name too long":       {signurl.Grant{Key: "k", Expires: in, Filename: strings.Repeat("a", 256)}, "Filename is longer than 255"},
		"file name not UTF-8":      {signurl.Grant{Key: "k", Expires: in, Filename: "\xff"}, "invalid Filename: want valid UTF-8"},
		"user with C1 control":     {signurl.Grant{Key: "k", Expires: in, UserID: "a\u0085b"}, "invalid UserID: want valid UTF-8"},
		"address with a port":      {signurl.Grant{Key: "k", Expires: in, IP: "1.2.3.4:80"}, "invalid IP"},
		"address with a zone":      {signurl.Grant{Key: "k", Expires: in, IP: "fe80::1%eth0"}, "invalid IP"},
		"negative uses":            {signurl.Grant{Key: "k", Expires: in, MaxUses: -1}, "0 for unlimited"},
	} {
		t.Run(name, func(t *testing.T) {
			link, err := newSigner(t, base, nil).Sign(c.l)
			require.ErrorContains(t, err, c.want)
			assert.Empty(t, link)
		})
	}
}

func TestSignExpiryLimits(t *testing.T) {
	s := newSigner(t, base, &signurl.Options{MaxExpiry: time.Minute})
	_, err := s.Sign(signurl.Grant{Key: "k", Expires: start.Add(time.Minute)})
	require.NoError(t, err)
	_, err = s.Sign(signurl.Grant{Key: "k", Expires: start.Add(time.Minute + time.Second)})
	require.ErrorContains(t, err, "more than 1m0s ahead")
	link, err := s.Sign(signurl.Grant{Key: "k", Expires: start.Add(1999 * time.Millisecond)})
	require.NoError(t, err)
	assert.Equal(t, "1893412801", query(t, link).Get("bt-exp"), "cut, not rounded up")
}

func TestSignGeneratesGrantIDs(t *testing.T) {
	s := newSigner(t, base, nil)
	a, b := query(t, sign(t, s, signurl.Grant{Key: "k"})).Get("bt-gid"), query(t, sign(t, s, signurl.Grant{Key: "k"})).Get("bt-gid")
	assert.Len(t, a, 26)
	assert.NotEqual(t, a, b)
}

func TestLongestLinkFits(t *testing.T) {
	s := newSigner(t, "https://h/"+strings.Repeat("ä", 160), &signurl.Options{MaxExpiry: 1 << 62})
	l := signurl.Grant{
		Key: strings.Repeat("%", 1024), Expires: start.Add(1e6 * time.Hour), ID: strings.Repeat("g", 64),
		Filename: strings.Repeat("%", 255), Inline: true, ResponseType: "a/" + strings.Repeat("%", 253),
		UserID: strings.Repeat("%", 255), IP: "2001:db8:1111:2222:3333:4444:5555:6666", MaxUses: 1<<31 - 1,
	}
	link := sign(t, s, l)
	u, err := url.Parse(link)
	require.NoError(t, err)
	assert.Less(t, len(u.RawQuery), 3000, "what the documentation says")
	got, err := s.Verify(request(t, "GET", link))
	require.NoError(t, err)
	assert.Equal(t, l.Key, got.Key)
}

func TestSignerIsSafeForConcurrentUse(t *testing.T) {
	s := newSigner(t, base, nil, testKey(t, "k1", 0), testKey(t, "k2", 9))
	want := vectorLink()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				link, err := s.Sign(want)
				if !assert.NoError(t, err) || !assert.Equal(t, vector, link) {
					return
				}
				got, err := s.Verify(request(t, "GET", link))
				if !assert.NoError(t, err) || !assert.Equal(t, want, got) {
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCheckActor(t *testing.T) {
	for name, c := range map[string]struct {
		user, ip string
		l        signurl.Grant
		ok       bool
	}{
		"unbound":                {"", "", signurl.Grant{}, true},
		"unbound, known actor":   {"u", "1.2.3.4", signurl.Grant{}, true},
		"right user":             {"u", "", signurl.Grant{UserID: "u"}, true},
		"other user":             {"U", "", signurl.Grant{UserID: "u"}, false},
		"no user":                {"", "", signurl.Grant{UserID: "u"}, false},
		"right address":          {"", "1.2.3.4", signurl.Grant{IP: "1.2.3.4"}, true},
		"address mapped to IPv6": {"", "::ffff:1.2.3.4", signurl.Grant{IP: "1.2.3.4"}, true},
		"IPv6 in other words":    {"", "2001:DB8:0:0::1", signurl.Grant{IP: "2001:db8::1"}, true},
		"other address":          {"", "1.2.3.5", signurl.Grant{IP: "1.2.3.4"}, false},
		"address with port":      {"", "1.2.3.4:80", signurl.Grant{IP: "1.2.3.4"}, false},
		"no address":             {"", "", signurl.Grant{IP: "1.2.3.4"}, false},
		"malformed binding":      {"", "x", signurl.Grant{IP: "x"}, false},
		"only one of two":        {"u", "1.2.3.5", signurl.Grant{UserID: "u", IP: "1.2.3.4"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.l.CheckActor(c.user, c.ip)
			if c.ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, signurl.ErrConstraint)
			}
		})
	}
}
