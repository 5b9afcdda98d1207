package main

// This file implements the service: its parts, its routes and its background
// work.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/go-sql-driver/mysql" // mysql:
	_ "github.com/jackc/pgx/v5/stdlib" // postgres:
	"github.com/jmoiron/sqlx"
	"golang.org/x/crypto/bcrypt"
	_ "modernc.org/sqlite" // sqlite:

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/all"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

type service struct {
	set     *settings
	log     *slog.Logger
	app     *blobtrail.App
	store   *blobstore.Store
	journal *sqlaudit.Journal
	db      *sqlx.DB
	checked verifier
	metrics *metrics

	commit       func(*sqlx.Tx) error // a field, so that tests can lose the response of a commit
	passwordCost int
	requestRate  float64       // requests per second and user
	patience     time.Duration // time for a request, in addition to the time for its content
	draining     atomic.Bool
	parsers      chan struct{} // limits the PDFs read concurrently
}

func open(ctx context.Context, set *settings, log *slog.Logger) (_ *service, err error) {
	s := &service{set: set, log: log, commit: (*sqlx.Tx).Commit, passwordCost: bcrypt.DefaultCost, requestRate: 20, patience: time.Minute, parsers: make(chan struct{}, 2)}
	s.app, err = blobtrail.Open(ctx, &blobtrail.Options{
		Config: &set.files, Logger: log, Store: &blobstore.Options{Authorize: ownFilesOnly},
		ReconcileEvery: -1, // settle calls Reconcile and counts the results
	})
	if err != nil {
		return nil, err
	}
	driver, _, _ := strings.Cut(set.files.AuditDatabaseURL.Reveal(), ":") // sqlx derives the placeholders from the driver name
	s.store, s.journal, s.db = s.app.Store, s.app.Journal, sqlx.NewDb(s.app.Journal.DB(), driver)
	s.metrics = newMetrics(s)
	if err := createTables(ctx, s.db); err != nil {
		return nil, errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *service) close(ctx context.Context) error {
	return s.app.Close(ctx)
}

// handler returns the handler for all requests of clients.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	perUser, logins := newLimiter(s.requestRate, 60), newLimiter(0.2, 10) // requests per second, and burst
	var patterns []string
	handle := func(pattern string, h http.Handler) {
		patterns = append(patterns, pattern)
		mux.Handle(pattern, s.inTime(perUser.of(byUser, h)))
	}
	users := func(pattern string, h handlerFunc) { handle(pattern, needUser(s.answer(h))) }

	handle("POST /auth/login", logins.of(byIP, s.answer(s.handleLogin)))
	handle("POST /auth/refresh", s.answer(s.handleRefresh))
	users("POST /auth/logout", s.handleLogout)

	handle("POST /invoice/upload_file", needUser(s.uploadHandler(fromForm)))
	handle("POST /invoice/upload_file_auto", needUser(s.uploadHandler(fromPDF)))
	handle("POST /invoice/upload_file_direct", needUser(s.uploadHandler(fromTransaction)))
	direct := needUser(s.directHandler())
	for _, step := range []string{"begin", "complete", "abort"} {
		handle("POST /invoice/direct/"+step, direct)
	}

	users("GET /invoice", s.handleList)
	users("GET /invoice/{id}", s.handleGet)
	users("GET /invoice/download", s.handleDownload)
	users("POST /invoice/{id}/link", s.handleLink)
	users("DELETE /invoice/{id}", s.handleDelete)
	users("GET /invoice/{id}/trail", s.handleTrail)
	users("POST /trail/verify", s.handleVerify)
	s.pages(handle, users, logins)

	handle(s.set.linkPath(), blobhttp.Links(s.store, nil))
	handle("GET /healthz", s.answer(func(w http.ResponseWriter, _ *http.Request) error {
		return writeJSON(w, 200, map[string]string{"status": "ok"})
	}))
	handle("GET /readyz", newLimiter(5, 20).of(byIP, s.answer(s.handleReady)))

	identify := blobhttp.Middleware(&blobhttp.MiddlewareOptions{Identify: identify, OnError: s.report, TrustedProxies: s.set.proxies})
	all := s.withSession(identify(http.NewCrossOriginProtection().Handler(mux)))
	// Also count requests that are refused before they reach a route.
	counted := map[string]http.Handler{"": s.metrics.count("none", all)}
	for _, pattern := range patterns {
		counted[pattern] = s.metrics.count(pattern, all)
	}
	return s.secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		next := counted[pattern]
		if next == nil {
			next = counted[""]
		}
		next.ServeHTTP(w, r)
	}))
}

// handleReady reports whether the process can serve requests. It cannot during
// shutdown, or without the database or the storage.
func (s *service) handleReady(w http.ResponseWriter, r *http.Request) error {
	if s.draining.Load() {
		return refuse(503, "draining", "Shutting down", "Send the request to another process.")
	}
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := s.db.PingContext(ctx); err != nil {
		s.log.Error("not ready: database", "error", err)
		return refuse(503, "database", "Database unavailable", "Try again later.")
	}
	if _, err := s.store.Stat(asSystem(ctx, "system"), tenantPrefix("system")+"ready"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("not ready: storage", "error", err)
		return refuse(503, "storage", "Storage unavailable", "Try again later.")
	}
	return writeJSON(w, 200, map[string]string{"status": "ready"})
}

// asSystem returns a context for work of the service itself, for a tenant.
func asSystem(ctx context.Context, tenant string) context.Context {
	return audit.WithActor(ctx, audit.Actor{UserID: "system", TenantID: tenant})
}

// background settles unfinished operations and verifies the trail, until stop
// is called.
func (s *service) background(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	every := func(d time.Duration, f func(context.Context) error, what string) {
		work.Go(func() {
			ticker := time.NewTicker(d)
			defer ticker.Stop()
			for {
				if err := f(ctx); err != nil && ctx.Err() == nil {
					s.log.Error(what, "error", err)
				}
				select {
				case <-ticker.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	every(time.Minute, s.settle, "settling unfinished operations failed, retrying")
	every(5*time.Minute, s.verify, "verifying the trail failed, retrying")
	return func() { cancel(); work.Wait() }
}

// settle completes the operations of killed processes: first the files, then
// the rows. Other processes may call it concurrently.
func (s *service) settle(ctx context.Context) error {
	done, err := s.store.Reconcile(ctx)
	s.metrics.reconciled(done)
	if err = errors.Join(err, s.settleRows(ctx)); err == nil {
		s.metrics.lastly.SetToCurrentTime()
	}
	return err
}

func (s *service) settleRows(ctx context.Context) error {
	var rows []*invoice
	// A direct upload expires 15 minutes after its link.
	now := time.Now()
	expired := now.Add(-s.set.files.LinkExpiry - 20*time.Minute)
	err := s.db.SelectContext(ctx, &rows, s.db.Rebind("SELECT "+columns+" FROM invoices WHERE state = ? AND changed_at < ? OR state = ? AND changed_at < ? ORDER BY changed_at LIMIT 100"),
		statePending, expired.UnixMilli(), stateDeleting, now.Add(-time.Minute).UnixMilli())
	for _, i := range rows {
		ctx := asSystem(ctx, i.TenantID)
		if i.State == stateDeleting {
			err = errors.Join(err, s.remove(ctx, i))
			continue
		}
		// A completed upload has a file. Without a file, remove the row.
		obj, serr := s.store.Stat(ctx, i.FileKey)
		switch {
		case serr == nil:
			i.has(obj)
			err = errors.Join(err, s.moveOnce(ctx, i, stateStored))
		case errors.Is(serr, fs.ErrNotExist):
			if stored, rerr := s.recorded(ctx, i, audit.ActionUpload); stored || rerr != nil {
				err = errors.Join(err, rerr, fmt.Errorf("invoice %s: the file was stored, but is missing now", i.ID))
				continue
			}
			_, derr := s.db.ExecContext(ctx, s.db.Rebind("DELETE FROM invoices WHERE id = ? AND state = ?"), i.ID, statePending)
			err = errors.Join(err, derr)
		default:
			err = errors.Join(err, serr)
		}
	}
	return err
}
