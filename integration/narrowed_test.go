package integration

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestRefreshOfANarrowedClient: a refresh gives no more than the client may have by now,
// whatever people allowed it before, and nothing at all where nothing is left. What it may
// have again it gets again, since the person allowed it. RFC 6749 §6, WB-26
func TestRefreshOfANarrowedClient(t *testing.T) {
	const api, notes = "https://api.test", "https://notes.test"
	for _, backend := range []string{"memory", "bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			w := start(t, plan{backend: backend, configure: func(c *server.Config) {
				c.Resources = []server.Resource{{ID: api}, {ID: notes}}
			}})
			made, secret, err := w.server.Clients().Create(t.Context(), storage.Client{
				ID: "dyn", RedirectURIs: []string{"https://dyn.test/cb"}, Scope: "openid offline_access notes:read notes:write", Audiences: []string{api, notes},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.clients["dyn"] = &storage.Client{ID: "dyn", Secret: secret, RedirectURIs: made.RedirectURIs}
			code, verifier, err := w.code(w.person(), "dyn", "alice", url.Values{"scope": {made.Scope}, "resource": {api}})
			if err != nil {
				t.Fatal(err)
			}
			tokens := answered(t)(w.exchange("dyn", code, verifier, nil))
			expect(t, "what was allowed", tokens, http.StatusOK, "notes:write")
			token := tokens.text("refresh_token")
			next := func(scope string, audiences []string, extra url.Values) *reply {
				t.Helper()
				c, err := w.server.Clients().Get(t.Context(), "dyn")
				if err == nil {
					c.Scope, c.Audiences = scope, audiences
					_, err = w.server.Clients().Update(t.Context(), c)
				}
				if err != nil {
					t.Fatal(err)
				}
				r := answered(t)(w.refresh("dyn", token, extra))
				if r.status == http.StatusOK {
					token = r.text("refresh_token")
				}
				return r
			}
			if got := next("openid offline_access notes:read", made.Audiences, nil); got.text("scope") != "openid offline_access notes:read" {
				t.Errorf("without notes:write: %s", got)
			} else if told := answered(t)(w.post("introspect", "dyn", url.Values{"token": {got.text("access_token")}})); told.text("scope") != "openid offline_access notes:read" {
				t.Errorf("introspection of it: %s", told)
			}
			asked := next("openid offline_access notes:read", made.Audiences, url.Values{"scope": {"notes:write"}})
			expect(t, "what was taken away, asked for", asked, http.StatusBadRequest, "invalid_scope")
			expect(t, "another API", next("openid offline_access notes:read", []string{notes}, nil), http.StatusBadRequest, "invalid_grant")
			if got := next(made.Scope, made.Audiences, nil); got.text("scope") != made.Scope {
				t.Errorf("with all of it again: %s", got)
			}
		})
	}
}
