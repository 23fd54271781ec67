// Package demo is a small application that lets people sign in by OpenID Connect.
// It is a client as any other: it knows the provider by its issuer and speaks to
// it over HTTP, through golang.org/x/oauth2 and go-oidc.
package demo

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/examples/idp/look"
)

//go:embed files
var files embed.FS

// Config is what the application is told. All fields are required.
type Config struct {
	Issuer string
	Base   string // URL of the application, without a slash at its end
	Site   look.Site

	// Credentials returns the client's ID and secret.
	Credentials func(ctx context.Context) (id, secret string, err error)

	HTTP   *http.Client // reaches the provider
	Logger *slog.Logger
}

// App is the application. It is safe for concurrent use.
type App struct {
	config   Config
	path     string // of Base
	secure   bool
	pages    *look.Set
	sessions sessions

	mu       sync.Mutex
	provider *oidc.Provider // nil until it was asked for the first time
}

// New makes the application. It asks the provider for nothing before somebody comes.
func New(c Config) (*App, error) {
	base, err := url.Parse(c.Base)
	if err != nil {
		return nil, err
	}
	set, err := look.New(c.Site, files, "files")
	if err != nil {
		return nil, err
	}
	return &App{
		config: c, path: base.Path, secure: base.Scheme == "https", pages: set,
		sessions: sessions{all: map[string]*session{}},
	}, nil
}

// RedirectURI is where the provider sends people back to.
func RedirectURI(base string) string { return base + "/callback" }

// SignedOutURI is where the provider sends people who signed out.
func SignedOutURI(base string) string { return base + "/signed-out" }

const toldPath = "/backchannel-logout"

// ToldURI is where the provider tells that a session has ended, from server to
// server. It is empty where the provider may not reach it: an https URL of its own
// may lead into a network of yours, or show a certificate that it does not trust.
func ToldURI(base string) string {
	if !strings.HasPrefix(base, "http://") { // which is loopback
		return ""
	}
	return base + toldPath
}

// Handler serves the application under its path.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /{$}": a.home, "POST /login": a.login, "GET /callback": a.callback,
		"POST /refresh": a.refresh, "POST /userinfo": a.userinfo,
		"POST /logout": a.logout, "GET /signed-out": a.signedOut,
		"POST " + toldPath: a.told, "GET /": a.nowhere,
	} {
		mux.HandleFunc(pattern, serve)
	}
	// Other sites must not press these buttons.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		under := *r
		at := *r.URL
		at.Path, at.RawPath = strings.TrimPrefix(r.URL.Path, a.path), ""
		if at.Path == "" {
			at.Path = "/"
		}
		if path.Clean(at.Path) != at.Path { // the mux would send on to a path without ours
			http.NotFound(w, r)
			return
		}
		under.URL = &at
		guarded.ServeHTTP(w, &under)
	})
}

// relying is the client as it stands towards the provider.
type relying struct {
	provider *oidc.Provider
	oauth    *oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// relying asks the provider who it is, once, and for the credentials each time:
// they may have been rotated.
func (a *App) relying(ctx context.Context) (context.Context, *relying, error) {
	ctx = oidc.ClientContext(ctx, a.config.HTTP)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider == nil {
		// The key set that the provider keeps outlives this request.
		provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), a.config.HTTP), a.config.Issuer)
		if err != nil {
			return ctx, nil, err
		}
		a.provider = provider
	}
	id, secret, err := a.config.Credentials(ctx)
	if err != nil {
		return ctx, nil, err
	}
	endpoint := a.provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return ctx, &relying{
		provider: a.provider,
		oauth: &oauth2.Config{
			ClientID: id, ClientSecret: secret, Endpoint: endpoint, RedirectURL: RedirectURI(a.config.Base),
			Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
		verifier: a.provider.Verifier(&oidc.Config{ClientID: id}),
	}, nil
}

func (a *App) setCookie(w http.ResponseWriter, id string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: id, Path: a.path, HttpOnly: true, Secure: a.secure,
		SameSite: http.SameSiteLaxMode, MaxAge: int((24 * time.Hour).Seconds()),
	})
}

func (a *App) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	if err := a.pages.Serve(w, status, name, data); err != nil {
		a.config.Logger.ErrorContext(r.Context(), "a page of the demo application failed", "err", err)
	}
}

type problem struct{ Base, Title, Text, Detail string }

// fail shows what went wrong; nothing of it is secret here.
func (a *App) fail(w http.ResponseWriter, r *http.Request, status int, title, text, detail string) {
	a.config.Logger.InfoContext(r.Context(), "demo sign-in failed", "reason", title, "detail", detail)
	a.show(w, r, status, "problem.html", problem{a.path, title, text, detail})
}

// nowhere answers where this application has nothing.
func (a *App) nowhere(w http.ResponseWriter, r *http.Request) {
	a.show(w, r, http.StatusNotFound, "problem.html", problem{
		Base: a.path, Title: "Nothing is here", Text: "This application has no such page.",
	})
}

// back shows the first page again, by a GET.
func (a *App) back(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, a.path, http.StatusSeeOther)
}
