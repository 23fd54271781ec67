package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRegistrationTokens: a token that the operator made registers as many clients as it
// may, and none when it is revoked.
func TestRegistrationTokens(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "idp.yaml")
	if err := os.WriteFile(file, []byte("store: {path: x.db}\nregistration: {endpoint: token}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := []string{"--config", file}
	r := start(t, "--config", file, "--listen", "localhost:0")
	var made struct{ ID, Token string }
	register := func() (int, string) {
		q, err := http.NewRequest(http.MethodPost, r.issuer+"/oauth/register", strings.NewReader(`{"redirect_uris":["https://app.example/cb"]}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+made.Token)
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("Www-Authenticate")
	}
	parse(t, must(t, "", append(at, "registration-token", "add", "--note", "for the partner", "--uses", "2", "--json")...), &made)
	for _, want := range []int{201, 201, 401} {
		if status, _ := register(); status != want {
			t.Errorf("the status is %d, want %d", status, want)
		}
	}
	parse(t, must(t, "", append(at, "registration-token", "add", "--uses", "0", "--expires", "0", "--json")...), &made)
	if out := must(t, "", append(at, "registration-token", "list")...); !strings.Contains(out, "for the partner") || !strings.Contains(out, "any number") || !strings.Contains(out, "never") {
		t.Errorf("the tokens are listed as\n%s", out)
	}
	must(t, "", append(at, "registration-token", "revoke", made.ID)...)
	mustFail(t, exitFailed, "there is no token", append(at, "registration-token", "revoke", made.ID)...)
	if status, challenge := register(); status != http.StatusUnauthorized || !strings.Contains(challenge, "Bearer") {
		t.Errorf("a revoked token: %d %s", status, challenge)
	}
	mustFail(t, exitUsage, "--expires", append(at, "registration-token", "add", "--expires", "soon")...)
	if out := must(t, "", append(at, "client", "list")...); strings.Count(out, "database") != 2 {
		t.Errorf("the clients are listed as\n%s", out)
	}
}
