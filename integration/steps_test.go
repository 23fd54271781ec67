package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
)

// oneStep is a step that is needed until the session has it as one of its methods.
func oneStep(name string) handlers.Step {
	return handlers.Step{
		Name: name,
		Needed: func(_ context.Context, in *handlers.Interaction) (bool, error) {
			return !slices.Contains(in.Subject.AMR, name), nil
		},
		Serve: func(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
			if r.Method != http.MethodPost {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = fmt.Fprintf(w, `<!doctype html><title>%[1]s</title><h1>The step %[1]s</h1><form method="post" action="%[2]s"><input name="yes"><button>Go on</button></form>`, name, in.Action)
				return
			}
			s := in.Subject
			s.AMR = append(slices.Clone(s.AMR), name)
			in.Done(w, r, s)
		},
	}
}

// TestStepsSurviveARestart: the process ends between the password and the second step, and
// between that and the consent; nobody has to begin again.
func TestStepsSurviveARestart(t *testing.T) {
	t.Parallel()
	at := plan{backend: "bolt", dir: t.TempDir(), configure: func(c *server.Config) {
		c.Steps = []handlers.Step{oneStep("terms"), oneStep("factor")}
	}}
	w, err := newWorld(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.backend.Close() })
	alice := newPerson(w.issuer, w)
	again := func() {
		t.Helper()
		if err := w.backend.Close(); err != nil {
			t.Fatal(err)
		}
		if w, err = newWorld(at); err != nil {
			t.Fatal(err)
		}
		alice.client.Transport = w
	}
	address, _ := w.authorizeURL("web", nil)
	page, err := alice.open(address)
	if err != nil {
		t.Fatal(err)
	}
	send := func(form url.Values, words string) {
		t.Helper()
		if page, err = alice.submit(form); err != nil || !strings.Contains(string(page.body), words) {
			t.Fatalf("the page does not say %q: %v %s", words, err, page)
		}
		again()
	}
	send(url.Values{"username": {"alice"}, "password": {people["alice"]}}, "The step terms")
	send(url.Values{"yes": {"yes"}}, "The step factor")
	send(url.Values{"yes": {"yes"}}, "Allow")
	if page, err = alice.submit(url.Values{"decision": {"allow"}}); err != nil || page.location() == nil || page.location().Query().Get("code") == "" {
		t.Errorf("the client gets no code: %v %s", err, page)
	}
}
