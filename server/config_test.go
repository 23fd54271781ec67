package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

func noExchange(context.Context, *handlers.GrantRequest) (*handlers.GrantResult, error) {
	return nil, nil
}

// TestProblems holds that one start names everything that is wrong, in words that
// say what to write.
func TestProblems(t *testing.T) {
	_, err := server.New(t.Context(), server.Config{
		Issuer: "http://id.example.com/auth/?x=1#y",
		Prefix: "oauth/",
		Scopes: []server.Scope{{Name: "notes:read"}, {Name: "notes read"}, {Name: "notes:read"}, {}},
		Lifetimes: server.Lifetimes{
			Code: time.Hour, AccessToken: -time.Second, RefreshIdle: 91 * 24 * time.Hour, SessionAbsolute: time.Hour, SessionIdle: 2 * time.Hour,
		},
		Refresh:         server.Refresh{Policy: "sometimes", Window: time.Hour},
		Keys:            server.Keys{Algorithms: []string{"RS256", "HS256", "RS256"}, Rotation: 2 * time.Hour, CacheTime: 3 * time.Hour},
		Limits:          server.Limits{Logins: -1},
		DefaultAudience: "https://api.example.com/#top",
		Secrets:         [][]byte{[]byte("short")},
		Proxies:         []netip.Prefix{{}, netip.MustParsePrefix("0.0.0.0/0")},
		Grants:          []handlers.Grant{{}, {Type: "refresh_token", Exchange: noExchange}, {Type: "urn:a", Exchange: noExchange}, {Type: "urn:a", Exchange: noExchange}},
		Pages:           server.Pages{Overlay: fstest.MapFS{"login.html": {Data: []byte("{{")}}, Light: pages.Colors{Brand: "red"}, Dark: pages.Colors{Text: "#222"}, Logo: []byte("no picture")},
		Clients: []storage.Client{
			{ID: "web", Secret: "short", RedirectURIs: []string{"https://app.example.com/cb"}, Scope: "notes:delete"},
			{ID: "web", TokenEndpointAuthMethod: "none", GrantTypes: []string{"client_credentials"}},
			{},
		},
	})
	if !errors.Is(err, server.ErrInvalid) {
		t.Fatalf("the error is not ErrInvalid: %v", err)
	}
	fields(t, err)
	golden(t, "problems.txt", err.Error()+"\n")
}

func TestIssuer(t *testing.T) {
	for _, c := range []struct{ issuer, want string }{
		{"https://id.example.com", ""},
		{"https://id.example.com/auth", ""},
		{"https://id.example.com:8443/a/b-c.d_e~f", ""},
		{"http://localhost:8080", ""},
		{"http://127.0.0.1:8080/x", ""},
		{"http://[::1]:8080", ""},
		{"http://localhost", ""},
		{"", "https://id.example.com"},
		{"id.example.com", "https://id.example.com"},
		{"https://", "https://id.example.com"},
		{"https://id.example.com/", `write "https://id.example.com"`},
		{"https://id.example.com/auth/", `write "https://id.example.com/auth"`},
		{"http://id.example.com", `write "https://id.example.com"`},
		{"http://localhost.example.com", `write "https://localhost.example.com"`},
		{"ftp://id.example.com", `write "https://id.example.com"`},
		{"https://id.example.com?", `write "https://id.example.com"`},
		{"https://id.example.com#", `write "https://id.example.com"`},
		{"https://id.example.com?a=b", `write "https://id.example.com"`},
		{"https://id.example.com/#f", `write "https://id.example.com"`},
		{"https://me@id.example.com", `write "https://id.example.com"`},
		{"HTTPS://ID.example.com", `write "https://id.example.com"`},
		{"https://id.example.com:443", `write "https://id.example.com"`},
		{"http://localhost:80", `write "http://localhost"`},
		{"https://id.example.com/a/../b", `write "https://id.example.com/b"`},
		{"https://id.example.com//a", `write "https://id.example.com/a"`},
		{"https://id.example.com/{id}", "a path of these"},
		{"https://id.example.com/%61", "write"},
	} {
		config := valid(t)
		config.Issuer = c.issuer
		_, err := server.New(t.Context(), config)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q is refused: %v", c.issuer, err)
		case c.want != "" && err == nil:
			t.Errorf("%q is accepted", c.issuer)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: the error does not say %q: %v", c.issuer, c.want, err)
		}
	}
}

func TestLogin(t *testing.T) {
	user := func(*http.Request) (handlers.Subject, error) { return handlers.Subject{}, nil }
	for _, c := range []struct {
		login handlers.Login
		want  []string
	}{
		{handlers.LoginFunc(nobody), nil},
		{handlers.LoginFunc(nil), []string{"Login"}},
		{handlers.PasswordLogin{}, []string{"Login.Verify"}},
		{handlers.ExistingSession{CurrentUser: user, LoginURL: "/login"}, nil},
		{handlers.ExistingSession{CurrentUser: user, LoginURL: "https://app.example.com/login?x=y"}, nil},
		{handlers.ExistingSession{}, []string{"Login.CurrentUser", "Login.LoginURL"}},
		{&handlers.ExistingSession{CurrentUser: user, LoginURL: "/login"}, []string{"Login"}},
		{handlers.ExistingSession{CurrentUser: user, LoginURL: "login"}, []string{"Login.LoginURL"}},
		{handlers.ExistingSession{CurrentUser: user, LoginURL: "http://app.example.com/login"}, []string{"Login.LoginURL"}},
		{handlers.ExistingSession{CurrentUser: user, LoginURL: "/login#top"}, []string{"Login.LoginURL"}},
	} {
		config := valid(t)
		config.Login = c.login
		_, err := server.New(t.Context(), config)
		if got := fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%+v: the problems are %q, want %q", c.login, got, c.want)
		}
	}
}

func TestSteps(t *testing.T) {
	needed := func(context.Context, *handlers.Interaction) (bool, error) { return false, nil }
	for _, c := range []struct {
		steps []handlers.Step
		want  []string
	}{
		{[]handlers.Step{{Name: "terms", Needed: needed, Serve: nobody}, {Name: "org-2", Needed: needed, Serve: nobody}}, nil},
		{[]handlers.Step{{Name: "terms", Needed: needed, Serve: nobody}, {Name: "terms", Needed: needed, Serve: nobody}}, []string{"Steps[1].Name"}},
		{[]handlers.Step{{Name: "Terms", Needed: needed, Serve: nobody}, {Name: "login", Needed: needed, Serve: nobody}}, []string{"Steps[0].Name", "Steps[1].Name"}},
		{[]handlers.Step{{}}, []string{"Steps[0].Name", "Steps[0].Needed", "Steps[0].Serve"}},
	} {
		config := valid(t)
		config.Steps = c.steps
		_, err := server.New(t.Context(), config)
		if got := fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%+v: the problems are %q, want %q", c.steps, got, c.want)
		}
	}
}

func TestPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "", "/": "", "/connect": "", "/a/b": "",
		"connect": `write "/connect"`, "/connect/": `write "/connect"`, "/a//b": `write "/a/b"`, "/{x}": "a path of these",
	} {
		config := valid(t)
		config.Prefix = prefix
		_, err := server.New(t.Context(), config)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Prefix %q: %v, want %q", prefix, err, want)
		}
	}
}

// TestWarnings holds that what weakens the server is told.
func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	config := valid(t)
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	config.Insecure.AcceptClock = true
	config.Clients = []storage.Client{{
		ID: "old", Secret: "only-11-bytes", RedirectURIs: []string{"https://old.example.com/cb"}, Insecure: storage.InsecureClient{SkipPKCE: true},
	}}
	start(t, config)
	for _, want := range []string{"Insecure.AcceptClock", "insecure.skip_pkce", "secret is short"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not warn of %s:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "only-11-bytes") {
		t.Errorf("the log tells a secret:\n%s", log.String())
	}
	if strings.Contains(log.String(), "development mode") {
		t.Error("a public issuer is called development")
	}
}

// TestClientInBoth holds that an ID stands either in the Config or in the store.
func TestClientInBoth(t *testing.T) {
	config := valid(t)
	s := start(t, config)
	web := storage.Client{ID: "web", RedirectURIs: []string{"https://app.example.com/cb"}}
	if _, _, err := s.Clients().Create(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	web.Secret = "a secret of the configuration"
	config.Clients = []storage.Client{web}
	_, err := server.New(t.Context(), config)
	if got := fields(t, err); !slices.Equal(got, []string{"Clients[0]"}) {
		t.Errorf("the problems are %q: %v", got, err)
	}
}
