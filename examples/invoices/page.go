package main

// This file implements the web page. The service renders the HTML and serves
// one style sheet and one script.

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

//go:embed web
var web embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"bytes": humanBytes, "when": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") },
	"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) }, "amount": amount, "words": actionWords,
	"add": func(a, b int) int { return a + b }, "sub": func(a, b int) int { return a - b },
}).ParseFS(web, "web/*.html"))

func (s *service) pages(handle func(string, http.Handler), users func(string, handlerFunc), logins *limiter) {
	files, err := fs.Sub(web, "web/static")
	if err != nil {
		panic(err) // unreachable: the path is constant
	}
	static := http.StripPrefix("/static/", http.FileServerFS(files))
	handle("GET /static/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache") // the file names have no version
		static.ServeHTTP(w, r)
	}))
	handle("GET /{$}", s.answer(s.pageList))
	handle("GET /invoices/{id}", s.answer(s.pageTrail))
	handle("GET /login", s.answer(s.pageLogin))
	handle("POST /login", logins.of(byIP, s.answer(s.formLogin)))
	users("POST /logout", func(w http.ResponseWriter, r *http.Request) error {
		if err := s.logout(r.Context(), sessionOf(r).ID); err != nil {
			return err
		}
		s.setCookies(w, new(tokens))
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	})
	users("POST /invoices/{id}/verify", func(w http.ResponseWriter, r *http.Request) error {
		if err := s.verifyNow(r.Context()); err != nil {
			return err
		}
		http.Redirect(w, r, "/invoices/"+r.PathValue("id"), http.StatusSeeOther)
		return nil
	})
}

// view is the data of the templates.
type view struct {
	Title, Email, Tenant string

	Invoices []*invoice // list.html
	Page     int
	More     bool
	MaxBytes int64
	MaxPDF   int64
	Backend  string

	Invoice *invoice // trail.html
	Trail   *trail
	Live    bool

	Error string // login.html
}

func (s *service) render(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	if l := sessionOf(r); l != nil {
		v.Email, v.Tenant = l.Email, l.TenantID
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "private, no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // ignore a disconnected client
	return nil
}

func (s *service) pageLogin(w http.ResponseWriter, r *http.Request) error {
	if sessionOf(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return s.render(w, r, 200, "login.html", view{Title: "Sign in"})
}

func (s *service) formLogin(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxJSON)
	if err := r.ParseForm(); err != nil {
		return refuse(400, "", "", "The form is malformed.")
	}
	_, t, err := s.login(r.Context(), r.PostForm.Get("email"), r.PostForm.Get("password"))
	if p := (*blobhttp.Problem)(nil); errors.As(err, &p) {
		return s.render(w, r, p.Status, "login.html", view{Title: "Sign in", Error: p.Title + "."})
	}
	if err != nil {
		return err
	}
	s.setCookies(w, t)
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (s *service) pageList(w http.ResponseWriter, r *http.Request) error {
	if sessionOf(r) == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	page, _ := strconv.Atoi(r.FormValue("page"))
	page = max(0, min(page, 10_000))
	invoices, more, err := s.list(r.Context(), page)
	if err != nil {
		return err
	}
	return s.render(w, r, 200, "list.html", view{
		Title: "Invoices", Invoices: invoices, Page: page, More: more, MaxBytes: s.set.files.MaxUploadSize, MaxPDF: maxPDF, Backend: s.store.Info().Backend,
	})
}

func (s *service) pageTrail(w http.ResponseWriter, r *http.Request) error {
	if sessionOf(r) == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored, stateDeleting, stateDeleted)
	if errors.Is(err, fs.ErrNotExist) {
		return s.render(w, r, 404, "missing.html", view{Title: "Not found"})
	}
	if err != nil {
		return err
	}
	t, err := s.trailOf(r.Context(), i)
	if err != nil {
		return err
	}
	return s.render(w, r, 200, "trail.html", view{Title: "Invoice " + i.Number, Invoice: i, Trail: t, Live: i.State == stateStored})
}

func humanBytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n)/unit, "KMGT"
	for f >= unit && len(units) > 1 {
		f, units = f/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", f, units[0])
}

// amount formats an amount with thin spaces between groups of digits.
func amount(i *invoice) string {
	whole, cents, _ := strings.Cut(i.Total(), ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "−", whole[1:]
	}
	for n := len(whole) - 3; n > 0; n -= 3 {
		whole = whole[:n] + "\u202f" + whole[n:]
	}
	return sign + whole + "." + cents
}

// actionWords returns a description of an entry.
func actionWords(e trailEntry) string {
	words := map[string]string{
		string(audit.ActionUpload): "Stored", string(audit.ActionDownload): "Downloaded", string(audit.ActionDelete): "Deleted",
		string(audit.ActionIssueLink): "Link issued", string(audit.ActionIssueUploadLink): "Upload link issued",
		string(audit.ActionRedeem): "Link used", string(audit.ActionRevoke): "Link revoked", string(audit.ActionReconcile): "Reconciled",
	}[e.Action]
	if words == "" {
		words = e.Action
	}
	if e.Outcome != string(audit.OutcomeOK) {
		words += ": " + e.Outcome
	}
	return words
}
