package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
)

// bug is what a hook has, at times.
type bug struct{ live atomic.Bool }

func (b *bug) strike() {
	if b.live.Load() {
		panic("a bug of the host")
	}
}

// hook is one that a host can set, as it is reached over HTTP.
type hook struct {
	path      string // where it stands, as members finds it
	log       string // how the log calls it
	configure func(t *testing.T, b *bug, c *server.Config)
	begin     func(t *testing.T, w *world) (request func() (*reply, error)) // before the bug is there
	broken    func(*reply) bool                                             // what the bug's request gets; nil: a page
	good      func(*reply) bool                                             // what it gets afterwards
}

func brokenPage(r *reply) bool {
	return r.status == http.StatusInternalServerError && strings.Contains(string(r.body), "<!doctype html>") && strings.Contains(string(r.body), r.header.Get("X-Request-Id"))
}

func brokenJSON(r *reply) bool {
	return r.status == http.StatusInternalServerError && r.text("error") == "server_error"
}

func toldTheClient(r *reply) bool {
	return r.location() != nil && r.location().Query().Get("error") == "server_error"
}

func ok(r *reply) bool { return r.status == http.StatusOK }

// opens is a GET by a browser at the place where a walk to it has come.
func opens(p *person, place string) func() (*reply, error) {
	return func() (*reply, error) { return send(p.client, http.MethodGet, place, nil, "") }
}

// atPage is somebody whom authorize sent to a page of the interaction, which they have not
// opened yet.
func atPage(t *testing.T, w *world, client string, extra url.Values) func() (*reply, error) {
	t.Helper()
	p := w.person()
	address, _ := w.authorizeURL(client, extra)
	to := answered(t)(send(p.client, http.MethodGet, address, nil, "")).location()
	if to == nil {
		t.Fatal("authorize leads nowhere")
	}
	return opens(p, to.String())
}

func theLogin(b *bug) handlers.Login {
	return handlers.LoginFunc(func(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
		b.strike()
		in.Accept(w, r, handlers.Subject{ID: "alice"})
	})
}

type joins struct{ b *bug }

func (j joins) ServeLogin(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	in.Accept(w, r, handlers.Subject{ID: "alice"})
}

func (j joins) ServeSignUp(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	j.b.strike()
	in.Accept(w, r, handlers.Subject{ID: "carol"})
}

func session(user, out func()) handlers.ExistingSession {
	return handlers.ExistingSession{
		LoginURL:    "/login",
		CurrentUser: func(*http.Request) (handlers.Subject, error) { user(); return handlers.Subject{ID: "alice"}, nil },
		SignOut:     func(http.ResponseWriter, *http.Request) error { out(); return nil },
	}
}

func never() {}

// typedPassword is at the form of the built-in login page, with the right password.
func typedPassword(t *testing.T, w *world) func() (*reply, error) {
	t.Helper()
	p := w.person()
	address, _ := w.authorizeURL("own", nil)
	page := answered(t)(p.open(address))
	return func() (*reply, error) {
		p.last = page
		return p.press(url.Values{"username": {"alice"}, "password": {people["alice"]}})
	}
}

const badgeGrant = "https://id.test/badge"

// pageHooks are those that people meet.
func pageHooks() []hook {
	toCode := redirectsWith("code")
	return []hook{
		{
			path: "Login", log: "Login", good: toCode,
			configure: func(_ *testing.T, b *bug, c *server.Config) { c.Login = theLogin(b) },
			begin: func(t *testing.T, w *world) func() (*reply, error) {
				return atPage(t, w, "own", url.Values{"prompt": {"login"}})
			},
		},
		{
			path: "Login", log: "Login", broken: toldTheClient, good: toCode,
			configure: func(_ *testing.T, b *bug, c *server.Config) { c.Login = theLogin(b) },
			begin: func(_ *testing.T, w *world) func() (*reply, error) {
				address, _ := w.authorizeURL("own", url.Values{"prompt": {"none"}})
				return opens(w.person(), address)
			},
		},
		{
			path: "Login(SignUp)", log: "Login", good: toCode,
			configure: func(_ *testing.T, b *bug, c *server.Config) { c.Login = joins{b} },
			begin: func(t *testing.T, w *world) func() (*reply, error) {
				return atPage(t, w, "own", url.Values{"prompt": {"create"}})
			},
		},
		{
			path: "Login(PasswordLogin).Verify", log: "Login", good: toCode, begin: typedPassword,
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				c.Login = handlers.PasswordLogin{Verify: func(ctx context.Context, name, password string) (handlers.Subject, error) {
					b.strike()
					return verifyPassword(ctx, name, password)
				}}
			},
		},
		{
			path: "Login(PasswordLogin).Account", log: "Login", good: toCode, begin: typedPassword,
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				c.Login = handlers.PasswordLogin{Verify: verifyPassword, Account: func(_ context.Context, name string) (string, error) {
					b.strike()
					return name, nil
				}}
			},
		},
		{
			path: "Login(ExistingSession).CurrentUser", log: "Login", good: toCode,
			configure: func(_ *testing.T, b *bug, c *server.Config) { c.Login = session(b.strike, never) },
			begin: func(_ *testing.T, w *world) func() (*reply, error) {
				address, _ := w.authorizeURL("own", nil)
				return opens(w.person(), address)
			},
		},
		{
			path: "Login(ExistingSession).SignOut", log: "Login", good: func(r *reply) bool { return r.status < 400 },
			configure: func(_ *testing.T, b *bug, c *server.Config) { c.Login = session(never, b.strike) },
			begin: func(t *testing.T, w *world) func() (*reply, error) {
				p := w.person()
				address, _ := w.authorizeURL("own", nil)
				code := answered(t)(send(p.client, http.MethodGet, address, nil, "")).location().Query().Get("code")
				_ = code
				answered(t)(p.open(w.endpoint("logout")))
				page := p.last
				return func() (*reply, error) { p.last = page; return p.press(url.Values{"decision": {"signout"}}) }
			},
		},
		{
			path: "Consent", log: "Consent", good: toCode,
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				c.Login = theLogin(&bug{})
				c.Consent = handlers.ConsentFunc(func(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
					b.strike()
					in.Allow(w, r)
				})
			},
			begin: func(t *testing.T, w *world) func() (*reply, error) {
				p := w.person()
				address, _ := w.authorizeURL("web", url.Values{"prompt": {"login consent"}})
				at := answered(t)(send(p.client, http.MethodGet, address, nil, "")).location()
				at = answered(t)(send(p.client, http.MethodGet, at.String(), nil, "")).location()
				return opens(p, at.String())
			},
		},
		{
			path: "Steps.Needed", log: "Steps", good: func(r *reply) bool { return r.location() != nil },
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				step := oneStep("terms")
				needed := step.Needed
				step.Needed = func(ctx context.Context, in *handlers.Interaction) (bool, error) { b.strike(); return needed(ctx, in) }
				c.Steps = []handlers.Step{step}
			},
			begin: typedPassword,
		},
		{
			path: "Steps.Serve", log: "Steps", good: ok,
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				step := oneStep("terms")
				serve := step.Serve
				step.Serve = func(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) { serve(w, r, in); b.strike() }
				c.Steps = []handlers.Step{step}
			},
			begin: func(t *testing.T, w *world) func() (*reply, error) {
				p := w.person()
				address, _ := w.authorizeURL("own", nil)
				answered(t)(p.open(address))
				to := answered(t)(p.press(url.Values{"username": {"alice"}, "password": {people["alice"]}})).location()
				return opens(p, to.String())
			},
		},
	}
}

// programHooks are those that clients meet.
func programHooks() []hook {
	onlyClaims := func(_ *testing.T, b *bug, c *server.Config) {
		c.Claims = func(context.Context, *handlers.ClaimsRequest) error { b.strike(); return nil }
	}
	exchange := func(t *testing.T, w *world) func() (*reply, error) {
		code, verifier := w.mustCode(t, w.person(), "own")
		return func() (*reply, error) { return w.exchange("own", code, verifier, nil) }
	}
	return []hook{
		{path: "Claims", log: "claims hook", broken: brokenJSON, good: ok, configure: onlyClaims, begin: exchange},
		{
			path: "Claims", log: "claims hook", broken: brokenJSON, good: ok, configure: onlyClaims,
			begin: func(t *testing.T, w *world) func() (*reply, error) {
				token := w.mustTokens(t, w.person(), "own").text("access_token")
				return func() (*reply, error) {
					return send(w.person().client, http.MethodGet, w.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + token}}, "")
				}
			},
		},
		{
			path: "Grants.Exchange", log: "grant " + badgeGrant, broken: brokenJSON, good: ok,
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				c.Grants = []handlers.Grant{{Type: badgeGrant, Exchange: func(context.Context, *handlers.GrantRequest) (*handlers.GrantResult, error) {
					b.strike()
					return &handlers.GrantResult{Subject: handlers.Subject{ID: "alice"}}, nil
				}}}
				for i := range c.Clients {
					if c.Clients[i].ID == "machine" {
						c.Clients[i].GrantTypes = []string{badgeGrant}
					}
				}
			},
			begin: func(_ *testing.T, w *world) func() (*reply, error) {
				return func() (*reply, error) { return w.post("token", "machine", url.Values{"grant_type": {badgeGrant}}) }
			},
		},
		{
			path: "OnEvent", log: "event hook", broken: ok, good: refusedAs("invalid_grant"), begin: exchange, // it was done, and is not done again
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				c.OnEvent = func(context.Context, handlers.Event) { b.strike() }
			},
		},
		{
			path: "Registration.Policy", log: "Registration.Policy", broken: brokenJSON, good: func(r *reply) bool { return r.status == http.StatusCreated },
			configure: func(_ *testing.T, b *bug, c *server.Config) {
				c.Registration.Policy = func(context.Context, *server.NewClient) error { b.strike(); return nil }
			},
			begin: func(_ *testing.T, w *world) func() (*reply, error) {
				return func() (*reply, error) {
					return w.registers(http.MethodPost, w.endpoint("register"), "", `{"redirect_uris":["https://new.test/cb"]}`)
				}
			},
		},
		documentHook("Registration.Policy", func(b *bug, c *server.Config) {
			c.Registration.Policy = func(context.Context, *server.NewClient) error { b.strike(); return nil }
		}),
		documentHook("Registration.DocumentHost", func(b *bug, c *server.Config) {
			c.Registration.DocumentHost = func(string) bool { b.strike(); return true }
		}),
	}
}

// documentHook is one that a client meets which is known by its document.
func documentHook(path string, set func(b *bug, c *server.Config)) hook {
	var p *publisher
	return hook{
		path: path, log: path, good: redirectsTo("/interaction/"),
		configure: func(t *testing.T, b *bug, c *server.Config) {
			p = newPublisher(t)
			p.takesDocuments(c)
			set(b, c)
		},
		begin: func(_ *testing.T, w *world) func() (*reply, error) {
			id := p.id("/client.json")
			p.publish(p.document(id))
			w.knows(id, "https://app.test/cb")
			return func() (*reply, error) {
				address, _ := w.authorizeURL(id, url.Values{"scope": {"openid"}})
				return opens(w.person(), address)()
			}
		},
	}
}

// TestHooksThatPanic has a bug in every hook that a host can set: that request alone gets
// an error, as a page, as JSON or told to its client; nothing of it is stored; the log
// names the hook; and once the bug is gone the same request works.
func TestHooksThatPanic(t *testing.T) {
	for _, h := range slices.Concat(pageHooks(), programHooks()) {
		t.Run(h.path, func(t *testing.T) {
			b := &bug{}
			w := start(t, plan{configure: func(c *server.Config) { h.configure(t, b, c) }})
			request := h.begin(t, w)
			before := w.gate.count.Load()
			w.journal.turn()
			b.live.Store(true)
			got, err := request()
			b.live.Store(false)
			if err != nil {
				t.Fatal(err)
			}
			broken := h.broken
			if broken == nil {
				broken = brokenPage
			}
			if !broken(got) || strings.Contains(string(got.body), "a bug of the host") {
				t.Errorf("it is answered by %s", got)
			}
			said := w.journal.since()
			if !strings.Contains(said, `"`+h.log+`"`) || !strings.Contains(said, "hooks_test.go") {
				t.Errorf("the log does not say that it was %s, and where:\n%s", h.log, said)
			}
			if !ok(got) {
				if reasons := w.journal.reasons(); !slices.Contains(reasons, "panic") {
					t.Errorf("the log gives the reasons %q", reasons)
				}
				if now := w.gate.count.Load(); now != before {
					t.Errorf("%d commits were made", now-before)
				}
			}
			if again := answered(t)(request()); !h.good(again) {
				t.Errorf("without the bug it is answered by %s", again)
			}
		})
	}
}

// uncalled are what a host sets that no request calls, or that is no code of the host's.
var uncalled = map[string]string{
	"Store": "storage/storagetest and TestFaults are about it", "Clock": "for tests", "KeyWrapper": "at start", "FormerKeyWrapper": "at start", "Pages.Overlay": "at start",
}

// TestEveryHookHasItsBug finds every function and interface below Config and holds
// TestHooksThatPanic to all of them.
func TestEveryHookHasItsBug(t *testing.T) {
	tried := map[string]bool{"Login(SignUp)": true}
	for _, h := range slices.Concat(pageHooks(), programHooks()) {
		tried[h.path] = true
	}
	found := members("", reflect.TypeFor[server.Config]())
	found = append(found, members("Login(PasswordLogin)", reflect.TypeFor[handlers.PasswordLogin]())...)
	found = append(found, members("Login(ExistingSession)", reflect.TypeFor[handlers.ExistingSession]())...)
	for _, path := range found {
		if !tried[path] && uncalled[path] == "" {
			t.Errorf("%s is tried by no row of pageHooks or programHooks", path)
		}
	}
	for path := range uncalled {
		if !slices.Contains(found, path) {
			t.Errorf("%s is no member of Config any more", path)
		}
	}
	if len(found) < 15 {
		t.Errorf("only these were found: %q", found)
	}
}

// members are the paths of all functions and interfaces in a struct of ours.
func members(path string, t reflect.Type) (found []string) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Func, t.Kind() == reflect.Interface && t.NumMethod() > 0:
		return []string{path}
	case t.Kind() != reflect.Struct || !strings.HasPrefix(t.PkgPath(), "github.com/doorward/doorward"):
		return nil
	}
	for field := range fields(t) {
		if field.IsExported() {
			found = append(found, members(strings.TrimPrefix(fmt.Sprintf("%s.%s", path, field.Name), "."), field.Type)...)
		}
	}
	return found
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}
