package integration

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestBoundTokensAtAnAPI: an API takes a bound token with a proof for it alone, whose URL
// is the configured one, and once. RFC 9449 §7
func TestBoundTokensAtAnAPI(t *testing.T) {
	for _, format := range []storage.AccessTokenFormat{storage.AccessTokenOpaque, storage.AccessTokenJWT} {
		w := start(t, plan{configure: func(c *server.Config) {
			for i := range c.Clients {
				c.Clients[i].AccessTokenFormat = format
			}
		}})
		remote, err := bearer.NewRemote(bearer.RemoteConfig{
			Issuer: w.issuer, Resource: "https://api.test", HTTP: &http.Client{Transport: w.transport},
			ClientID: "https://api.test", ClientSecret: string(w.clients["https://api.test"].Secret), Clock: w.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		h, thief := newHolder(t, w.site, w.now), newHolder(t, w.site, w.now)
		token := h.prove(t, "token", "machine", machineGrant).text("access_token")
		plain := h.post(t, "token", "machine", "", machineGrant).text("access_token")
		for name, v := range map[string]bearer.Verifier{"in-process": w.server, "remote": remote} {
			api := bearer.API{Verifier: v, Clock: w.now}.Require("notes:read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			ask := func(what string, status int, scheme, token, proof string) {
				t.Helper()
				r := httptest.NewRequest(http.MethodGet, "/notes?a=b", nil)
				r.Host = "evil.test"
				r.Header.Set("Authorization", scheme+" "+token)
				if proof != "" {
					r.Header.Set("DPoP", proof)
				}
				out := httptest.NewRecorder()
				api.ServeHTTP(out, r)
				if out.Code != status {
					t.Errorf("%s, %s, %s: want %d, got %d %s", format, name, what, status, out.Code, out.Body)
				}
				if challenge := out.Header().Get("WWW-Authenticate"); status == http.StatusUnauthorized && (!strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, `algs="`)) {
					t.Errorf("%s: the challenge is %q", what, challenge)
				}
			}
			const at = "https://api.test/notes"
			good := h.proof("GET", at, token, nil)
			ask("a proof", http.StatusOK, "DPoP", token, good)
			ask("the same proof", http.StatusUnauthorized, "DPoP", token, good)
			ask("as a bearer token", http.StatusUnauthorized, "Bearer", token, h.proof("GET", at, token, nil))
			ask("no proof", http.StatusUnauthorized, "DPoP", token, "")
			ask("another key", http.StatusUnauthorized, "DPoP", token, thief.proof("GET", at, token, nil))
			ask("the URL of the Host header", http.StatusUnauthorized, "DPoP", token, h.proof("GET", "https://evil.test/notes", token, nil))
			ask("another method", http.StatusUnauthorized, "DPoP", token, h.proof("POST", at, token, nil))
			ask("another token", http.StatusUnauthorized, "DPoP", token, h.proof("GET", at, plain, nil))
			ask("an unbound token with a proof", http.StatusUnauthorized, "DPoP", plain, h.proof("GET", at, plain, nil))
			ask("an unbound token", http.StatusOK, "Bearer", plain, "")
		}
	}
}
