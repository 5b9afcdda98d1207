package main

// This file checks that no tenant can access the data of another: with a
// guessed ID, a link, a ticket, a listing, a trail or a token.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// twoTenants are anna of north, who has invoices, a link and a direct upload,
// and bert of south, who wants them.
func twoTenants(t testing.TB) (s *running, anna, bert *user) {
	s = start(t, nil)
	return s, s.user("anna@north.example", "north"), s.user("bert@south.example", "south")
}

// ownedBy are the texts that only anna's tenant may see.
func ownedBy(u *user, invoices ...invoiceJSON) (secrets []string) {
	secrets = []string{u.email, "tenants/north"}
	for _, i := range invoices {
		secrets = append(secrets, i.Number, i.Filename, "of "+u.email)
	}
	return secrets
}

func TestNoTenantSeesAnother(t *testing.T) {
	s, anna, bert := twoTenants(t)
	stored, deleted := anna.store("NORTH-1"), anna.store("NORTH-2")
	require.Equal(t, 204, anna.do("DELETE", "/invoice/"+deleted.ID, nil).status)
	pendingUpload := anna.begin("NORTH-3", 9)
	own := bert.store("SOUTH-1")
	secrets := ownedBy(anna, stored, deleted)
	secrets = append(secrets, "NORTH-3")

	// Try every endpoint with an ID, with the IDs of all of anna's invoices.
	endpoints := []struct{ method, path string }{
		{"GET", "/invoice/%s"}, {"GET", "/invoice/download?invoice_id=%s"}, {"GET", "/invoice/download?redirect=1&invoice_id=%s"},
		{"HEAD", "/invoice/download?invoice_id=%s"}, {"POST", "/invoice/%s/link"}, {"GET", "/invoice/%s/trail"}, {"DELETE", "/invoice/%s"}, {"GET", "/invoices/%s"},
	}
	cases := 0
	for _, id := range []string{stored.ID, deleted.ID, pendingUpload.invoice} {
		for _, e := range endpoints {
			cases++
			a := bert.do(e.method, fmt.Sprintf(e.path, id), nil)
			assert.Equal(t, 404, a.status, "%s %s: %s", e.method, e.path, a.body)
			nothingOf(t, a, secrets)
			// The response is the same as for an ID that does not exist.
			none := bert.do(e.method, fmt.Sprintf(e.path, uuid.NewString()), nil)
			assert.Equal(t, none.status, a.status)
			assert.Equal(t, len(none.body), len(a.body))
		}
	}

	// Try invalid IDs: other spellings, wildcards, SQL, paths.
	odd := []string{
		strings.ToUpper(stored.ID), "{" + stored.ID + "}", "urn:uuid:" + stored.ID, strings.ReplaceAll(stored.ID, "-", ""), stored.ID + " ", " " + stored.ID,
		stored.ID + "\x00", stored.ID[:35] + "_", "%", "_", "*", "", "' OR '1'='1", stored.ID + "' OR '1'='1' --", "../invoice/" + stored.ID, stored.ID + "/../" + stored.ID, "null", "-1", "0",
	}
	for range 40 { // change a digit, or insert random bytes
		b := make([]byte, 8)
		_, _ = rand.Read(b)
		at := int(b[0]) % len(stored.ID)
		odd = append(odd, stored.ID[:at]+string("0123456789abcdef-"[b[1]%17])+stored.ID[at+1:], string(b), hex.EncodeToString(b))
	}
	for _, id := range odd {
		if id == own.ID || id == "" {
			continue
		}
		for _, path := range []string{"/invoice/download?invoice_id=" + url.QueryEscape(id), "/invoice/" + url.PathEscape(id) + "/trail"} {
			cases++
			a := bert.do("GET", path, nil)
			assert.Contains(t, []int{400, 404, 307, 405}, a.status, "%q: %s", path, a.body) // 307, 405: a different path
			nothingOf(t, a, secrets)
		}
	}

	// Try every page of the listings, and parameters that request more.
	for _, path := range []string{
		"/invoice", "/invoice?page=1", "/invoice?page=-1", "/invoice?page=99999999999", "/invoice?tenant=north", "/invoice?tenant_id=north&user_id=" + url.QueryEscape(anna.email), "/", "/?page=1",
	} {
		cases++
		a := bert.do("GET", path, nil)
		assert.Contains(t, []int{200, 303}, a.status, path) // 303: the page requires the cookie
		nothingOf(t, a, secrets)
	}
	a := bert.do("GET", "/invoice", nil)
	assert.Contains(t, a.body, "SOUTH-1")

	// The trail and its verification reveal nothing about the other tenant
	// either.
	require.NoError(t, s.verify(t.Context()))
	for _, path := range []string{"/invoice/" + own.ID + "/trail", "/invoices/" + own.ID} {
		cases++
		a := bert.do("GET", path, nil)
		assert.Equal(t, 200, a.status)
		nothingOf(t, a, secrets)
	}

	// Anna's invoices are unchanged.
	assert.Equal(t, 200, anna.do("GET", "/invoice/"+stored.ID, nil).status)
	assert.Contains(t, anna.do("GET", "/invoice/download?invoice_id="+stored.ID, nil).body, "of anna")
	assert.GreaterOrEqual(t, cases, 40)
	t.Logf("%d cases", cases)
}

func nothingOf(t *testing.T, a answer, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		assert.NotContains(t, a.body, secret)
		assert.NotContains(t, fmt.Sprint(a.header), secret)
	}
}

// A link grants access to one file. It cannot be changed to access a file of
// another tenant, and a ticket cannot be changed to another key.
func TestManipulatedLinksAreRefused(t *testing.T) {
	s, anna, bert := twoTenants(t)
	theirs, own := anna.store("NORTH-1"), bert.store("SOUTH-1")
	link := func(u *user, id string) string {
		var d struct {
			URL string `json:"download_url"`
		}
		u.do("POST", "/invoice/"+id+"/link", nil).into(t, &d)
		return d.URL
	}
	annas, berts := link(anna, theirs.ID), link(bert, own.ID)
	assert.Equal(t, 200, do(t, "GET", berts, nil).status)

	a, err := url.Parse(annas)
	require.NoError(t, err)
	b, err := url.Parse(berts)
	require.NoError(t, err)
	bent := []string{
		strings.Replace(berts, b.EscapedPath(), a.EscapedPath(), 1),                  // signature of one link, file of the other
		strings.Replace(berts, "tenants/south", "tenants/north", 1),                  // another folder
		strings.Replace(berts, "tenants/south", "tenants/south/../north", 1),         // parent folder
		strings.Replace(berts, "tenants/south", "tenants/south%2f..%2fnorth", 1),     // the same, escaped
		strings.TrimSuffix(berts, b.RawQuery), strings.TrimSuffix(annas, a.RawQuery), // no signature
		annas[:len(annas)-4] + "AAAA", strings.Replace(annas, "bt-m=GET", "bt-m=DELETE", 1), // changed signature
		a.Scheme + "://" + a.Host + a.Path + "?" + b.RawQuery + "&" + a.RawQuery,                  // both
		a.Scheme + "://" + a.Host + "/files/", a.Scheme + "://" + a.Host + "/files/tenants/north", // listings
	}
	for _, l := range bent {
		for _, method := range []string{"GET", "HEAD", "DELETE", "PUT"} {
			got := do(t, method, l, nil)
			assert.GreaterOrEqual(t, got.status, 300, "%s %s", method, l) // a path with .. is redirected
			assert.NotContains(t, got.body, "of anna")
		}
	}
	// Bert is signed in when he uses the link. Anna's tenant sees the use, but
	// not the user.
	assert.Contains(t, do(t, "GET", annas, nil, "Authorization", "Bearer "+bert.Access).body, "of anna")
	used := anna.do("GET", "/invoice/"+theirs.ID+"/trail", nil).body
	assert.Contains(t, used, `"action":"redeem"`)
	claims, err := s.parse(bert.Access, audienceAccess)
	require.NoError(t, err)
	assert.NotContains(t, used, claims.Subject)

	for _, method := range []string{"DELETE", "PUT", "POST"} { // a read link permits nothing else
		assert.GreaterOrEqual(t, do(t, method, annas, strings.NewReader("x")).status, 400)
	}
	assert.Contains(t, do(t, "GET", annas, nil).body, "of anna", "the link itself still holds")

	// Try anna's ticket: its link and its completion.
	ticket := anna.begin("NORTH-9", 9)
	const content = "%PDF-1.7\n"
	put := func(url string) int {
		return do(t, "PUT", url, strings.NewReader(content), "Content-Type", "application/pdf").status
	}
	assert.GreaterOrEqual(t, do(t, "GET", ticket.URL, nil).status, 400)
	assert.GreaterOrEqual(t, put(strings.Replace(ticket.URL, "tenants/north", "tenants/south", 1)), 400)
	bends := []blobhttp.DirectEnd{
		{ID: ticket.ID, Key: ticket.Key}, {ID: ticket.ID, Key: strings.Replace(ticket.Key, "north", "south", 1)}, {ID: bert.begin("SOUTH-9", 9).ID, Key: ticket.Key},
	}
	try := func() {
		t.Helper()
		for _, end := range bends {
			for _, step := range []string{"complete", "abort"} {
				a := bert.do("POST", "/invoice/direct/"+step, end)
				assert.Contains(t, []int{403, 404}, a.status, "%s %v: %s", step, end, a.body)
				assert.NotContains(t, a.body, "NORTH")
			}
		}
	}
	try()
	assert.Equal(t, 404, anna.complete(ticket).status)
	assert.Equal(t, 201, put(ticket.URL))
	try()
	assert.Equal(t, 200, anna.complete(ticket).status)
	assert.Equal(t, 200, anna.do("GET", "/invoice/"+ticket.invoice, nil).status)
}

// The store denies access even if a handler forgets the check.
func TestTheStoreRefusesOtherTenants(t *testing.T) {
	s, anna, _ := twoTenants(t)
	i := anna.store("NORTH-1")
	var key string
	require.NoError(t, s.db.Get(&key, s.db.Rebind("SELECT file_key FROM invoices WHERE id = ?"), i.ID))
	for name, a := range map[string]audit.Actor{
		"another tenant": {UserID: "bert", TenantID: "south"}, "none": {UserID: "bert"}, "one whose name begins like it": {UserID: "x", TenantID: "nort"},
		"one that climbs": {UserID: "x", TenantID: "south/../north"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := audit.WithActor(t.Context(), a)
			for what, do := range map[string]func(context.Context) error{
				"download": func(ctx context.Context) error { _, err := s.store.Download(ctx, key, nil); return err },
				"stat":     func(ctx context.Context) error { _, err := s.store.Stat(ctx, key); return err },
				"link":     func(ctx context.Context) error { _, err := s.store.Link(ctx, key, nil); return err },
				"delete":   func(ctx context.Context) error { return s.store.Delete(ctx, key, nil) },
				"upload": func(ctx context.Context) error {
					_, err := s.store.Upload(ctx, key, strings.NewReader("x"), &blobstore.UploadOptions{Overwrite: true})
					return err
				},
				"copy":   func(ctx context.Context) error { return s.store.Copy(ctx, tenantPrefix(a.TenantID)+"x", key, nil) },
				"move":   func(ctx context.Context) error { return s.store.Move(ctx, tenantPrefix(a.TenantID)+"x", key, nil) },
				"ticket": func(ctx context.Context) error { _, err := s.store.BeginUpload(ctx, key+"2", 0, nil); return err },
				"list": func(ctx context.Context) error {
					for _, err := range s.store.List(ctx, &blobstore.ListOptions{Prefix: "tenants/north/"}) {
						return err
					}
					return nil
				},
			} {
				err := do(ctx)
				assert.Error(t, err, what)
				if tenantName.MatchString(a.TenantID) { // otherwise its own keys are invalid
					assert.ErrorIs(t, err, blobstore.ErrDenied, what)
				}
			}
		})
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	s, anna, bert := twoTenants(t)
	i := anna.store("NORTH-1")
	good, err := s.parse(anna.Access, audienceAccess)
	require.NoError(t, err)
	berts, err := s.parse(bert.Access, audienceAccess)
	require.NoError(t, err)
	forge := func(change func(*claims), method jwt.SigningMethod, key any) string {
		c := *good
		change(&c)
		text, err := jwt.NewWithClaims(method, c).SignedString(key)
		require.NoError(t, err)
		return text
	}
	same := func(*claims) {}
	parts := strings.Split(anna.Access, ".")
	bertsParts := strings.Split(bert.Access, ".")
	other := make([]byte, jwtKeyBytes)
	ended, _, err := s.login(t.Context(), anna.email, password)
	require.NoError(t, err)
	endedTokens, err := s.issue(ended)
	require.NoError(t, err)
	require.NoError(t, s.logout(t.Context(), ended.ID))

	tokens := map[string]string{
		"expired":                      forge(func(c *claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Second)) }, jwt.SigningMethodHS256, s.set.jwtKey),
		"without an end":               forge(func(c *claims) { c.ExpiresAt = nil }, jwt.SigningMethodHS256, s.set.jwtKey),
		"not valid yet":                forge(func(c *claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) }, jwt.SigningMethodHS256, s.set.jwtKey),
		"signed by another key":        forge(same, jwt.SigningMethodHS256, other),
		"alg none":                     forge(same, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"another algorithm":            forge(same, jwt.SigningMethodHS512, s.set.jwtKey),
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"the payload of another":       bertsParts[0] + "." + parts[1] + "." + bertsParts[2],
		"a changed signature":          parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"of another issuer":            forge(func(c *claims) { c.Issuer = "elsewhere" }, jwt.SigningMethodHS256, s.set.jwtKey),
		"a refresh token":              anna.Refresh,
		"swapped: user":                forge(func(c *claims) { c.Subject = berts.Subject }, jwt.SigningMethodHS256, s.set.jwtKey),
		"swapped: tenant":              forge(func(c *claims) { c.Tenant = "south" }, jwt.SigningMethodHS256, s.set.jwtKey),
		"swapped: session":             forge(func(c *claims) { c.Session = berts.Session }, jwt.SigningMethodHS256, s.set.jwtKey),
		"swapped: another's for north": forge(func(c *claims) { c.Subject, c.Session = berts.Subject, berts.Session }, jwt.SigningMethodHS256, s.set.jwtKey),
		"no session":                   forge(func(c *claims) { c.Session = "" }, jwt.SigningMethodHS256, s.set.jwtKey),
		"of a session that was ended":  endedTokens.Access,
		"empty":                        "", "no token": "x", "dots": "..", "spaces": "a b c",
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			for _, header := range [][]string{{"Authorization", "Bearer " + token}, {"Cookie", cookieAccess + "=" + token}} {
				a := do(t, "GET", s.url+"/invoice/"+i.ID, nil, header...)
				assert.Equal(t, 401, a.status, "%s: %s", header[0], a.body)
				assert.NotContains(t, a.body, "NORTH-1")
			}
		})
	}
	for name, scheme := range map[string]string{"Basic": "Basic " + anna.Access, "bare": anna.Access} {
		assert.Equal(t, 401, do(t, "GET", s.url+"/invoice", nil, "Authorization", scheme).status, name)
	}
	a := do(t, "GET", s.url+"/invoice", nil)
	assert.Equal(t, 401, a.status)
	assert.Equal(t, "Bearer", a.header.Get("Www-Authenticate"))
	assert.Equal(t, 200, anna.do("GET", "/invoice/"+i.ID, nil).status)
	ahead := forge(func(c *claims) {
		c.IssuedAt, c.NotBefore = jwt.NewNumericDate(c.IssuedAt.Add(clockSkew/2)), jwt.NewNumericDate(c.NotBefore.Add(clockSkew/2))
	}, jwt.SigningMethodHS256, s.set.jwtKey)
	_, err = s.authenticate(t.Context(), ahead)
	require.NoError(t, err, "issued by a process whose clock is ahead")

	// Clients send their expired token when they request a new one.
	old := tokens["expired"]
	for path, body := range map[string]string{
		"/auth/login":   fmt.Sprintf(`{"email":%q,"password":%q}`, bert.email, password),
		"/auth/refresh": fmt.Sprintf(`{"refresh_token":%q}`, bert.Refresh),
	} {
		a := do(t, "POST", s.url+path, strings.NewReader(body), "Authorization", "Bearer "+old, "Content-Type", "application/json")
		assert.Equal(t, 200, a.status, "%s: %s", path, a.body)
	}

	// An access token refreshes nothing, nor does one that was used before:
	// then the session is over, for the thief and for the user.
	_, _, err = s.refresh(t.Context(), anna.Access)
	require.ErrorIs(t, err, errToken)
	_, next, err := s.refresh(t.Context(), anna.Refresh)
	require.NoError(t, err)
	_, err = s.db.Exec(s.db.Rebind("UPDATE sessions SET rotated_at = 0 WHERE id = ?"), good.Session) // the grace period has ended
	require.NoError(t, err)
	_, _, err = s.refresh(t.Context(), anna.Refresh)
	require.ErrorIs(t, err, errToken)
	_, err = s.authenticate(t.Context(), next.Access)
	require.ErrorIs(t, err, errToken)
	assert.Equal(t, 200, bert.do("GET", "/invoice", nil).status)
}

// A page of another origin cannot act for a signed-in user.
func TestForgedRequestsOfOtherOrigins(t *testing.T) {
	s, anna, _ := twoTenants(t)
	i := anna.store("NORTH-1")
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		for _, path := range []string{"/invoice/" + i.ID + "/link", "/logout", "/login", "/auth/logout"} {
			a := do(t, "POST", s.url+path, nil, append(header, "Cookie", cookieAccess+"="+anna.Access)...)
			assert.Equal(t, 403, a.status, path)
		}
		assert.Equal(t, 403, do(t, "DELETE", s.url+"/invoice/"+i.ID, nil, append(header, "Cookie", cookieAccess+"="+anna.Access)...).status)
	}
	assert.Equal(t, 200, anna.do("GET", "/invoice/"+i.ID, nil).status)
}
