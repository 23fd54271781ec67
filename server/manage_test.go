package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// change sends what a client has changed of itself.
func (r *registrant) change(told map[string]any, body string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(http.MethodPut, told["registration_client_uri"].(string), strings.NewReader(body))
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+told["registration_access_token"].(string))
	q.RemoteAddr = "192.0.2.1:4711"
	return serve(r.handler, q)
}

// TestChangesAreLimited: each change is a commit and may be a fetch, so one client can't
// have any number of them.
func TestChangesAreLimited(t *testing.T) {
	r := newRegistrant(t, nil)
	body := `{"client_name":"%s","redirect_uris":["https://a.test/cb"]%s}`
	one, other := said(t, r.send("192.0.2.1", "", fmt.Sprintf(body, "A", ""))), said(t, r.send("192.0.2.1", "", fmt.Sprintf(body, "B", "")))
	change := func(told map[string]any, n int) *httptest.ResponseRecorder {
		return r.change(told, fmt.Sprintf(body, fmt.Sprint("n", n), fmt.Sprintf(`,"client_id":%q`, told["client_id"])))
	}
	statuses := map[int]int{}
	for i := range 300 {
		w := change(one, i)
		statuses[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	if statuses[http.StatusOK] != 60 || statuses[http.StatusTooManyRequests] != 240 {
		t.Errorf("the answers were %v", statuses)
	}
	if w := change(other, 0); w.Code != http.StatusOK {
		t.Errorf("another client: %d %s", w.Code, w.Body)
	}
	r.now = r.now.Add(time.Hour)
	if w := change(one, 0); w.Code != http.StatusOK {
		t.Errorf("an hour later: %d %s", w.Code, w.Body)
	}
}

// TestTrustEndsWithTheAddress: people are not asked about a first-party client, so one that
// sends them elsewhere is no longer the one that was trusted.
func TestTrustEndsWithTheAddress(t *testing.T) {
	r := newRegistrant(t, func(c *server.Config) {
		c.Registration.Policy = func(_ context.Context, n *server.NewClient) error {
			if n.Client.RedirectURIs[0] == "https://ours.test/cb" {
				n.Client.FirstParty = true
			}
			return nil
		}
	})
	told := said(t, r.send("192.0.2.1", "", `{"redirect_uris":["https://ours.test/cb"]}`))
	id := told["client_id"].(string)
	for _, step := range []struct {
		uris  string
		first bool
	}{{`["https://ours.test/cb"]`, true}, {`["https://theirs.test/cb"]`, false}, {`["https://ours.test/cb"]`, true}, {`["https://theirs.test/cb","https://ours.test/cb"]`, false}} {
		if w := r.change(told, fmt.Sprintf(`{"client_id":%q,"redirect_uris":%s}`, id, step.uris)); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if c, err := r.Clients().Get(t.Context(), id); err != nil || c.FirstParty != step.first {
			t.Errorf("with %s it is first-party: %t, %v", step.uris, c.FirstParty, err)
		}
	}
}

// TestHostIsFasterThanTheClient: what an operator takes away stays away, though the client
// changes itself at that moment.
func TestHostIsFasterThanTheClient(t *testing.T) {
	meanwhile := func() {}
	r := newRegistrant(t, func(c *server.Config) {
		c.Registration.Policy = func(context.Context, *server.NewClient) error {
			meanwhile()
			return nil
		}
	})
	told := said(t, r.send("192.0.2.1", "", `{"redirect_uris":["https://a.test/cb"]}`))
	id := told["client_id"].(string)
	set := func(audiences ...string) {
		c, err := r.Clients().Get(t.Context(), id)
		if err == nil {
			c.Introspects = audiences
			_, err = r.Clients().Update(t.Context(), c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set("https://api.test")
	meanwhile = func() { set(); meanwhile = func() {} }
	if w := r.change(told, fmt.Sprintf(`{"client_id":%q,"client_name":"N","redirect_uris":["https://a.test/cb"]}`, id)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if c, err := r.Clients().Get(t.Context(), id); err != nil || len(c.Introspects) > 0 || c.Name != "N" {
		t.Errorf("%+v, %v", c, err)
	}
	meanwhile = func() { set("https://api.test" + fmt.Sprint(r.now.UnixNano())); r.now = r.now.Add(time.Second) }
	if w := r.change(told, fmt.Sprintf(`{"client_id":%q,"client_name":"M","redirect_uris":["https://a.test/cb"]}`, id)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("others are always faster: %d %s", w.Code, w.Body)
	}
}

// TestDisabledClientsStayOut: what an operator keeps out does not come back because time
// passes.
func TestDisabledClientsStayOut(t *testing.T) {
	r := newRegistrant(t, nil)
	const body = `{"client_name":"tool","redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"none"}`
	id := said(t, r.send("192.0.2.1", "", body))["client_id"].(string)
	disable := func(yes bool) storage.Client {
		c, err := r.Clients().Get(t.Context(), id)
		if err == nil {
			c.Disabled = yes
			c, err = r.Clients().Update(t.Context(), c)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	disable(true)
	r.now = r.now.Add(2 * 365 * 24 * time.Hour)
	if w := r.send("192.0.2.1", "", body); said(t, w)["client_id"] != id {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if c, err := r.Clients().Get(t.Context(), id); err != nil || !c.Disabled {
		t.Errorf("two years later it is %+v, %v", c, err)
	}
	if c := disable(false); !c.ExpiresAt.After(r.now) {
		t.Errorf("enabled again it ends %v", c.ExpiresAt)
	}
}

// TestAddressThatLooksLikeAnother: the page shows the host of a client, so it has to be one
// that can be read. Unicode Technical Standard #39
func TestAddressThatLooksLikeAnother(t *testing.T) {
	r := newRegistrant(t, func(c *server.Config) {
		c.Registration.Documents = true
		c.Registration.DocumentHost = func(host string) bool {
			t.Errorf("the host %q was taken", host)
			return false
		}
	})
	for _, id := range []string{"https://%D0%B0pple.test/client", "https://app.test./client"} {
		w := request(r.handler, http.MethodGet, "https://id.example.com/oauth/authorize?response_type=code&client_id="+url.QueryEscape(id))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "document_url") {
			t.Errorf("%s: %d %s", id, w.Code, w.Body)
		}
	}
	w := r.send("192.0.2.1", "", `{"redirect_uris":["https://%D0%B0pple.test/cb"]}`)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a redirect URI: %d %s", w.Code, w.Body)
	}
}

// TestNoStatementIsNone: null counts as left out.
func TestNoStatementIsNone(t *testing.T) {
	r := newRegistrant(t, nil)
	if w := r.send("192.0.2.1", "", `{"redirect_uris":["https://a.test/cb"],"software_statement":null}`); w.Code != http.StatusCreated {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
