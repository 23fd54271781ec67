package integration

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/doorward/doorward/storage"
)

// TestReplicasRememberClients holds two replicas to what docs/operate.md says of the time
// until one sees what the other has changed, and counts what remembering spares.
func TestReplicasRememberClients(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 2)
	one, two := r.all[0], r.all[1]
	made, secret, err := one.server.Clients().Create(t.Context(), storage.Client{ID: "robot", Scope: "notes:read", DefaultScope: "notes:read", Introspects: []string{"https://api.test"}})
	if err != nil {
		t.Fatal(err)
	}
	as := func(secret storage.Secret, more url.Values) url.Values {
		return changed(url.Values{"client_id": {"robot"}, "client_secret": {string(secret)}}, more)
	}
	must := answered(t)
	token := func(w *world) *reply { t.Helper(); return must(w.post("token", "", as(secret, machineGrant))) }
	cost := func() int64 {
		before := two.gate.asked.Load()
		if answer := token(two); answer.status != http.StatusOK {
			t.Fatal(answer)
		}
		return two.gate.asked.Load() - before
	}
	first, next := cost(), cost()
	t.Logf("a token of client credentials cost %d reads of the database, and then %d", first, next)
	if first <= next || next != 0 {
		t.Errorf("a token cost %d reads, and the next one %d", first, next)
	}

	access := token(two).text("access_token")
	active := func(w *world) string {
		return must(w.post("introspect", "", as(secret, url.Values{"token": {access}}))).text("active")
	}
	if active(two) != "true" {
		t.Fatal("the token does not work")
	}
	must(one.post("revoke", "", as(secret, url.Values{"token": {access}})))
	if active(two) == "true" {
		t.Error("a token that one replica revoked works on the other")
	}

	if secret, err = one.server.Clients().RotateSecret(t.Context(), "robot", 0); err != nil {
		t.Fatal(err)
	}
	if answer := token(two); answer.status != http.StatusOK {
		t.Errorf("a new secret is not taken at once by the other replica: %s", answer)
	}

	access = token(two).text("access_token")
	made.Disabled = true
	if _, err := one.server.Clients().Update(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if answer := token(one); answer.text("error") != "invalid_client" {
		t.Errorf("the replica that disabled a client serves it: %s", answer)
	}
	if answer := token(two); answer.status != http.StatusOK {
		t.Errorf("nothing was remembered; the test proves nothing: %s", answer)
	}
	if two.works(t, access) {
		t.Error("a token of a disabled client works")
	}
	two.advance(storage.RecentAge)
	if answer := token(two); answer.text("error") != "invalid_client" {
		t.Errorf("after %v a disabled client is served: %s", storage.RecentAge, answer)
	}
	made.Disabled = false
	if _, err := one.server.Clients().Update(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if answer := token(two); answer.status != http.StatusOK {
		t.Errorf("a client that is enabled again is not served at once: %s", answer)
	}
}
