package integration

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
)

// from asks as somebody behind a proxy does.
func (s *site) from(address, method, where string, fields url.Values) (*reply, error) {
	header := http.Header{"X-Forwarded-For": {address}}
	if method == http.MethodPost {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return send(newPerson(s.issuer, s.transport).client, method, where, header, fields.Encode())
}

// TestBeginnings bounds what one address begins and does not finish, with a page for
// people and JSON for clients, and leaves everybody else alone. RFC 6585 §4
func TestBeginnings(t *testing.T) {
	const limit = 5
	w := start(t, plan{configure: func(c *server.Config) {
		withDevices(c)
		c.Limits.Begun, c.Proxies = limit, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}})
	authorize := func(address string) *reply {
		t.Helper()
		where, _ := w.authorizeURL("web", nil)
		answer, err := w.from(address, http.MethodGet, where, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	push := func(address, client string) *reply {
		t.Helper()
		params := w.authorizeParams(client, strings.Repeat("v", 43), nil)
		if c := w.clients[client]; !c.Public() {
			params.Set("client_secret", string(c.Secret))
		}
		answer, err := w.from(address, http.MethodPost, w.endpoint("par"), params)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	device := func(address string) *reply {
		t.Helper()
		answer, err := w.from(address, http.MethodPost, w.endpoint("device_authorization"), url.Values{"client_id": {"tv"}, "scope": {"openid"}})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	const crowd, other = "203.0.113.7", "203.0.113.8"
	for i := range limit {
		switch i % 3 {
		case 0:
			if answer := authorize(crowd); answer.location() == nil {
				t.Fatalf("beginning %d: %s", i, answer)
			}
		case 1:
			if answer := push(crowd, "spa"); answer.status != http.StatusCreated {
				t.Fatalf("beginning %d: %s", i, answer)
			}
		case 2:
			if answer := device(crowd); answer.status != http.StatusOK {
				t.Fatalf("beginning %d: %s", i, answer)
			}
		}
	}
	stored := w.gate.count.Load()
	for what, answer := range map[string]*reply{"authorize": authorize(crowd), "par": push(crowd, "spa"), "device": device(crowd)} {
		page := strings.HasPrefix(answer.header.Get("Content-Type"), "text/html")
		if answer.status != http.StatusTooManyRequests || answer.header.Get("Retry-After") == "" || page != (what == "authorize") {
			t.Errorf("%s beyond the limit: %s", what, answer)
		}
		if !page && answer.text("error") != "temporarily_unavailable" {
			t.Errorf("%s beyond the limit: %s", what, answer)
		}
	}
	if w.gate.count.Load() != stored {
		t.Error("what was refused was stored")
	}
	if n := bytes.Count(w.journal.all(), []byte("began many sign-ins")); n != 1 {
		t.Errorf("the operator was told %d times", n)
	}
	if answer := push(crowd, "web"); answer.status != http.StatusCreated {
		t.Errorf("a client that proves who it is: %s", answer)
	}
	if answer := authorize(other); answer.location() == nil {
		t.Errorf("another address: %s", answer)
	}
	w.advance(11 * time.Minute)
	if answer := authorize(crowd); answer.location() == nil {
		t.Errorf("ten minutes later: %s", answer)
	}
}

// TestBeginningsThatEnd counts what is finished no longer: many people behind one
// address sign in as they like.
func TestBeginningsThatEnd(t *testing.T) {
	w := start(t, plan{configure: func(c *server.Config) { c.Limits.Begun = 3 }})
	for range 10 {
		w.mustCode(t, w.person(), "web")
	}
	for i := range 4 {
		where, _ := w.authorizeURL("web", nil)
		answer, err := send(w.person().client, http.MethodGet, where, nil, "")
		if err != nil || (answer.status == http.StatusTooManyRequests) != (i == 3) {
			t.Fatalf("beginning %d: %v %s", i, err, answer)
		}
	}
}

// TestGrantsAreBounded: who signs in to one client again and again must wait, on a page
// that says so, at that client alone. WB-54
func TestGrantsAreBounded(t *testing.T) {
	w := start(t, plan{configure: func(c *server.Config) { c.Limits.Grants = 3 }})
	alice := w.person()
	sign := func(client string) *reply {
		t.Helper()
		where, _ := w.authorizeURL(client, nil)
		answer, err := alice.signIn(where, "alice")
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for range 3 {
		if a := sign("own"); a.location() == nil || !a.location().Query().Has("code") {
			t.Fatal(a)
		}
	}
	if a := sign("own"); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" || !strings.Contains(a.header.Get("Content-Type"), "text/html") {
		t.Error(a)
	}
	if a := sign("web"); a.location() == nil || !a.location().Query().Has("code") {
		t.Errorf("at another client: %s", a)
	}
	w.advance(time.Hour)
	if a := sign("own"); a.location() == nil || !a.location().Query().Has("code") {
		t.Errorf("an hour later: %s", a)
	}
}
