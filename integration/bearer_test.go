package integration

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

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
		remote := remoteAPI(t, w, w.transport)
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

// remoteAPI verifies tokens for https://api.test as a process elsewhere does.
func remoteAPI(t *testing.T, w *world, transport http.RoundTripper) *bearer.RemoteVerifier {
	t.Helper()
	v, err := bearer.NewRemote(bearer.RemoteConfig{
		Issuer: w.issuer, Resource: "https://api.test", HTTP: &http.Client{Transport: transport},
		ClientID: "https://api.test", ClientSecret: string(w.clients["https://api.test"].Secret), Clock: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// atAPI shows a token, and a proof if there is one, to an API.
func atAPI(a bearer.API, scheme, token, proof string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/notes", nil)
	if token != "" {
		r.Header.Set("Authorization", scheme+" "+token)
	}
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	out := httptest.NewRecorder()
	a.Logger = slog.New(slog.DiscardHandler)
	a.Require("notes:read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(out, r)
	return out
}

// TestNoncesAtAnAPI: an API that wants nonces gives one by refusing, renews it before it
// ends, and takes those of its replicas. RFC 9449 §9, §8.2
func TestNoncesAtAnAPI(t *testing.T) {
	w := start(t, plan{})
	w.advance(w.now().Truncate(2 * time.Minute).Add(2*time.Minute + time.Second).Sub(w.now())) // to the begin of a slot
	h := newHolder(t, w.site, w.now)
	token := h.prove(t, "token", "machine", machineGrant).text("access_token")
	api := bearer.API{Verifier: w.server, Clock: w.now, NonceSecret: []byte("one-secret-of-all-replicas-0123456789")}
	replica, other := api, api
	other.NonceSecret = []byte("the-secret-of-another-api-0123456789")
	ask := func(what string, a bearer.API, nonce string, status int) string {
		t.Helper()
		changes := map[string]any{}
		if nonce != "" {
			changes["nonce"] = nonce
		}
		h.nonce = ""
		out := atAPI(a, "DPoP", token, h.proof("GET", "https://api.test/notes", token, changes))
		challenge, given := out.Header().Get("WWW-Authenticate"), out.Header().Get("DPoP-Nonce")
		if out.Code != status || (status != http.StatusOK) != strings.HasPrefix(challenge, `DPoP error="use_dpop_nonce"`) || status != http.StatusOK && given == "" {
			t.Errorf("%s: %d, %q, nonce %q", what, out.Code, challenge, given)
		}
		if given != "" && out.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the nonce may be kept: %v", what, out.Header())
		}
		return given
	}
	nonce := ask("none", api, "", http.StatusUnauthorized)
	ask("made up", api, strings.Repeat("A", 32), http.StatusUnauthorized)
	if again := ask("the one given", api, nonce, http.StatusOK); again != "" {
		t.Errorf("a new nonce was given though the old one is the newest")
	}
	ask("at a replica", replica, nonce, http.StatusOK)
	ask("at another API", other, nonce, http.StatusUnauthorized)
	w.advance(2 * time.Minute)
	if next := ask("an old one", api, nonce, http.StatusOK); next == "" || next == nonce {
		t.Errorf("an old nonce was not renewed: %q", next)
	}
	w.advance(2 * time.Minute)
	ask("one that ended", api, nonce, http.StatusUnauthorized)
	api.NonceSecret = []byte("short")
	if out := atAPI(api, "DPoP", token, h.proof("GET", "https://api.test/notes", token, nil)); out.Code != http.StatusInternalServerError {
		t.Errorf("a secret that can be guessed: %d", out.Code)
	}
}

// TestStepUp: an API that wants a better or a newer sign-in says which, and takes the
// token that the client gets by asking for it. RFC 9470 §3, §4, RFC 9470 §6
func TestStepUp(t *testing.T) {
	for _, format := range []storage.AccessTokenFormat{storage.AccessTokenOpaque, storage.AccessTokenJWT} {
		w := start(t, plan{configure: func(c *server.Config) {
			for i := range c.Clients {
				c.Clients[i].AccessTokenFormat = format
			}
		}})
		h := newHolder(t, w.site, w.now)
		for name, v := range map[string]bearer.Verifier{"in-process": w.server, "remote": remoteAPI(t, w, w.transport)} {
			alice := w.person()
			access := func(extra url.Values) string {
				t.Helper()
				extra.Set("scope", "openid notes:read")
				code, verifier, err := w.code(alice, "web", "alice", extra)
				if err != nil {
					t.Fatal(err)
				}
				return answered(t)(w.exchange("web", code, verifier, nil)).text("access_token")
			}
			api := bearer.API{Verifier: v, Clock: w.now}
			recent, known, strong := api, api, api
			recent.MaxAge = 5 * time.Minute
			known.ACRValues = []string{"gold", "basic"}
			strong.ACRValues, strong.MaxAge = []string{"gold", "silver"}, time.Hour
			ask := func(what string, a bearer.API, token, challenge string) {
				t.Helper()
				out := atAPI(a, "Bearer", token, "")
				got := out.Header().Get("WWW-Authenticate")
				if challenge == "" && out.Code != http.StatusOK || challenge != "" && (out.Code != http.StatusUnauthorized || !strings.Contains(got, challenge)) {
					t.Errorf("%s, %s, %s: %d %q", format, name, what, out.Code, got)
				}
			}
			first := access(url.Values{})
			ask("a new sign-in", recent, first, "")
			ask("one of the ways", known, first, "")
			ask("none of the ways", strong, first, `acr_values="gold silver", max_age="3600"`)
			w.advance(5*time.Minute + time.Second)
			ask("an old sign-in", recent, first, `Bearer error="insufficient_user_authentication", error_description="The person signed in too long ago for this request.", scope="notes:read openid", max_age="300"`)
			ask("a new token of an old sign-in", recent, access(url.Values{}), `error="insufficient_user_authentication"`)
			ask("what the client asks for then", recent, access(url.Values{"max_age": {"300"}}), "")
			machine := h.post(t, "token", "machine", "", machineGrant).text("access_token")
			ask("nobody signed in", recent, machine, `error="insufficient_user_authentication"`)
			ask("nobody signed in in any way", known, machine, `error="insufficient_user_authentication"`)
		}
	}
}

// TestBothChallenges: who comes without a token is told of bearer tokens and, where the
// API knows its URL, of bound ones. RFC 9449 §7.1
func TestBothChallenges(t *testing.T) {
	w := start(t, plan{})
	got := atAPI(bearer.API{Verifier: w.server}, "", "", "").Header().Values("WWW-Authenticate")
	want := []string{`Bearer scope="notes:read"`, `DPoP scope="notes:read", algs="RS256 PS256 ES256 EdDSA Ed25519"`}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := atAPI(bearer.API{Verifier: w.server, Resource: "notes"}, "", "", "").Header().Values("WWW-Authenticate"); len(got) != 1 {
		t.Errorf("an API without a URL: %q", got)
	}
}

// TestCertificateBoundTokensAtAnAPI: a token opens an API over a connection with the
// certificate by which it was got, whoever verifies it. RFC 8705 §3, RFC 8705 §3.1
func TestCertificateBoundTokensAtAnAPI(t *testing.T) {
	s := startSecured(t, func(c *server.Config) {
		for i := range c.Clients {
			if c.Clients[i].ID == "own-cert" {
				c.Clients[i].TLSClientCertificateBoundAccessTokens, c.Clients[i].AccessTokenFormat = true, storage.AccessTokenJWT
			}
		}
	})
	s.transport = s.by(nil).Transport
	other := (*authority)(nil).issue(t, clientTemplate("billing.test"))
	opaque, signed := s.token(t, "billing", s.billing).text("access_token"), s.token(t, "own-cert", s.own).text("access_token")
	plain := newHolder(t, s.site, s.now).post(t, "token", "machine", "", machineGrant).text("access_token")
	for name, v := range map[string]bearer.Verifier{"in-process": s.server, "remote": remoteAPI(t, s.world, s.transport)} {
		api := httptest.NewUnstartedServer(bearer.API{Verifier: v, Clock: s.now}.Require("notes:read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		api.StartTLS()
		t.Cleanup(api.Close)
		for _, c := range []struct {
			what   string
			token  string
			cert   *tls.Certificate
			status int
		}{
			{"an opaque token", opaque, s.billing, http.StatusOK},
			{"an opaque token without a certificate", opaque, nil, http.StatusUnauthorized},
			{"an opaque token with another of the same name", opaque, other, http.StatusUnauthorized},
			{"a JWT", signed, s.own, http.StatusOK},
			{"a JWT without a certificate", signed, nil, http.StatusUnauthorized},
			{"a JWT with the certificate of another client", signed, s.billing, http.StatusUnauthorized},
			{"an unbound token with a certificate", plain, s.billing, http.StatusOK},
		} {
			config := api.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			if c.cert != nil {
				config.Certificates = []tls.Certificate{*c.cert}
			}
			r := answered(t)(send(&http.Client{Transport: &http.Transport{TLSClientConfig: config}}, http.MethodGet, api.URL+"/notes", http.Header{"Authorization": {"Bearer " + c.token}}, ""))
			if r.status != c.status || r.status != http.StatusOK && !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s, %s: want %d, got %s %v", name, c.what, c.status, r, r.header)
			}
		}
	}
}
