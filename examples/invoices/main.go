// Invoices is a service that keeps the invoices of its tenants: each with its
// file, a link that expires, and a trail that nobody can quietly change.
//
//	cd examples/invoices && go run .
//
// starts it on http://localhost:8080 with local files, SQLite and a demo user,
// whose password it prints. Everything else comes from the environment or a file
// .env: what package config reads (see .env.example at the root of the
// repository), and these (see .env.example beside this file):
//
//	LISTEN_ADDR            where it serves; localhost:8080 by default
//	METRICS_ADDR           where it serves /metrics, or "off"; localhost:9464 by default
//	JWT_SIGNING_KEY        32 random bytes in base64url; required in production
//	TRUSTED_PROXIES        networks whose X-Forwarded-For is believed, such as 10.0.0.0/8,fd00::/8
//
// Users are added from the command line; the password is read from the standard
// input:
//
//	go run . adduser EMAIL TENANT
//
// SIGINT and SIGTERM end it when the running requests are done.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// shutdownTime is how long running requests are waited for.
const shutdownTime = 30 * time.Second

func main() {
	if len(os.Args) == 2 && os.Args[1] == readPDFCommand {
		os.Exit(readPDFMain(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "invoices:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log *slog.Logger) (err error) {
	adding := len(args) == 3 && args[0] == "adduser"
	if len(args) > 0 && !adding {
		return errors.New("usage: invoices [adduser EMAIL TENANT]")
	}
	if err := loadDotEnv(); err != nil {
		return err
	}
	set, err := loadSettings()
	if err != nil {
		return err
	}
	s, err := open(ctx, set, log)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		err = errors.Join(err, s.close(ctx))
	}()
	if adding {
		password, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && password == "" {
			return fmt.Errorf("reading the password from the standard input: %w", err)
		}
		return s.addUser(ctx, args[1], args[2], strings.TrimRight(password, "\r\n"))
	}
	if err := s.store.Check(ctx); err != nil { // says what is wrong, and what would help
		return err
	}
	if err := s.demoUser(ctx); err != nil {
		return err
	}
	return serve(ctx, s)
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, s *service) (err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.set.Addr)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDR: %w", err)
	}
	var servers []*http.Server
	failed := make(chan error, 2)
	start := func(l net.Listener, h http.Handler) {
		server := newServer(h, s.log)
		servers = append(servers, server)
		go func() { failed <- server.Serve(l) }()
	}
	start(l, s.handler())
	if s.set.MetricsAddr != "off" {
		ml, err := new(net.ListenConfig).Listen(ctx, "tcp", s.set.MetricsAddr)
		if err != nil {
			return errors.Join(fmt.Errorf("METRICS_ADDR: %w", err), servers[0].Close())
		}
		start(ml, s.metrics.handler())
		s.log.Info("metrics", "url", "http://"+ml.Addr().String()+"/metrics")
	}
	s.log.Info("serving", "url", "http://"+l.Addr().String()+"/", "files", s.store.Info().Backend)

	stopWork := s.background(ctx)
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.log.Info("shutting down")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	s.draining.Store(true)
	for _, server := range servers {
		err = errors.Join(err, server.Shutdown(ctx))
	}
	stopWork()
	return err
}

// newServer bounds what a slow client can take of the server before a handler
// runs; the handlers bound the rest by inTime.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // broken connections, above all
	}
}
