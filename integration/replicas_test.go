package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// replicas are servers on one PostgreSQL database, each with a backend, caches and keys
// in memory of its own, behind a proxy that gives every request to the next of them.
type replicas struct {
	*site
	all  []*world
	next atomic.Int64
}

// startReplicas starts n of them.
func startReplicas(t testing.TB, n int) *replicas {
	t.Helper()
	dsn := databases.Database(t)
	r := &replicas{}
	for range n {
		r.all = append(r.all, start(t, plan{backend: "postgres", dsn: dsn}))
	}
	r.site = &site{issuer: r.all[0].issuer, clients: r.all[0].clients, transport: r}
	return r
}

// RoundTrip gives a request to the next replica.
func (r *replicas) RoundTrip(in *http.Request) (*http.Response, error) {
	return r.all[int(r.next.Add(1))%len(r.all)].RoundTrip(in)
}

func (r *replicas) revoke(t testing.TB, client, token string) {
	t.Helper()
	if answer := answered(t)(r.post("revoke", client, url.Values{"token": {token}})); answer.status != http.StatusOK {
		t.Fatalf("revoke: %s", answer)
	}
}

// answered lets answers of any status pass, and no error.
func answered(t testing.TB) func(*reply, error) *reply {
	return func(answer *reply, err error) *reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if answer.status >= http.StatusInternalServerError {
			t.Fatalf("%s", answer)
		}
		return answer
	}
}

// TestReplicasServeOneFlow sends each request of a whole sign-in to the other replica
// than the one before.
func TestReplicasServeOneFlow(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 2)
	must := answered(t)
	for range 5 {
		alice := r.person()
		tokens := r.mustTokens(t, alice, "web") // with the login page and the consent page
		for range 2 {                           // each replica in its turn
			if !r.works(t, tokens.text("access_token")) {
				t.Error("an access token does not work on both")
			}
		}
		next := must(r.refresh("web", tokens.text("refresh_token"), nil))
		if next.status != http.StatusOK {
			t.Fatalf("refresh: %s", next)
		}
		for range r.all {
			if answer := must(r.post("introspect", "web", url.Values{"token": {next.text("access_token")}})); answer.text("active") != "true" {
				t.Errorf("introspection: %s", answer)
			}
			silent, _ := r.authorizeURL("web", url.Values{"prompt": {"none"}})
			if to := must(send(alice.client, http.MethodGet, silent, nil, "")).location(); to == nil || !to.Query().Has("code") {
				t.Errorf("the session is not known by both: %v", to)
			}
		}
		must(send(alice.client, http.MethodGet, r.endpoint("logout")+"?id_token_hint="+next.text("id_token"), nil, ""))
		for range r.all {
			silent, _ := r.authorizeURL("web", url.Values{"prompt": {"none"}})
			if to := must(send(alice.client, http.MethodGet, silent, nil, "")).location(); to == nil || to.Query().Get("error") != "login_required" {
				t.Errorf("signing out is not known by both: %v", to)
			}
		}
		r.next.Add(1) // the other one begins
	}
	for i, w := range r.all {
		if w.gate.count.Load() == 0 {
			t.Errorf("replica %d stored nothing", i)
		}
	}
}

// TestReplicasUseOnce runs the races of codes and refresh tokens across replicas: what
// one of them used, the others know as used. RFC 6749 §10.5, RFC 9700 §4.14.2
func TestReplicasUseOnce(t *testing.T) {
	for name, race := range map[string]func(*testing.T, *site){
		"codes":  roundsOfCodes,
		"strict": roundsOfStrict,
		"window": func(t *testing.T, s *site) { roundsOfWindow(t, s, "own") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			race(t, startReplicas(t, 2).site)
		})
	}
}

// TestReplicasSeeRevocationAtOnce warms a token on every replica, revokes it on one and
// asks the others. RFC 7009 §2
func TestReplicasSeeRevocationAtOnce(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 2)
	alice := r.person()
	for round := range rounds(50) {
		tokens := r.mustTokens(t, alice, "own")
		access, refresh := tokens.text("access_token"), tokens.text("refresh_token")
		for range r.all {
			if !r.works(t, access) {
				t.Fatalf("round %d: a token does not work on both", round)
			}
		}
		ended := true // the grant as a whole
		switch round % 3 {
		case 0:
			r.revoke(t, "own", access)
			ended = false
		case 1:
			r.revoke(t, "own", refresh)
		case 2:
			if err := r.all[round%2].server.RevokeSubject(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			alice = r.person()
		}
		for range r.all {
			if r.works(t, access) {
				t.Fatalf("round %d: a token that one replica revoked works", round)
			}
		}
		for range r.all {
			if answer := answered(t)(r.refresh("own", refresh, nil)); (answer.status == http.StatusOK) == ended {
				t.Fatalf("round %d: refreshing after the revocation on one replica: %s", round, answer)
			}
		}
	}
}

// kidOf is the key that a token says it was signed by.
func kidOf(t testing.TB, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// TestReplicasRotateKeys has one replica rotate while clients sign in on all: the others
// sign with the new key within seconds, and at no moment is there an ID token that does
// not verify against the key set of every replica.
func TestReplicasRotateKeys(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 2)
	var mu sync.Mutex
	kids := make([][]string, len(r.all)) // by replica, in the order they signed
	signIn := func(i int) {
		w := r.all[i]
		token := w.mustTokens(t, w.person(), "own").text("id_token")
		for _, other := range r.all {
			ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: other})
			if _, err := oidc.NewRemoteKeySet(ctx, other.endpoint("jwks")).VerifySignature(ctx, token); err != nil {
				t.Errorf("an ID token of one replica does not verify against the keys of another: %v", err)
			}
			// A hint is verified by the replica itself. OpenID Connect RP-Initiated Logout §2
			if answer := answered(t)(send(other.person().client, http.MethodGet, other.endpoint("logout")+"?id_token_hint="+token, nil, "")); answer.status >= http.StatusBadRequest {
				t.Errorf("a hint is refused: %s", answer)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		kids[i] = append(kids[i], kidOf(t, token))
	}
	for i := range r.all {
		signIn(i)
	}
	before := kids[0][0]
	if kids[1][0] != before {
		t.Fatal("the replicas do not share their key")
	}
	if err := r.all[0].server.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	signIn(0)
	after := kids[0][1]
	if after == before {
		t.Fatal("the key was not rotated")
	}
	for kids[1][len(kids[1])-1] != after {
		if time.Since(begin) > ample {
			t.Fatal("the other replica still signs with the key before")
		}
		for i := range r.all {
			signIn(i)
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(begin)
	t.Logf("the other replica signed with the new key after %v; %d ID tokens were verified", took.Round(time.Millisecond), len(kids[0])+len(kids[1]))
	for i, seen := range kids {
		if seen = slices.Compact(seen); len(seen) != 2 {
			t.Errorf("replica %d signed with the keys %q", i, seen)
		}
	}
}
