package main

import (
	"bytes"
	"embed"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/examples/idp/demo"
	"github.com/doorward/doorward/examples/idp/look"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/internal/redact"
)

//go:embed files
var files embed.FS

const (
	demoPath  = "/demo"
	extraPath = "/idp.css"

	maxLoggedPath = 256 // bytes
	// strictFor is how long a browser comes back by HTTPS alone.
	strictFor = 365 * 24 * time.Hour
)

// routes puts everything together that is served.
func (p *provider) routes(withDemo bool) (http.Handler, error) {
	issuer := p.server.Issuer()
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	r := mux.NewRouter().SkipClean(true) // a cleaned path would be a redirect to wherever the request line says
	if err := p.server.Mount(r); err != nil {
		return nil, err
	}
	assets := u.Path + prefixOf(p.settings) + "/assets"
	site := look.Site{Name: p.settings.Name, Style: assets + "/style.css", Icon: assets + "/icon.svg", Extra: u.Path + extraPath, Home: u.Path + "/"}
	if site.Name == "" {
		site.Name = u.Host
	}
	if logo := p.settings.Pages.Logo; len(logo) > 0 {
		site.Logo = assets + "/logo.svg"
		if bytes.HasPrefix(logo, []byte("\x89PNG\r\n")) {
			site.Logo = assets + "/logo.png"
		}
	}
	r.Handle("/healthz", readOnly(http.HandlerFunc(alive)))
	r.Handle("/readyz", readOnly(http.HandlerFunc(p.ready)))
	r.Handle(u.Path+extraPath, readOnly(http.HandlerFunc(look.Stylesheet)))
	r.Handle("/favicon.ico", readOnly(http.RedirectHandler(site.Icon, http.StatusFound))) // what is no page asks there
	set, err := look.New(site, files, "files")
	if err != nil {
		return nil, err
	}
	front := p.front(set, withDemo)
	r.NotFoundHandler = p.nowhere(set)
	r.Handle(u.Path+"/", front)
	if u.Path != "" {
		r.Handle(u.Path, front)
	}
	if withDemo {
		app, err := demo.New(demo.Config{
			Issuer: issuer, Base: issuer + demoPath, Site: site, Credentials: p.credentials, HTTP: p.demoHTTP(), Logger: p.log,
		})
		if err != nil {
			return nil, err
		}
		at := u.Path + demoPath
		r.Handle(at, oneHost(u, app.Handler()))
		r.PathPrefix(at + "/").Handler(oneHost(u, app.Handler()))
	}
	return r, nil
}

func prefixOf(s *settings.Settings) string {
	switch s.Prefix {
	case "":
		return "/oauth"
	case "/":
		return ""
	}
	return s.Prefix
}

// front is the page for people who open the issuer.
func (p *provider) front(set *look.Set, withDemo bool) http.Handler {
	issuer := p.server.Issuer()
	page := struct{ Issuer, Demo, Account, Discovery, Errors string }{
		Issuer: issuer, Account: issuer + prefixOf(p.settings) + "/account/apps",
		Discovery: issuer + "/.well-known/openid-configuration", Errors: issuer + "/errors",
	}
	if withDemo {
		page.Demo = issuer + demoPath
	}
	return readOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := set.Serve(w, http.StatusOK, "home.html", page); err != nil {
			p.log.ErrorContext(r.Context(), "the front page failed", "err", err)
		}
	}))
}

// nowhere answers where nothing is: a browser that opens a page with a way on,
// anything else with a line of text. RFC 9110 §15.5.5
func (p *provider) nowhere(set *look.Set) http.Handler {
	discovery := p.server.Issuer() + "/.well-known/openid-configuration"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if !strings.Contains(r.Header.Get("Accept"), "text/html") { // as every browser says that opens a page
			http.Error(w, "Nothing is here. The endpoints are listed at "+discovery, http.StatusNotFound)
			return
		}
		if err := set.Serve(w, http.StatusNotFound, "nowhere.html", nil); err != nil {
			p.log.ErrorContext(r.Context(), "the page of unknown paths failed", "err", err)
		}
	})
}

// readOnly serves what can only be looked at. RFC 9110 §15.5.6
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Only GET and HEAD are allowed here.", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// strict asks browsers to come back by HTTPS alone, where TLS ends here. Not on
// loopback: a browser would ask it of everything that is developed there. RFC 6797 §7.1
func strict(next http.Handler, issuer string) http.Handler {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || settings.Loopback(u.Hostname()) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", fmt.Sprintf("max-age=%d", int(strictFor.Seconds())))
		next.ServeHTTP(w, r)
	})
}

// oneHost sends a browser that came by 127.0.0.1 to localhost, or the other way
// round, where cookies will be found again. Only loopback: elsewhere a proxy in
// front may say any name.
func oneHost(issuer *url.URL, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if r.Method == http.MethodGet && r.Host != issuer.Host && settings.Loopback(host) && settings.Loopback(issuer.Hostname()) {
			to := *r.URL
			to.Scheme, to.Host = issuer.Scheme, issuer.Host
			http.Redirect(w, r, to.String(), http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// alive says that the process answers.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// ready says whether sign-ins can be served.
func (p *provider) ready(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := p.server.Ready(r.Context()); err != nil {
		p.log.WarnContext(r.Context(), "not ready", "err", err)
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not ready; the log says why")
		return
	}
	fmt.Fprintln(w, "ready")
}

// closeAfterChunks ends the connection after a request with Transfer-Encoding: what
// follows on it may be a second request that a proxy in front took for its body. The
// protocol's own endpoints refuse such a request. RFC 9112 §6.1
func closeAfterChunks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// accessLog writes one line for each request. The query stays out of it: it holds
// codes and states. from says where a request came from.
func accessLog(next http.Handler, from func(*http.Request) netip.Addr, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		counted := &countedWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(counted, r)
		attrs := []slog.Attr{
			slog.String("method", r.Method), slog.String("path", pathOf(r)), slog.Int("status", counted.status),
			slog.Int64("bytes", counted.bytes), slog.Duration("took", time.Since(began).Round(time.Microsecond)), slog.String("from", from(r).String()),
		}
		if id := counted.Header().Get("X-Request-Id"); id != "" {
			attrs = append(attrs, slog.String("request_id", id))
		}
		log.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
	})
}

// pathOf is a request's path as it may be logged: somebody may have put a token
// there, or megabytes.
func pathOf(r *http.Request) string {
	path := redact.Text(r.URL.Path)
	if len(path) > maxLoggedPath {
		path = path[:maxLoggedPath] + "..."
	}
	return path
}

type countedWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *countedWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countedWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach what is below.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
