package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

const (
	parallel    = 20 // requests at the same moment
	mostRepeats = 10 // answers that are given again
)

func rounds(full int) int {
	if testing.Short() {
		return full / 5
	}
	return full
}

// together runs fn n times at the same moment.
func together[T any](n int, fn func(i int) T) []T {
	results := make([]T, n)
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			results[i] = fn(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return results
}

// outcome is what one of many requests got.
type outcome struct {
	reply *reply
	err   error
}

func asOutcome(r *reply, err error) outcome { return outcome{r, err} }

// sort tells successes from clean refusals; anything else fails the test.
func sortOut(t *testing.T, results []outcome, refusal string) (successes []*reply) {
	t.Helper()
	for _, o := range results {
		switch {
		case o.err != nil:
			t.Fatal(o.err)
		case o.reply.status == http.StatusOK:
			successes = append(successes, o.reply)
		case o.reply.text("error") != refusal:
			t.Fatalf("a request of many was neither answered nor refused with %s: %s", refusal, o.reply)
		}
	}
	return successes
}

func eachBackend(t *testing.T, test func(t *testing.T, w *world)) {
	for _, backend := range []string{"memory", "bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			test(t, start(t, plan{backend: backend}))
		})
	}
}

// mustCode signs alice in and returns a code.
func (s *site) mustCode(t testing.TB, p *person, client string) (code, verifier string) {
	t.Helper()
	code, verifier, err := s.code(p, client, "alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	return code, verifier
}

// mustTokens signs alice in at a client.
func (s *site) mustTokens(t testing.TB, p *person, client string) *reply {
	t.Helper()
	code, verifier := s.mustCode(t, p, client)
	answer, err := s.exchange(client, code, verifier, nil)
	if err != nil || answer.status != http.StatusOK {
		t.Fatalf("no tokens: %v, %s", err, answer)
	}
	return answer
}

func (s *site) works(t testing.TB, accessToken string) bool {
	t.Helper()
	answer, err := send(&http.Client{Transport: s.transport}, http.MethodGet, s.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + accessToken}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if answer.status != http.StatusOK && answer.status != http.StatusUnauthorized && answer.status != http.StatusForbidden {
		t.Fatalf("userinfo: %s", answer)
	}
	return answer.status != http.StatusUnauthorized
}

// TestRoundsOfCodes redeems each code many times at once. RFC 6749 §4.1.2, §10.5
func TestRoundsOfCodes(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) { roundsOfCodes(t, w.site) })
}

func roundsOfCodes(t *testing.T, s *site) {
	t.Helper()
	alice := s.person()
	for round := range rounds(100) {
		code, verifier := s.mustCode(t, alice, "own")
		successes := sortOut(t, together(parallel, func(int) outcome {
			return asOutcome(s.exchange("own", code, verifier, nil))
		}), "invalid_grant")
		if len(successes) != 1 {
			t.Fatalf("round %d: a code was redeemed %d times by %d parallel requests", round, len(successes), parallel)
		}
	}
}

// TestRoundsOfStrict uses each refresh token many times at once. RFC 9700 §4.14.2
func TestRoundsOfStrict(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) { roundsOfStrict(t, w.site) })
}

func roundsOfStrict(t *testing.T, s *site) {
	t.Helper()
	alice := s.person()
	for round := range rounds(100) {
		token := s.mustTokens(t, alice, "strict").text("refresh_token")
		successes := sortOut(t, together(parallel, func(int) outcome {
			return asOutcome(s.refresh("strict", token, nil))
		}), "invalid_grant")
		if len(successes) != 1 {
			t.Fatalf("round %d: a refresh token worked %d times in %d parallel requests", round, len(successes), parallel)
		}
	}
}

// TestRoundsOfWindow uses each refresh token many times at once under the policies
// that give the same answer again: all get one successor, and that works.
func TestRoundsOfWindow(t *testing.T) {
	for _, client := range []string{"own", "until"} {
		t.Run(client, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, w *world) { roundsOfWindow(t, w.site, client) })
		})
	}
}

func roundsOfWindow(t *testing.T, s *site, client string) {
	t.Helper()
	token := s.mustTokens(t, s.person(), client).text("refresh_token")
	for round := range rounds(100) {
		successes := sortOut(t, together(parallel, func(int) outcome {
			return asOutcome(s.refresh(client, token, nil))
		}), "invalid_grant")
		if len(successes) != 1+mostRepeats {
			t.Fatalf("round %d: %d of %d parallel requests were answered; one and %d repeats should be", round, len(successes), parallel, mostRepeats)
		}
		next := successes[0].text("refresh_token")
		access := map[string]bool{}
		for _, answer := range successes {
			if got := answer.text("refresh_token"); got != next || got == token {
				t.Fatalf("round %d: there are several successors of one refresh token", round)
			}
			access[answer.text("access_token")] = true
		}
		if len(access) != len(successes) {
			t.Fatalf("round %d: an access token was given to two requests", round)
		}
		for a := range access {
			if !s.works(t, a) {
				t.Fatalf("round %d: an access token that was given does not work", round)
			}
		}
		token = next // the next round uses the newest pair
	}
}

// ending is a way to end what a client holds.
type ending struct {
	name string
	end  func(w *world, tokens *reply, client string) error
}

func endings() []ending {
	ctx := context.Background()
	return []ending{
		{"its refresh token is revoked", func(w *world, tokens *reply, client string) error {
			answer, err := w.post("revoke", client, url.Values{"token": {tokens.text("refresh_token")}})
			if err == nil && answer.status != http.StatusOK {
				err = fmt.Errorf("revoke: %s", answer)
			}
			return err
		}},
		{"the person's grants are revoked", func(w *world, _ *reply, _ string) error { return w.server.RevokeSubject(ctx, "alice") }},
		{"the app is disconnected", func(w *world, _ *reply, client string) error { return w.server.RevokeApp(ctx, "alice", client) }},
		{"the client is removed", func(w *world, _ *reply, client string) error { return w.server.Clients().Delete(ctx, client) }},
		{"the client is disabled", func(w *world, _ *reply, client string) error {
			c, err := w.server.Clients().Get(ctx, client)
			if err != nil {
				return err
			}
			c.Disabled = true
			_, err = w.server.Clients().Update(ctx, c)
			return err
		}},
	}
}

// TestNothingOutlivesItsEnd ends a grant or a client while tokens are being issued:
// what a parallel request got is dead as well. RFC 7009 §2.1, RFC 6749 §10.4
func TestNothingOutlivesItsEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) {
		alice := w.person()
		full := 200
		if _, far := w.backend.(*postgres.Backend); far {
			full = 40 // each round has twenty commits that go to another process
		}
		for i, e := range endings() {
			issued := 0
			for round := range rounds(full) {
				issued += outliveRound(t, w, alice, e, fmt.Sprintf("dynamic-%d-%d", i, round))
			}
			if issued == 0 {
				t.Errorf("%s, but no token was issued in parallel; the test proves nothing", e.name)
			}
		}
	})
}

// outliveRound returns how many tokens were issued while the end came.
func outliveRound(t *testing.T, w *world, alice *person, e ending, id string) (issued int) {
	t.Helper()
	c := storage.Client{
		ID: id, FirstParty: true, RedirectURIs: []string{"https://" + id + ".test/cb"}, Scope: "openid profile offline_access notes:read",
		GrantTypes: []string{storage.GrantAuthorizationCode, storage.GrantRefreshToken, storage.GrantClientCredentials},
	}
	made, secret, err := w.server.Clients().Create(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	made.Secret = secret
	w.clients[id] = &made
	tokens := w.mustTokens(t, alice, id)
	code, verifier := w.mustCode(t, alice, id)
	const others = 6
	results := together(others+1, func(i int) outcome {
		switch {
		case i == others/2:
			return outcome{err: e.end(w, tokens, id)}
		case i == 0:
			return asOutcome(w.exchange(id, code, verifier, nil))
		default:
			return asOutcome(w.refresh(id, tokens.text("refresh_token"), nil))
		}
	})
	for i, o := range results {
		if o.reply != nil && o.reply.status == http.StatusOK {
			issued++
		}
		switch {
		case o.err != nil:
			t.Fatalf("%s: %v", e.name, o.err)
		case o.reply == nil || o.reply.status >= http.StatusInternalServerError:
			if o.reply != nil {
				t.Fatalf("%s: %s", e.name, o.reply)
			}
		case i == 0 && e.name == endings()[0].name: // another grant than the one that was revoked
		case o.reply.status == http.StatusOK && w.works(t, o.reply.text("access_token")):
			t.Fatalf("%s, and a token issued in parallel outlives it", e.name)
		case o.reply.status == http.StatusOK && o.reply.text("refresh_token") != "":
			again, err := w.refresh(id, o.reply.text("refresh_token"), nil)
			if err != nil || again.status == http.StatusOK {
				t.Fatalf("%s, and a refresh token issued in parallel outlives it: %v %s", e.name, err, again)
			}
		}
	}
	if w.works(t, tokens.text("access_token")) {
		t.Fatalf("%s, and the token that it had still works", e.name)
	}
	if e.name == "the client is removed" { // and made anew under its old name
		if _, _, err := w.server.Clients().Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if w.works(t, tokens.text("access_token")) {
			t.Fatal("a client that was made anew revives the tokens of the one before")
		}
	}
	return issued
}

// TestRoundsOfDecisions allows the same consent many times at once: one code, and
// everybody who pressed the button is sent to it. A double click is two of these.
func TestRoundsOfDecisions(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) {
		for round := range rounds(50) {
			alice := w.person()
			address, _ := w.authorizeURL("web", url.Values{"prompt": {"consent"}})
			if _, err := alice.open(address); err != nil {
				t.Fatal(err)
			}
			if _, err := alice.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}}); err != nil {
				t.Fatal(err)
			}
			codes := map[string]int{}
			for _, o := range together(8, func(int) outcome { return asOutcome(alice.press(url.Values{"decision": {"allow"}})) }) {
				if o.err != nil {
					t.Fatal(o.err)
				}
				to := o.reply.location()
				if to == nil {
					t.Fatalf("round %d: %s", round, o.reply)
				}
				codes[to.Query().Get("code")]++
			}
			if len(codes) != 1 || codes[""] != 0 {
				t.Fatalf("round %d: pressing Allow 8 times gave the codes %v", round, codes)
			}
		}
		if !w.seen(string(handlers.EventCodeIssued)) {
			t.Error("no event tells of the codes")
		}
	})
}
