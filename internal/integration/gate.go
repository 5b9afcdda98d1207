package integration

// This file implements the checks missing in fake-gcs-server, which accepts any
// signature, header and token. The gate runs in front of it and refuses
// requests like the real service.

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"golang.org/x/oauth2"
)

const tokenPath = "/oauth2/token"

// Gate is the handler in front of fake-gcs-server. A request passes if it has a
// token issued by the gate, or if its URL has a completely valid V4 signature.
type Gate struct {
	fake     *fakestorage.Server
	next     http.Handler
	accessID string
	key      *rsa.PrivateKey
	token    string
	puts     sync.Mutex // makes the check of a precondition and the upload atomic

	chunks sync.Map // chunks of resumable uploads, by upload and range -> *httptest.ResponseRecorder
	cors   atomic.Pointer[CORS]
}

// CORS is the rule for pages of other origins that use a bucket.
type CORS struct {
	Origins, Methods []string
	ResponseHeaders  []string // the service also uses them as the permitted request headers
}

// SetCORS sets the rule of every bucket. Initially, no rule is set.
func (g *Gate) SetCORS(rule *CORS) { g.cors.Store(rule) }

func newGate(fake *fakestorage.Server, accessID string, key *rsa.PrivateKey) *Gate {
	return &Gate{fake: fake, next: fake.HTTPHandler(), accessID: accessID, key: key, token: rand.Text()}
}

// Tokens issues tokens that the gate accepts, like the metadata server of a
// machine.
func (g *Gate) Tokens() oauth2.TokenSource {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: g.token})
}

// ServeHTTP implements [http.Handler].
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := g.cors.Load()
	if r.Method == http.MethodOptions {
		rule.preflight(w, r)
		return
	}
	w = &corsWriter{ResponseWriter: w, rule: rule, r: r}
	switch {
	case r.URL.Path == tokenPath && r.Method == http.MethodPost:
		g.issueToken(w, r)
	case strings.HasSuffix(r.URL.Path, ":signBlob"):
		g.signBlob(w, r)
	case r.URL.Query().Has("X-Goog-Signature"):
		if err := g.verify(r, time.Now()); err != nil {
			refuse(w, http.StatusForbidden, "SignatureDoesNotMatch", err)
			return
		}
		g.serveSigned(w, r)
	case r.Header.Get("Authorization") == "Bearer "+g.token:
		g.serve(w, r)
	default:
		refuse(w, http.StatusUnauthorized, "AuthenticationRequired", errors.New("no token and no signature"))
	}
}

// allows reports whether pages of the request's origin may use the method.
// Without a rule, no page may.
func (c *CORS) allows(r *http.Request, method string) bool {
	return c != nil && slices.Contains(c.Origins, r.Header.Get("Origin")) && slices.Contains(c.Methods, method)
}

// preflight responds to the preflight request of a browser.
func (c *CORS) preflight(w http.ResponseWriter, r *http.Request) {
	method := r.Header.Get("Access-Control-Request-Method")
	if !c.allows(r, method) {
		return // without a header, the browser refuses
	}
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		known := func(s string) bool { return strings.EqualFold(s, strings.TrimSpace(name)) }
		if name != "" && !slices.ContainsFunc(c.ResponseHeaders, known) {
			return
		}
	}
	w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	w.Header().Set("Access-Control-Allow-Methods", method)
	w.Header().Set("Access-Control-Allow-Headers", strings.Join(c.ResponseHeaders, ","))
}

// corsWriter responds according to the rule. fake-gcs-server itself permits
// every origin.
type corsWriter struct {
	http.ResponseWriter
	rule  *CORS
	r     *http.Request
	begun bool
}

func (w *corsWriter) WriteHeader(status int) {
	w.begun = true
	h := w.Header()
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			h.Del(name)
		}
	}
	if w.rule.allows(w.r, w.r.Method) {
		h.Set("Access-Control-Allow-Origin", w.r.Header.Get("Origin"))
		h.Set("Access-Control-Expose-Headers", strings.Join(w.rule.ResponseHeaders, ","))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *corsWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// serve forwards a request. fake-gcs-server ignores two conditions: on copies,
// that the destination does not exist; on deletions, the generation.
func (g *Gate) serve(w http.ResponseWriter, r *http.Request) {
	if _, to, ok := strings.Cut(r.URL.Path, "/rewriteTo/b/"); ok && r.URL.Query().Get("ifGenerationMatch") == "0" {
		g.puts.Lock()
		defer g.puts.Unlock()
		bucket, key, _ := strings.Cut(to, "/o/")
		if _, err := g.fake.GetObject(bucket, key); err == nil {
			refuse(w, http.StatusPreconditionFailed, "conditionNotMet", errors.New("the object exists"))
			return
		}
	}
	if r.Method == http.MethodDelete && r.URL.Query().Has("ifGenerationMatch") {
		g.deleteGeneration(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/storage/v1/") {
		w = withoutMetadata{w}
	}
	if part := r.Header.Get("Content-Range"); part != "" && !strings.HasPrefix(part, "bytes *") {
		g.serveChunk(w, r, r.URL.Query().Get("upload_id")+" "+part)
		return
	}
	g.next.ServeHTTP(w, r)
}

// deleteGeneration deletes an object if it has the requested generation.
// fake-gcs-server can remove a generation. In a bucket without versions, this
// has the same effect.
func (g *Gate) deleteGeneration(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	q.Set("generation", q.Get("ifGenerationMatch"))
	q.Del("ifGenerationMatch")
	u := *r.URL
	u.RawQuery = q.Encode()
	r = r.Clone(r.Context())
	r.URL = &u
	rec := httptest.NewRecorder()
	if g.next.ServeHTTP(rec, r); rec.Code == http.StatusNotFound {
		refuse(w, http.StatusPreconditionFailed, "conditionNotMet", errors.New("the object has another generation or does not exist"))
		return
	}
	w.WriteHeader(rec.Code)
}

// serveChunk accepts a part of a resumable upload. The real service ignores
// bytes that it has already received, but fake-gcs-server would append them
// again.
func (g *Gate) serveChunk(w http.ResponseWriter, r *http.Request, id string) {
	answer, again := g.chunks.Load(id)
	if again {
		_, _ = io.Copy(io.Discard, r.Body)
	} else {
		rec := httptest.NewRecorder()
		g.next.ServeHTTP(rec, r)
		g.chunks.Store(id, rec)
		answer = rec
	}
	rec := answer.(*httptest.ResponseRecorder)
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// withoutMetadata removes metadata from the headers, because the JSON API of
// the real service does not send it.
type withoutMetadata struct{ http.ResponseWriter }

func (w withoutMetadata) WriteHeader(status int) {
	for name := range w.Header() {
		if strings.HasPrefix(name, "X-Goog-Meta-") {
			w.Header().Del(name)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func refuse(w http.ResponseWriter, status int, code string, err error) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>", code, err)
}

// issueToken issues a token for an assertion signed by the service account.
func (g *Gate) issueToken(w http.ResponseWriter, r *http.Request) {
	assertion := r.PostFormValue("assertion")
	signed, signature, _ := cutLast(assertion, ".")
	raw, err := rawURL.DecodeString(signature)
	sum := sha256.Sum256([]byte(signed))
	if err != nil || rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], raw) != nil {
		refuse(w, http.StatusUnauthorized, "invalid_grant", errors.New("the assertion is not signed by the service account"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": g.token, "token_type": "Bearer", "expires_in": 3600})
}

// signBlob is the IAM method used by programs without a key file.
func (g *Gate) signBlob(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+g.token || !strings.Contains(r.URL.Path, g.accessID) {
		refuse(w, http.StatusForbidden, "forbidden", errors.New("iam.serviceAccounts.signBlob denied"))
		return
	}
	var in struct{ Payload []byte }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "invalid", err)
		return
	}
	sum := sha256.Sum256(in.Payload)
	signed, err := rsa.SignPKCS1v15(nil, g.key, crypto.SHA256, sum[:])
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keyId": "1", "signedBlob": signed})
}

// verify checks a V4 signature. It builds the signed text from the received
// request, never from the claims in its URL.
func (g *Gate) verify(r *http.Request, now time.Time) error {
	q := r.URL.Query()
	signature, err := hex.DecodeString(q.Get("X-Goog-Signature"))
	if err != nil {
		return errors.New("the signature is not hexadecimal")
	}
	q.Del("X-Goog-Signature")
	date, err := time.Parse("20060102T150405Z", q.Get("X-Goog-Date"))
	if err != nil {
		return errors.New("bad X-Goog-Date")
	}
	seconds, err := strconv.Atoi(q.Get("X-Goog-Expires"))
	switch {
	case err != nil || seconds < 1 || seconds > 604800:
		return errors.New("bad X-Goog-Expires")
	case now.Before(date.Add(-15 * time.Minute)):
		return errors.New("not valid yet")
	case now.After(date.Add(time.Duration(seconds) * time.Second)):
		return errors.New("expired")
	}
	scope := date.Format("20060102") + "/auto/storage/goog4_request"
	if q.Get("X-Goog-Algorithm") != "GOOG4-RSA-SHA256" || q.Get("X-Goog-Credential") != g.accessID+"/"+scope {
		return errors.New("bad algorithm or credential")
	}
	names := strings.Split(q.Get("X-Goog-SignedHeaders"), ";")
	headers, err := canonicalHeaders(r, names)
	if err != nil {
		return err
	}
	payload := r.Header.Get("X-Goog-Content-Sha256")
	if payload == "" {
		payload = "UNSIGNED-PAYLOAD"
	}
	canonical := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), strings.ReplaceAll(q.Encode(), "+", "%20"), headers, strings.Join(names, ";"), payload,
	}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{"GOOG4-RSA-SHA256", q.Get("X-Goog-Date"), scope, hex.EncodeToString(hashed[:])}, "\n")
	sum := sha256.Sum256([]byte(toSign))
	return rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature)
}

// canonicalHeaders returns the signed headers as received, each on a line.
// Every x-goog- header must be signed.
func canonicalHeaders(r *http.Request, names []string) (string, error) {
	if !slices.Contains(names, "host") || !slices.IsSorted(names) {
		return "", errors.New("bad X-Goog-SignedHeaders")
	}
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-goog-") && !slices.Contains(names, name) {
			return "", fmt.Errorf("header %s is not signed", name)
		}
	}
	var b strings.Builder
	for _, name := range names {
		values := r.Header.Values(name)
		switch name {
		case "host":
			host, _, err := net.SplitHostPort(r.Host)
			if err != nil {
				host = r.Host
			}
			values = []string{host} // the client library signs it without the port
		case "content-length":
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		if len(values) == 0 {
			return "", fmt.Errorf("header %s is signed but missing", name)
		}
		fmt.Fprintf(&b, "%s:%s\n", name, strings.Join(strings.Fields(strings.Join(values, ",")), " "))
	}
	return b.String(), nil
}

// serveSigned performs the action of the signed headers and parameters, as in
// the service's reference.
func (g *Gate) serveSigned(w http.ResponseWriter, r *http.Request) {
	if limits := r.Header.Get("X-Goog-Content-Length-Range"); limits != "" {
		low, high, ok := strings.Cut(limits, ",")
		from, err := strconv.ParseInt(low, 10, 64)
		to, err2 := strconv.ParseInt(high, 10, 64)
		switch {
		case !ok || err != nil || err2 != nil:
			refuse(w, http.StatusBadRequest, "InvalidArgument", errors.New("bad x-goog-content-length-range"))
			return
		case r.ContentLength < 0:
			refuse(w, http.StatusLengthRequired, "MissingContentLength", errors.New("no Content-Length"))
			return
		case r.ContentLength > to:
			refuse(w, http.StatusBadRequest, "EntityTooLarge", errors.New("larger than the range"))
			return
		case r.ContentLength < from:
			refuse(w, http.StatusBadRequest, "EntityTooSmall", errors.New("smaller than the range"))
			return
		}
	}
	if r.Method == http.MethodPut {
		g.puts.Lock()
		defer g.puts.Unlock()
		if r.Header.Get("X-Goog-If-Generation-Match") == "0" {
			bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if _, err := g.fake.GetObject(bucket, key); err == nil {
				refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", errors.New("the object exists"))
				return
			}
		}
	}
	g.next.ServeHTTP(w, r)
}

var rawURL = base64.RawURLEncoding

// cutLast cuts s at the last sep.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
