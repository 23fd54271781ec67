package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// newLocal is an API over a server in memory, with one configured client and one
// declared user.
func newLocal(t *testing.T) *admin.Local {
	t.Helper()
	backend := memory.New()
	t.Cleanup(func() { backend.Close() })
	quiet := slog.New(slog.DiscardHandler)
	s, err := server.New(t.Context(), server.Config{
		Issuer: "http://localhost", Store: backend, Logger: quiet, Keys: server.Keys{Algorithms: []string{"ES256"}},
		Login:   handlers.LoginFunc(func(http.ResponseWriter, *http.Request, *handlers.Interaction) {}),
		Clients: []storage.Client{{ID: "fixed", Secret: "0123456789abcdef", Scope: "openid", RedirectURIs: []string{"https://a.example/cb"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	people, err := accounts.New(s.Store(), []accounts.Declared{{User: accounts.User{Username: "carol"}, Password: "carols password"}})
	if err != nil {
		t.Fatal(err)
	}
	return &admin.Local{Server: s, Accounts: people}
}

// serve offers an API on a socket and returns one that calls it there.
func serve(t *testing.T, local admin.API) admin.API {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.sock")
	l, stop, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: admin.Handler(local, slog.New(slog.DiscardHandler)), ReadHeaderTimeout: time.Minute}
	go web.Serve(l)
	t.Cleanup(func() { stop(); web.Close() })
	remote, err := admin.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return remote
}

// Both sides of the socket do the same and tell the same errors.
func TestAPI(t *testing.T) {
	for name, open := range map[string]func(*testing.T) admin.API{
		"local":  func(t *testing.T) admin.API { return newLocal(t) },
		"remote": func(t *testing.T) admin.API { return serve(t, newLocal(t)) },
	} {
		t.Run(name+"/clients", func(t *testing.T) { testClients(t, open(t)) })
		t.Run(name+"/users", func(t *testing.T) { testUsers(t, open(t)) })
	}
}

func testClients(t *testing.T, api admin.API) {
	ctx := t.Context()
	web := storage.Client{ID: "a/b?c", Name: "Web", Scope: "openid", RedirectURIs: []string{"https://b.example/cb"}}
	made, err := api.AddClient(ctx, admin.NewClient{Client: web})
	if err != nil || made.Secret == "" {
		t.Fatalf("%+v, %v", made, err)
	}
	brought := storage.Client{ID: "brought", Scope: "openid", RedirectURIs: []string{"https://b.example/cb"}}
	if made, err := api.AddClient(ctx, admin.NewClient{Client: brought, Secret: "a secret of its own"}); err != nil || made.Secret != "" {
		t.Errorf("a brought secret came back: %+v, %v", made, err)
	}
	rotated, err := api.RotateSecret(ctx, web.ID, time.Hour)
	if err != nil || rotated.Secret == "" || rotated.Secret == made.Secret || len(rotated.Secrets) != 2 {
		t.Errorf("rotated: %+v, %v", rotated, err)
	}
	all, err := api.Clients(ctx)
	var ids []string
	for _, c := range all {
		ids = append(ids, c.ID)
		if c.Configured != (c.ID == "fixed") {
			t.Errorf("%s: configured is %v", c.ID, c.Configured)
		}
	}
	if diff := cmp.Diff([]string{"a/b?c", "brought", "fixed"}, ids); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if one, err := api.Client(ctx, web.ID); err != nil || one.Name != "Web" {
		t.Errorf("shown as %+v, %v", one, err)
	}
	if _, err := api.AddClient(ctx, admin.NewClient{Client: web}); !errors.Is(err, server.ErrExists) {
		t.Errorf("an ID twice: %v", err)
	}
	if _, err := api.AddClient(ctx, admin.NewClient{Client: storage.Client{ID: "x", RedirectURIs: []string{"nowhere"}}}); !errors.Is(err, server.ErrInvalid) {
		t.Errorf("an invalid client: %v", err)
	}
	if err := api.RemoveClient(ctx, "fixed"); !errors.Is(err, server.ErrConfigured) {
		t.Errorf("a configured client was removed: %v", err)
	}
	if err := api.RemoveClient(ctx, web.ID); err != nil {
		t.Error(err)
	}
	if err := api.RemoveClient(ctx, web.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := api.RotateSecret(ctx, "nobody", 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a secret for nobody: %v", err)
	}
}

func testUsers(t *testing.T, api admin.API) {
	ctx := t.Context()
	alice := admin.NewUser{User: accounts.User{Username: "alice / x", Email: "alice@example.com"}}
	made, err := api.AddUser(ctx, alice)
	if err != nil || made.Password == "" || made.ID == "" {
		t.Fatalf("%+v, %v", made, err)
	}
	if made, err := api.AddUser(ctx, admin.NewUser{User: accounts.User{Username: "bob"}, Password: "bobs password"}); err != nil || made.Password != "" {
		t.Errorf("a brought password came back: %+v, %v", made, err)
	}
	for _, steps := range []string{".", ".."} { // names that look like steps in a path
		if _, err := api.SetDisabled(ctx, steps, true); !errors.Is(err, accounts.ErrNotFound) {
			t.Errorf("%q: %v", steps, err)
		}
		if _, err := api.AddUser(ctx, admin.NewUser{User: accounts.User{Username: steps}}); err != nil {
			t.Errorf("%q: %v", steps, err)
		}
		if u, err := api.SetDisabled(ctx, steps, true); err != nil || u.Username != steps {
			t.Errorf("%q: %+v, %v", steps, u, err)
		}
		if err := api.RemoveUser(ctx, steps); err != nil {
			t.Errorf("%q: %v", steps, err)
		}
	}
	if _, err := api.AddUser(ctx, alice); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := api.AddUser(ctx, admin.NewUser{User: accounts.User{Username: "x"}, Password: "short"}); !errors.Is(err, accounts.ErrInvalid) {
		t.Errorf("a short password: %v", err)
	}
	if u, err := api.SetDisabled(ctx, "alice / x", true); err != nil || !u.Disabled {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := api.SetDisabled(ctx, "carol", true); !errors.Is(err, accounts.ErrDeclared) {
		t.Errorf("a declared user: %v", err)
	}
	if reset, err := api.ResetPassword(ctx, "alice / x", ""); err != nil || reset.Password == "" || reset.Password == made.Password {
		t.Errorf("%+v, %v", reset, err)
	}
	all, err := api.Users(ctx)
	names := []string{}
	for _, u := range all {
		names = append(names, u.Username)
	}
	if !slices.Equal(names, []string{"alice / x", "bob", "carol"}) || err != nil {
		t.Errorf("listed as %v, %v", names, err)
	}
	if err := api.RemoveUser(ctx, "bob"); err != nil {
		t.Error(err)
	}
	if err := api.RemoveUser(ctx, "bob"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestTheSocketIsTheOwnersAlone(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.sock")
	_, stop, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("after closing there is %v, %v", left, err)
	}
}

// A server that was killed leaves its socket behind.
func TestASocketLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	if _, err := admin.Dial(t.Context(), path); !errors.Is(err, admin.ErrNobody) {
		t.Errorf("without a socket: %v", err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := admin.Dial(t.Context(), path); !errors.Is(err, admin.ErrNobody) {
		t.Errorf("with a dead socket: %v", err)
	}
	l, stop, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if _, err := admin.Dial(t.Context(), path); err != nil {
		t.Errorf("with a live socket: %v", err)
	}
}

// The demo application learns of a new secret before the one before ends.
func TestARotationIsHandedOn(t *testing.T) {
	local := newLocal(t)
	var told storage.Secret
	local.Rotated = func(_ context.Context, _ string, secret storage.Secret) error { told = secret; return nil }
	if _, err := local.AddClient(t.Context(), admin.NewClient{Client: storage.Client{ID: "web", Scope: "openid", RedirectURIs: []string{"https://b.example/cb"}}}); err != nil {
		t.Fatal(err)
	}
	made, err := local.RotateSecret(t.Context(), "web", 0)
	if err != nil || told == "" || told != made.Secret {
		t.Errorf("made %v, told %v, %v", made.Secret != "", told != "", err)
	}
}

func TestASocketPathThatIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30)+".sock")
	_, _, err := admin.Listen(path)
	if err == nil || !strings.Contains(err.Error(), path+" is too long") || !strings.Contains(err.Error(), "choose a shorter one") {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
