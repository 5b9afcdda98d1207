package signurl_test

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

// change sets a field to another value.
func change(t *testing.T, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p += "x"
	case *bool:
		*p = !*p
	case *int:
		*p++
	case *int64:
		*p++
	case *time.Time:
		*p = p.Add(time.Nanosecond)
	case *[]byte:
		(*p)[0]++ // in place: the caller's copy must not be the Signer's
	default:
		t.Fatalf("a field of type %s: say here how to change it", v.Type())
	}
}

func TestVerifiedKnowsOnlyWhatVerifyReturned(t *testing.T) {
	s := newSigner(t, base, nil, testKey(t, "k1", 0))
	twin := newSigner(t, base, nil, testKey(t, "k1", 0))
	verify := func(l signurl.Grant) signurl.Grant {
		h := putHeaders()
		if l.Method != "PUT" {
			h = nil
		}
		got, err := s.Verify(request(t, l.Method, sign(t, s, l), h...))
		require.NoError(t, err)
		return got
	}
	for _, want := range []signurl.Grant{upload(), download()} {
		l := verify(want)
		method, err := s.Verified(l)
		require.NoError(t, err)
		assert.Equal(t, want.Method, method)
		_, err = twin.Verified(l)
		require.ErrorIs(t, err, signurl.ErrSignature, "another Signer verified it, though with the same keys")
		_, err = s.Verified(signurl.Plain(l))
		require.ErrorIs(t, err, signurl.ErrSignature, "a literal")

		typ := reflect.TypeFor[signurl.Grant]()
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			for how, do := range map[string]func(reflect.Value){"changed": func(v reflect.Value) {
				if v.Kind() == reflect.Slice && v.Len() == 0 || v.Kind() == reflect.Pointer && v.IsNil() {
					v.Set(reflect.New(v.Type()).Elem())
					if v.Kind() == reflect.Slice {
						v.Set(reflect.MakeSlice(v.Type(), 0, 0))
					} else {
						v.Set(reflect.New(v.Type().Elem()))
					}
					return
				}
				change(t, v)
			}, "cleared": func(v reflect.Value) { v.SetZero() }} {
				l := verify(want)
				v := reflect.ValueOf(&l).Elem().Field(i)
				if how == "cleared" && v.IsZero() {
					continue
				}
				do(v)
				_, err := s.Verified(l)
				require.ErrorIs(t, err, signurl.ErrSignature, "%s %s", f.Name, how)
			}
		}
	}
	// Fields of one verified link moved to another.
	a, b := verify(download()), verify(signurl.Grant{Method: "GET", Key: "other", ID: "G9", Expires: start.Add(time.Hour)})
	a.Key, a.ID = b.Key, b.ID
	_, err := s.Verified(a)
	require.ErrorIs(t, err, signurl.ErrSignature)
}

func TestVerifiedRepeatsTheRefusal(t *testing.T) {
	now := start
	s, err := signurl.New(base, []signurl.Key{testKey(t, "k1", 0)}, &signurl.Options{Now: func() time.Time { return now }, Leeway: time.Minute})
	require.NoError(t, err)
	get := sign(t, s, signurl.Grant{Key: "k", Expires: start.Add(time.Hour)})
	put := sign(t, s, upload())
	for name, c := range map[string]struct {
		method, link, header string
		at                   time.Duration
		want                 error
	}{
		"good":             {method: "GET", link: get},
		"good, by default": {method: "", link: get},
		"good, HEAD":       {method: "HEAD", link: get},
		"in the leeway":    {method: "GET", link: get, at: time.Hour + time.Minute - 1},
		"expired":          {method: "GET", link: get, at: time.Hour + time.Minute, want: signurl.ErrExpired},
		"another method":   {method: "DELETE", link: get, want: signurl.ErrMethod},
		"a constraint":     {method: "PUT", link: put, header: "Content-Type: text/html", want: signurl.ErrConstraint},
	} {
		t.Run(name, func(t *testing.T) {
			now = start.Add(c.at)
			defer func() { now = start }()
			u, err := url.Parse(c.link)
			require.NoError(t, err)
			r := &http.Request{Method: c.method, URL: u, Header: http.Header{}}
			l, err := s.Verify(r)
			require.ErrorIs(t, err, c.want)
			now = start
			method, err := s.Verified(l)
			require.ErrorIs(t, err, c.want, "whatever the time is now")
			if want := c.method; want == "" {
				assert.Equal(t, "GET", method)
			} else {
				assert.Equal(t, want, method)
			}
		})
	}
	u, err := url.Parse(get)
	require.NoError(t, err)
	l, err := s.Verify(&http.Request{URL: u})
	require.NoError(t, err)
	now = start.Add(2 * time.Hour)
	_, err = s.Verified(l)
	require.ErrorIs(t, err, signurl.ErrExpired, "a link that was kept")
}

func TestHasLink(t *testing.T) {
	s := newSigner(t, base, nil, testKey(t, "k1", 0))
	full, err := url.Parse(sign(t, s, upload()))
	require.NoError(t, err)
	yes := []string{full.RawQuery, "bt-sig", "bt-sig=", "BT-SIG=x", "a=b&%62t%2Dsig=x", "a;bt-exp=1", "bt-v=1", "&&bt-kid=k"}
	for name := range full.Query() {
		yes = append(yes, name+"=x")
	}
	for _, q := range yes {
		assert.True(t, signurl.HasLink(&http.Request{URL: &url.URL{RawQuery: q}}), q)
	}
	for _, q := range []string{"", "&", "a=bt-sig", "bt=1", "bt-", "bt-sigx=1", "xbt-sig=1", "bt-%zz=1", "bt-color=red", "utm_source=x"} {
		assert.False(t, signurl.HasLink(&http.Request{URL: &url.URL{RawQuery: q}}), q)
	}
	assert.False(t, signurl.HasLink(nil))
	assert.False(t, signurl.HasLink(&http.Request{}))
}
