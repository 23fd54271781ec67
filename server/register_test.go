package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// registrant sends registrations to a server.
type registrant struct {
	*server.Server
	handler http.Handler
	backend *memory.Backend
	now     time.Time
}

func newRegistrant(t *testing.T, change func(*server.Config)) *registrant {
	t.Helper()
	r := &registrant{backend: memory.New(), now: time.Now()}
	c := valid(t)
	c.Store, c.Clock = r.backend, func() time.Time { return r.now }
	c.Registration.Endpoint = server.RegistrationOpen
	if change != nil {
		change(&c)
	}
	r.Server = start(t, c)
	r.handler = r.Handler()
	return r
}

// send registers from an address.
func (r *registrant) send(from, token, body string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(http.MethodPost, "https://id.example.com/oauth/register", strings.NewReader(body))
	q.Header.Set("Content-Type", "application/json")
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	q.RemoteAddr = from + ":4711"
	return serve(r.handler, q)
}

func said(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	body := map[string]any{}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return body
}

// TestOneUseTokenIsUsedOnce: of many who hold it one registers.
func TestOneUseTokenIsUsedOnce(t *testing.T) {
	for _, uses := range []int{1, 5} {
		var arrived sync.WaitGroup // all have shown the token before any of them is stored
		arrived.Add(64)
		r := newRegistrant(t, func(c *server.Config) {
			c.Registration.Endpoint = server.RegistrationByToken
			c.Registration.Policy = func(context.Context, *server.NewClient) error {
				arrived.Done()
				arrived.Wait()
				return nil
			}
		})
		_, token, err := r.Clients().IssueInitialToken(t.Context(), storage.InitialToken{Uses: uses})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		got := map[int]int{}
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range 64 {
			all.Go(func() {
				<-begin
				w := r.send("192.0.2.1", string(token), fmt.Sprintf(`{"redirect_uris":["https://a%d.test/cb"]}`, i))
				mu.Lock()
				defer mu.Unlock()
				got[w.Code]++
			})
		}
		close(begin)
		all.Wait()
		if got[http.StatusCreated] != uses || got[http.StatusUnauthorized] != 64-uses {
			t.Errorf("a token for %d: %v", uses, got)
		}
		made, _, err := r.Clients().List(t.Context(), storage.Page{})
		if err != nil || len(made) != uses {
			t.Errorf("%d clients, %v", len(made), err)
		}
	}
}

// TestFloodOfRegistrations: an attacker who registers as much as they can leaves little.
// Acceptance 24
func TestFloodOfRegistrations(t *testing.T) {
	r := newRegistrant(t, nil)
	long := strings.Repeat("x", 1900)
	statuses := map[int]int{}
	for i := range 10_000 {
		if i%100 == 0 {
			r.now = r.now.Add(time.Second)
		}
		w := r.send("192.0.2.1", "", fmt.Sprintf(`{"client_name":"n%d","redirect_uris":["https://a.test/%s%d","https://a.test/%s-%d","https://b.test/%s%d"],"policy_uri":"https://a.test/%s","tos_uri":"https://a.test/%s"}`,
			i, long, i, long, i, long, i, long, long))
		statuses[w.Code]++
		if w.Code == http.StatusTooManyRequests {
			if wait, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || wait < 1 || wait > 3600 {
				t.Fatalf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		}
	}
	if statuses[http.StatusCreated] == 0 || statuses[http.StatusCreated] > 40 || statuses[http.StatusCreated]+statuses[http.StatusTooManyRequests] != 10_000 {
		t.Errorf("the answers were %v", statuses)
	}
	bytes := 0
	made, _, err := r.Clients().List(t.Context(), storage.Page{Limit: storage.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range made {
		encoded, _ := json.Marshal(c)
		bytes += len(encoded)
	}
	t.Logf("%v, %d bytes of clients", statuses, bytes)
	if bytes > 1<<20 || bytes == 0 {
		t.Errorf("%d bytes are left of 10,000 registrations", bytes)
	}
	// Others are not touched by that, and a day later nothing is left.
	if w := r.send("198.51.100.7", "", `{"redirect_uris":["https://c.test/cb"]}`); w.Code != http.StatusCreated {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
	r.now = r.now.Add(25 * time.Hour)
	if made, _, err := r.Clients().List(t.Context(), storage.Page{}); err != nil || len(made) != 0 {
		t.Errorf("a day later there are %d clients, %v", len(made), err)
	}
}

// TestManyAddressesShareALimit: addresses are cheap.
func TestManyAddressesShareALimit(t *testing.T) {
	r := newRegistrant(t, func(c *server.Config) { c.Registration.InAll = 30 })
	made := 0
	for i := range 100 {
		if r.send(fmt.Sprintf("192.0.2.%d", i), "", fmt.Sprintf(`{"redirect_uris":["https://a%d.test/cb"]}`, i)).Code == http.StatusCreated {
			made++
		}
	}
	if made != 30 {
		t.Errorf("%d were registered", made)
	}
	// The same metadata as before cost nothing, so they are served on.
	known := `{"redirect_uris":["https://known.test/cb"],"token_endpoint_auth_method":"none"}`
	if w := r.send("203.0.113.1", "", known); w.Code != http.StatusTooManyRequests {
		t.Errorf("a new one: %d", w.Code)
	}
	r.now = r.now.Truncate(time.Hour).Add(time.Hour)
	first := said(t, r.send("203.0.113.1", "", known))
	for range 40 {
		if w := r.send("203.0.113.1", "", known); w.Code != http.StatusCreated || said(t, w)["client_id"] != first["client_id"] {
			t.Fatalf("a known one: %d %s", w.Code, w.Body)
		}
	}
}

// TestSameClientTogether: copies of one program that register at the same moment are one.
func TestSameClientTogether(t *testing.T) {
	r := newRegistrant(t, nil)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			body := fmt.Sprintf(`{"client_name":"tool","redirect_uris":["http://127.0.0.1:%d/cb"],"token_endpoint_auth_method":"none"}`, 40000+i)
			if w := r.send(fmt.Sprintf("192.0.2.%d", i), "", body); w.Code != http.StatusCreated {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
	if made, _, err := r.Clients().List(t.Context(), storage.Page{}); err != nil || len(made) != 1 {
		t.Errorf("%d clients, %v", len(made), err)
	}
}

func TestPolicy(t *testing.T) {
	var seen *server.NewClient
	policy := func(_ context.Context, c *server.NewClient) error { seen = c; return nil }
	r := newRegistrant(t, func(c *server.Config) {
		c.Registration.Policy = func(ctx context.Context, n *server.NewClient) error { return policy(ctx, n) }
	})
	const body = `{"client_name":"N","redirect_uris":["https://n.test/cb"],"x_team":"blue"}`
	policy = func(_ context.Context, c *server.NewClient) error {
		seen, c.Client.Name, c.Client.AccessTokenFormat, c.Client.ID = c, "Renamed", storage.AccessTokenJWT, "web"
		return nil
	}
	w := r.send("192.0.2.1", "", body)
	told := said(t, w)
	if w.Code != http.StatusCreated || told["client_name"] != "Renamed" || told["client_id"] == "web" || string(seen.Metadata["x_team"]) != `"blue"` || seen.Update {
		t.Errorf("%d %v, the policy saw %+v", w.Code, told, seen)
	}
	kept, err := r.Clients().Get(t.Context(), told["client_id"].(string))
	if err != nil || kept.AccessTokenFormat != storage.AccessTokenJWT || kept.Registered == nil || kept.Registered.Token != "" {
		t.Errorf("%+v, %v", kept, err)
	}
	policy = func(_ context.Context, c *server.NewClient) error {
		c.Client.RedirectURIs = []string{"http://x.test"}
		return nil
	}
	if w := r.send("192.0.2.1", "", body); w.Code != http.StatusBadRequest || said(t, w)["error"] != "invalid_redirect_uri" {
		t.Errorf("what a policy leaves is not checked: %d %s", w.Code, w.Body)
	}
	policy = func(context.Context, *server.NewClient) error { return handlers.Refuse("only partners") }
	if w := r.send("192.0.2.1", "", body); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "only partners") {
		t.Errorf("a veto: %d %s", w.Code, w.Body)
	}
	policy = func(context.Context, *server.NewClient) error { return errors.New("secret of the host") }
	if w := r.send("192.0.2.1", "", body); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret of") {
		t.Errorf("a policy that fails: %d %s", w.Code, w.Body)
	}
}

// A policy that is not done by its deadline has not judged: what it says then does not
// count, be it yes or no.
func TestPolicyThatIsLate(t *testing.T) {
	for name, says := range map[string]func(context.Context) error{
		"yes":             func(context.Context) error { return nil },
		"no":              func(context.Context) error { return handlers.Refuse("only partners") },
		"that it is late": func(ctx context.Context) error { return fmt.Errorf("ask the directory: %w", ctx.Err()) },
	} {
		r := newRegistrant(t, func(c *server.Config) {
			c.Limits.Hooks = 100 * time.Millisecond
			c.Registration.Policy = func(ctx context.Context, _ *server.NewClient) error {
				<-ctx.Done()
				return says(ctx)
			}
		})
		w := r.send("192.0.2.1", "", `{"client_name":"N","redirect_uris":["https://n.test/cb"]}`)
		if w.Code != http.StatusServiceUnavailable || said(t, w)["error"] != "temporarily_unavailable" || w.Header().Get("Retry-After") == "" {
			t.Errorf("a policy that says %s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if made, _, err := r.Clients().List(t.Context(), storage.Page{}); err != nil || len(made) > 0 {
			t.Errorf("a policy that says %s: %d clients, %v", name, len(made), err)
		}
	}
}

func TestInitialTokens(t *testing.T) {
	r := newRegistrant(t, nil)
	for _, bad := range []storage.InitialToken{{Uses: -1}, {ExpiresAt: r.now}, {Note: "a\u202eb"}} {
		if _, _, err := r.Clients().IssueInitialToken(t.Context(), bad); !errors.Is(err, server.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	made, token, err := r.Clients().IssueInitialToken(t.Context(), storage.InitialToken{Note: "for the partner", ExpiresAt: r.now.Add(time.Hour)})
	if err != nil || made.Hash != "" {
		t.Fatalf("%+v, %v", made, err)
	}
	all, next, err := r.Clients().InitialTokens(t.Context(), storage.Page{})
	if err != nil || len(all) != 1 || next != "" || all[0].Note != "for the partner" || all[0].Hash != "" {
		t.Errorf("%+v, %v", all, err)
	}
	const body = `{"redirect_uris":["https://n.test/cb"]}`
	if w := r.send("192.0.2.1", string(token), body); w.Code != http.StatusCreated {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.send("192.0.2.1", string(token)+"x", body); w.Code != http.StatusUnauthorized {
		t.Errorf("another token at an open endpoint: %d", w.Code)
	}
	r.now = r.now.Add(time.Hour)
	if w := r.send("192.0.2.1", string(token), body); w.Code != http.StatusUnauthorized {
		t.Errorf("an expired one: %d", w.Code)
	}
	if err := r.Clients().RevokeInitialToken(t.Context(), made.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("revoking what has expired: %v", err)
	}
}
