// Invoices is a service for the invoices of several tenants. Each invoice has a
// file, links that expire, and an audit trail.
//
//	cd examples/invoices && go run .
//
// starts the service on http://localhost:8080, with local files, SQLite and a
// demo user. The log shows the user's password.
//
// The configuration comes from the environment or from a file .env. Package
// config defines most variables; see .env.example at the root of the
// repository. The service adds these variables; see .env.example in this
// folder:
//
//	LISTEN_ADDR            address of the service; default localhost:8080
//	METRICS_ADDR           address of /metrics, or "off"; default localhost:9464
//	JWT_SIGNING_KEY        32 random bytes in base64url; required in production
//	TRUSTED_PROXIES        networks of trusted proxies (X-Forwarded-For), such as 10.0.0.0/8,fd00::/8
//
// This command adds a user. It reads the password from standard input:
//
//	go run . adduser EMAIL TENANT
//
// On SIGINT or SIGTERM, the service completes the running requests and exits.
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

// shutdownTime limits the wait for running requests.
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
			return fmt.Errorf("reading the password from standard input: %w", err)
		}
		return s.addUser(ctx, args[1], args[2], strings.TrimRight(password, "\r\n"))
	}
	if err := s.store.Check(ctx); err != nil { // the error names the problem and the fix
		return err
	}
	if err := s.demoUser(ctx); err != nil {
		return err
	}
	return serve(ctx, s)
}

// serve serves requests until ctx ends.
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

// newServer limits slow clients until a handler runs. After that, inTime limits
// them.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // mostly broken connections
	}
}
