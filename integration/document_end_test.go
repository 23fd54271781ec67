package integration

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
)

// TestDocumentThatEnds: what was granted outlives a document that can't be had for a while.
// It does not outlive one that its author took away or made unfit, nor a client that the
// policy does not want any more, but goes on when they are back. RFC 9110 §15.5.9, §15.6
func TestDocumentThatEnds(t *testing.T) {
	p := newPublisher(t)
	var unwanted, failing atomic.Bool
	w := start(t, plan{configure: func(c *server.Config) {
		p.takesDocuments(c)
		c.Registration.Policy = func(context.Context, *server.NewClient) error {
			switch {
			case unwanted.Load():
				return handlers.Refuse("not any more")
			case failing.Load():
				return errors.New("the directory is down")
			}
			return nil
		}
	}})
	id := p.id("/client.json")
	w.knows(id, "https://app.test/cb")
	status := func(code int) func() {
		return func() { p.say(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }) }
	}
	good := func() {
		unwanted.Store(false)
		failing.Store(false)
		p.publish(p.document(id))
	}
	good()
	code, verifier, err := w.code(w.person(), id, "alice", url.Values{"scope": {"openid notes:read"}})
	if err != nil {
		t.Fatal(err)
	}
	tokens := answered(t)(w.exchange(id, code, verifier, nil))
	for _, c := range []struct {
		name   string
		happen func()
		lives  bool
	}{
		{"503", status(http.StatusServiceUnavailable), true},
		{"408", status(http.StatusRequestTimeout), true},
		{"429", status(http.StatusTooManyRequests), true},
		{"404", status(http.StatusNotFound), false},
		{"410", status(http.StatusGone), false},
		{"moved", status(http.StatusMovedPermanently), false},
		{"another client_id", func() {
			d := p.document(id)
			d["client_id"] = "https://other.test/c"
			p.publish(d)
		}, false},
		{"the policy refuses", func() { unwanted.Store(true) }, false},
		{"the policy fails", func() { failing.Store(true) }, true},
	} {
		for range 2 { // the second one is within the pause after a fetch in vain
			w.advance(25 * time.Hour)
			c.happen()
			answer := answered(t)(w.post("token", id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}}))
			if c.lives != (answer.status == http.StatusOK) || !c.lives && answer.text("error") != "invalid_client" {
				t.Errorf("%s: %s", c.name, answer)
			}
			if c.lives {
				tokens = answer
			}
		}
		good()
		w.advance(2 * time.Minute)
		tokens = refreshed(t, w, id, tokens)
	}
}
