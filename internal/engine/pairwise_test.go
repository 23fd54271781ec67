package engine_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

func pairwise(id, redirectURI string) storage.Client {
	c := publicClient()
	c.ID, c.SubjectType, c.RedirectURIs = id, storage.SubjectPairwise, []string{redirectURI}
	return c
}

func (w *world) signInTo(c storage.Client) (*engine.TokenResponse, engine.Credentials) {
	w.t.Helper()
	by := engine.Credentials{ClientID: c.ID, Method: "none"}
	code := w.approve(request("client_id", c.ID, "redirect_uri", c.RedirectURIs[0]))
	tokens, refusal := w.redeem(by, code, "redirect_uri", c.RedirectURIs[0])
	w.fine(refusal)
	return tokens, by
}

// OpenID Connect Core §8.1: one sub for a sector, another for each other sector, the
// same wherever it is told and after a restart. RFC 9068 §6
func TestPairwiseSubjects(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	one, same, other := pairwise("one", "https://one.example/cb"), pairwise("same", "https://one.example/other"), pairwise("other", "https://other.example/cb")
	joined := pairwise("joined", "https://joined.example/cb")
	joined.SectorIdentifierURI = "https://one.example/sector.json"
	signed := pairwise("signed", "https://one.example/cb")
	signed.AccessTokenFormat = storage.AccessTokenJWT
	subs := map[string]string{}
	for _, c := range []storage.Client{one, same, other, joined, signed} {
		w.add(c)
		tokens, _ := w.signInTo(c)
		subs[c.ID], _ = payload(t, tokens.IDToken)["sub"].(string)
		a, refusal := w.Access(t.Context(), tokens.AccessToken)
		w.fine(refusal)
		info, refusal := w.UserInfo(t.Context(), a)
		w.fine(refusal)
		if a.Subject != "alice" || a.Told != subs[c.ID] || info["sub"] != subs[c.ID] {
			t.Errorf("%s: the token is of %q, told as %q, userinfo says %v", c.ID, a.Subject, a.Told, info["sub"])
		}
		if c.AccessTokenFormat == storage.AccessTokenJWT && payload(t, tokens.AccessToken)["sub"] != subs[c.ID] {
			t.Errorf("the JWT has the sub %v", payload(t, tokens.AccessToken)["sub"])
		}
		if got := payload(t, w.mustRefreshBy(c.ID, tokens.RefreshToken).IDToken)["sub"]; got != subs[c.ID] {
			t.Errorf("%s: a refreshed ID token has the sub %v", c.ID, got)
		}
	}
	if subs["one"] == "alice" || subs["one"] == "" || subs["one"] != subs["same"] || subs["one"] != subs["joined"] || subs["one"] != subs["signed"] || subs["one"] == subs["other"] {
		t.Errorf("the subjects are %v", subs)
	}
	again, err := engine.New(w.config)
	must(t, err)
	if got := again.SubjectFor(&one, "alice"); got != subs["one"] {
		t.Errorf("after a restart the sub is %q", got)
	}
	if got := again.SubjectFor(&one, "bob"); got == subs["one"] {
		t.Error("two people have one sub")
	}
}

// The sid is as the sub: two sectors can't compare what they know, one can. It finds the
// session all the same. OpenID Connect Core §17.3
func TestPairwiseSessions(t *testing.T) {
	w := newWorld(t, nil)
	public := publicClient()
	w.add(public)
	one, same, other := pairwise("one", "https://one.example/cb"), pairwise("same", "https://one.example/other"), pairwise("other", "https://other.example/cb")
	sids := map[string]string{}
	for _, c := range []storage.Client{public, one, same, other} {
		w.add(c)
		tokens, _ := w.signInTo(c)
		sids[c.ID], _ = payload(t, tokens.IDToken)["sid"].(string)
		if got := payload(t, w.mustRefreshBy(c.ID, tokens.RefreshToken).IDToken)["sid"]; got != sids[c.ID] {
			t.Errorf("%s: a refreshed ID token has the sid %v", c.ID, got)
		}
		if got := w.SessionFor(&c, "session-1"); got != sids[c.ID] {
			t.Errorf("%s: the session is told as %s, in the ID token as %s", c.ID, got, sids[c.ID])
		}
		hint, err := w.ReadHint(t.Context(), tokens.IDToken)
		must(t, err)
		if hint.SessionID != sids[c.ID] {
			t.Errorf("%s: the hint is of %s", c.ID, hint.SessionID)
		}
	}
	if sids["spa"] != "session-1" || sids["one"] == "session-1" || sids["one"] == "" || sids["one"] != sids["same"] || sids["one"] == sids["other"] {
		t.Errorf("the sessions are %v", sids)
	}
	if w.SessionFor(&one, "session-2") == sids["one"] || w.SessionFor(&one, "") != "" || w.SessionFor(&one, "session-1") == w.SubjectFor(&one, "session-1") {
		t.Error("what a session is told as does not tell it apart")
	}
	// An ID token goes on to say what it said, whatever becomes of the client.
	tokens, _ := w.signInTo(one)
	one.SubjectType = storage.SubjectPublic
	w.add(one)
	if got := payload(t, w.mustRefreshBy("one", tokens.RefreshToken).IDToken)["sid"]; got != sids["one"] {
		t.Errorf("the sid became %v", got)
	}
}

// A grant keeps the sub that it began with, since a client knows the person by it.
// OpenID Connect Core §12.2
func TestPairwiseSubjectStays(t *testing.T) {
	w := newWorld(t, nil)
	c := pairwise("one", "https://one.example/cb")
	w.add(c)
	tokens, _ := w.signInTo(c)
	before := payload(t, tokens.IDToken)["sub"]
	c.SubjectType = storage.SubjectPublic
	w.add(c)
	if got := payload(t, w.mustRefreshBy("one", tokens.RefreshToken).IDToken)["sub"]; got != before {
		t.Errorf("the sub became %v", got)
	}
}

// The token introspection of the client and of an API say the same, and revoking goes
// by the real subject. RFC 7662 §2.2
func TestPairwiseIntrospectionAndRevocation(t *testing.T) {
	w := newWorld(t, nil)
	opaque, signed := pairwise("one", "https://one.example/cb"), pairwise("two", "https://two.example/cb")
	signed.AccessTokenFormat = storage.AccessTokenJWT
	w.add(opaque)
	w.add(signed)
	resource := w.addConfidential(storage.Client{ID: "rs", GrantTypes: []string{"client_credentials"}, Introspects: []string{issuer}})
	for _, c := range []storage.Client{opaque, signed} {
		tokens, by := w.signInTo(c)
		body, refusal := w.Introspect(t.Context(), resource, tokens.AccessToken)
		w.fine(refusal)
		if body["sub"] != w.SubjectFor(&c, "alice") || body["active"] != true {
			t.Errorf("%s: the API is told %v", c.ID, body)
		}
		if c.AccessTokenFormat == storage.AccessTokenJWT {
			w.fine(w.Revoke(t.Context(), by, tokens.AccessToken))
			if last := w.events[len(w.events)-1]; last.Type != engine.EventTokenRevoked || last.Subject != "alice" {
				t.Errorf("the event is %+v", last)
			}
			tokens, _ = w.signInTo(c)
		}
		must(t, w.RevokeSubject(t.Context(), "alice"))
		if w.works(tokens.AccessToken) {
			t.Errorf("%s: the token outlives its person", c.ID)
		}
		w.advance(time.Second)
	}
}

// RFC 9700 §4.15: a client's own tokens have its client_id as sub.
func TestSubjectThatIsAClient(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	w.addConfidential(storage.Client{ID: "machine", GrantTypes: []string{"client_credentials"}})
	a, refusal := w.CheckAuthorize(t.Context(), request())
	w.fine(refusal)
	for _, subject := range []string{"machine", "spa"} {
		n := w.commits(func() {
			_, refusal = w.Approve(t.Context(), a, engine.Approval{Subject: subject, AuthTime: w.now(), Scopes: a.Scopes})
			refused(t, refusal, "server_error", "subject_is_client")
		})
		if n != 0 {
			t.Errorf("%d commits", n)
		}
	}
}

// RFC 9700 §4.7.1: the exempt client works, and the operator is told, once an hour.
func TestWeakStateIsTold(t *testing.T) {
	log := &strings.Builder{}
	w := newWorld(t, func(c *engine.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	w.add(publicClient())
	old := publicClient()
	old.ID, old.TokenEndpointAuthMethod, old.Insecure.SkipPKCE = "old", "", true
	by := w.addConfidential(old)
	told := func() int {
		return strings.Count(log.String(), "a client without pkce sends a state that can be guessed")
	}
	w.approve(request("state", "abc"))
	if told() != 0 {
		t.Errorf("with PKCE the log says:\n%s", log)
	}
	plain := []string{"client_id", "old", "code_challenge", "", "code_challenge_method", ""}
	for range 3 {
		_, refusal := w.redeem(by, w.approve(request(append(plain, "state", "abc")...)), "code_verifier", "")
		w.fine(refusal)
	}
	w.approve(request(append(plain, "state", strings.Repeat("s", 8))...))
	if told() != 1 {
		t.Errorf("told %d times in an hour:\n%s", told(), log)
	}
	w.advance(time.Hour)
	w.approve(request(append(plain, "state", "")...))
	if told() != 2 {
		t.Errorf("told %d times in two hours", told())
	}
}

// A token past 4 KiB is told of once an hour for each client, whichever kind it is.
func TestLargeTokensAreTold(t *testing.T) {
	log := &strings.Builder{}
	size := 100
	w := newWorld(t, func(c *engine.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
		c.Claims = func(_ context.Context, r *engine.ClaimsRequest) error {
			r.IDToken["groups"], r.AccessToken["groups"] = strings.Repeat("x", size), strings.Repeat("x", size)
			return nil
		}
	})
	one, two := pairwise("one", "https://one.example/cb"), pairwise("two", "https://two.example/cb")
	one.AccessTokenFormat, two.AccessTokenFormat = storage.AccessTokenJWT, storage.AccessTokenOpaque
	w.add(one)
	w.add(two)
	told := func() int { return strings.Count(log.String(), "a token is large") }
	for _, step := range []struct {
		size int
		wait time.Duration
		to   storage.Client
		told int
	}{{100, 0, one, 0}, {4000, 0, one, 2}, {4000, 59 * time.Minute, one, 2}, {4000, 0, two, 3}, {4000, time.Minute, one, 5}} {
		size = step.size
		w.advance(step.wait)
		w.signInTo(step.to)
		if told() != step.told {
			t.Errorf("with %d bytes after %s told %d times, want %d:\n%s", step.size, step.wait, told(), step.told, log)
		}
	}
}
