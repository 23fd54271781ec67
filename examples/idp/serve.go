package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/moving"
)

// Limits of one connection, so that slow or greedy ones can't hold the server.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 64 << 10
)

type serveCommand struct {
	settings.Serving
	ReadyFile string `help:"Write the URL into this file when requests are answered." placeholder:"FILE"`
}

// gcPercent lets the heap grow to five times of what is in use before it is collected.
// That is so little here that by default a busy server collects tens of times a second,
// for which it spends an eighth of its processor time. It costs some 15 MB.
const gcPercent = 400

// Run serves until a signal comes.
func (c *serveCommand) Run(x *call) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	s, err := settings.Load(settings.Flags{Where: x.where, Serving: c.Serving})
	if err != nil {
		return &startError{[]error{settings.Merge(err, dryRun(x.ctx, s))}}
	}
	log := newLog(x.streams.err, s)
	h, err := openHouse(x.ctx, s, log)
	if err != nil {
		return err
	}
	return h.serve(x, c.ReadyFile)
}

func newLog(w io.Writer, s *settings.Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// house is all that is open while the server runs.
type house struct {
	provider  *provider
	listeners []net.Listener
	backend   *moving.Backend
	tls       *tls.Config // nil: plain HTTP
	demo      *made       // nil: no demo
	routes    http.Handler
}

// openHouse opens everything, or nothing. What does not depend on each other is
// tried even when one failed, so that all reasons are told at once.
func openHouse(ctx context.Context, s *settings.Settings, log *slog.Logger) (_ *house, err error) {
	h := &house{}
	var reasons []error
	note := func(err error) {
		if err != nil {
			reasons = append(reasons, err)
		}
	}
	defer func() {
		if err != nil {
			closeAll(h.listeners)
			if h.backend != nil {
				h.backend.Close()
			}
		}
	}()
	var port int
	h.listeners, port, err = listen(s)
	note(err)
	if s.TLS() {
		pair, err := openKeyPair(s.Cert, s.Key, log)
		note(err)
		h.tls = &tls.Config{GetCertificate: pair.get, MinVersion: tls.VersionTLS12}
		if s.MutualTLS.Accept {
			// Whom to trust is the server's matter, for each client.
			h.tls.ClientAuth = tls.RequestClientCert
		}
	}
	if !isFile(s) { // no database is made for a start that fails
		note(dryRun(ctx, s))
	}
	if len(reasons) == 0 || isFile(s) {
		backend, err := openStore(ctx, s, bolt.Options{Logger: log})
		if note(err); err == nil {
			h.backend = moving.New(backend)
		}
	}
	if len(reasons) > 0 {
		return nil, &startError{reasons}
	}
	if err := h.build(ctx, s, port, log); err != nil {
		return nil, &startError{[]error{err}}
	}
	return h, nil
}

// build puts the provider together on what was opened.
func (h *house) build(ctx context.Context, s *settings.Settings, port int, log *slog.Logger) (err error) {
	if h.provider, err = newProvider(ctx, s, s.IssuerAt(port), h.backend, log); err != nil {
		return err
	}
	if err := rememberIssuer(ctx, h.backend, h.provider.server, log); err != nil {
		return err
	}
	if h.routes, err = h.provider.routes(s.Demo); err != nil {
		return err
	}
	if err := h.provider.followFile(ctx, h.backend); err != nil {
		return err
	}
	if s.Demo { // last: what it makes is shown only once
		made, err := h.provider.openDemo(ctx, h.provider.server.Issuer()+demoPath)
		if err != nil {
			return err
		}
		h.demo = &made
	}
	return nil
}

// serve answers requests until a signal comes or ctx ends, then closes the house.
func (h *house) serve(x *call, readyFile string) error {
	p := h.provider
	routes := closeAfterChunks(h.routes)
	if h.tls != nil {
		routes = strict(routes, p.server.Issuer())
	}
	web := bounded(accessLog(routes, p.server.ClientAddr, p.log))
	web.TLSConfig, web.ErrorLog = h.tls, slog.NewLogLogger(p.log.Handler(), slog.LevelWarn)
	ctx, stop := context.WithCancel(context.WithoutCancel(x.ctx))
	defer stop()
	var tasks sync.WaitGroup
	failed := make(chan error, len(h.listeners))
	for _, l := range h.listeners {
		tasks.Go(func() {
			if err := h.answer(web, l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	tasks.Go(func() {
		if err := p.server.Run(ctx); err != nil {
			p.log.ErrorContext(ctx, "background work ended", "err", err)
		}
	})
	closeAdmin := h.serveAdmin(&tasks)
	issuer := p.server.Issuer()
	p.announce(x.streams.out, issuer+demoPath, h.demo)
	fmt.Fprintln(x.streams.out, "ready", issuer)
	if err := writeReady(readyFile, issuer); err != nil {
		failed <- err
	}
	p.log.Info("serving", "issuer", issuer, "listen", p.settings.Listen, "store", p.settings.Place())

	var cause error
	select {
	case sig := <-x.signals:
		p.log.Info("stopping: requests under way are answered; a second signal ends at once", "signal", sig.String())
	case <-x.ctx.Done():
		p.log.Info("stopping: requests under way are answered")
	case cause = <-failed:
		p.log.Error("stopping: the server can't go on", "err", cause)
	}
	if readyFile != "" {
		os.Remove(readyFile)
	}
	forced := drain(web, x.signals, p.settings.Shutdown, p.log)
	closeAdmin()
	stop()
	if forced {
		return errors.Join(errForced, h.backend.Close())
	}
	tasks.Wait()
	err := errors.Join(cause, h.backend.Close())
	if err == nil {
		p.log.Info("stopped: everything is stored and closed")
	}
	return err
}

// bounded is a server that nobody holds by being slow or by sending much. With HTTP/2
// WriteTimeout ends a request and no connection.
func bounded(routes http.Handler) *http.Server {
	return &http.Server{
		Handler: routes, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{WriteByteTimeout: writeTimeout},
	}
}

// answers says that a server listens on a socket. The lock of a database file says so
// before; PostgreSQL has none.
func answers(path string) bool {
	_, err := admin.Dial(context.Background(), path)
	return err == nil
}

func (h *house) answer(web *http.Server, l net.Listener) error {
	if h.tls != nil {
		return web.ServeTLS(l, "", "")
	}
	return web.Serve(l)
}

// drain waits until the requests under way are answered; forced says that a second
// signal came before.
func drain(web *http.Server, signals <-chan os.Signal, atMost time.Duration, log *slog.Logger) (forced bool) {
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- web.Shutdown(ctx) }()
	select {
	case <-signals:
		web.Close()
		return true
	case err := <-done:
		if err != nil {
			log.Warn("requests that took too long were cut off", "err", err, "setting", "shutdown")
			web.Close()
		}
		return false
	}
}

// serveAdmin offers the command line's calls on the socket that belongs to the database.
// Without a socket the server does its work; only commands must wait.
func (h *house) serveAdmin(tasks *sync.WaitGroup) (closeAdmin func()) {
	p := h.provider
	path := socketOf(p.settings)
	if p.settings.Postgres != "" && answers(path) {
		p.log.Info("another replica on this machine has the admin socket and answers commands for all of them", "socket", path)
		return func() {}
	}
	l, remove, err := admin.Listen(path)
	if err != nil && p.settings.Postgres != "" {
		p.log.Warn("there is no admin socket: commands open the database themselves; name another place by --admin-socket", "err", err)
		return func() {}
	}
	if err != nil {
		p.log.Warn("there is no admin socket: client and user commands work only while the server is stopped; name another place by --admin-socket", "err", err)
		return func() {}
	}
	control := bounded(admin.Handler(p.local(), p.log))
	tasks.Go(func() {
		if err := control.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			p.log.Warn("the admin socket failed", "err", err)
		}
	})
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		remove()
		if control.Shutdown(ctx) != nil {
			control.Close()
		}
	}
}

// writeReady tells who waits for it that requests are answered. The file appears
// whole.
func writeReady(path, issuer string) error {
	if path == "" {
		return nil
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the ready file: %w", err)
	}
	if err := writeNew(temporary, []byte(issuer+"\n")); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	return nil
}
