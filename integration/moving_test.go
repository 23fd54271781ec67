package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// users of a provider that moves: they refresh, sign in and revoke without a pause, and
// see nothing but success.
type movers struct {
	site    *site
	stop    context.CancelFunc
	all     sync.WaitGroup
	answers atomic.Int64
	slowest atomic.Int64

	mu      sync.Mutex
	revoked []string            // access tokens
	heads   map[string][]string // refresh tokens, by client
}

func (s *site) movers(t *testing.T) *movers {
	ctx, stop := context.WithCancel(t.Context())
	m := &movers{site: s, stop: stop, heads: map[string][]string{}}
	for _, client := range []string{"web", "strict", "own"} {
		token := s.mustTokens(t, s.person(), client).text("refresh_token")
		m.all.Go(func() {
			for ctx.Err() == nil {
				answer := m.ask(t, "refresh at "+client, func() (*reply, error) { return s.refresh(client, token, nil) })
				if answer == nil {
					return
				}
				token = answer.text("refresh_token")
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.heads[client] = append(m.heads[client], token)
		})
	}
	for range 2 {
		m.all.Go(func() {
			for ctx.Err() == nil && m.comeAndGo(t) {
			}
		})
	}
	return m
}

// comeAndGo signs a new browser in and revokes what it got.
func (m *movers) comeAndGo(t *testing.T) bool {
	var code, verifier string
	who := m.site.person()
	if m.ask(t, "sign in", func() (answer *reply, err error) {
		code, verifier, err = m.site.code(who, "own", "alice", nil)
		return &reply{status: http.StatusOK}, err
	}) == nil {
		return false
	}
	tokens := m.ask(t, "exchange", func() (*reply, error) { return m.site.exchange("own", code, verifier, nil) })
	if tokens == nil || m.ask(t, "revoke", func() (*reply, error) {
		return m.site.post("revoke", "own", url.Values{"token": {tokens.text("refresh_token")}})
	}) == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = append(m.revoked, tokens.text("access_token"))
	return true
}

func (m *movers) ask(t *testing.T, what string, do func() (*reply, error)) *reply {
	start := time.Now()
	answer, err := do()
	if err != nil || answer.status != http.StatusOK {
		t.Errorf("somebody noticed: %s: %v %s", what, err, answer)
		return nil
	}
	m.answers.Add(1)
	m.slowest.Store(max(m.slowest.Load(), int64(time.Since(start))))
	return answer
}

// rest ends them, and holds the provider to what it told them.
func (m *movers) rest(t *testing.T) {
	t.Helper()
	m.stop()
	m.all.Wait()
	t.Logf("%d answers, the slowest took %v; %d grants were revoked", m.answers.Load(), time.Duration(m.slowest.Load()), len(m.revoked))
}

func (m *movers) hold(t *testing.T) {
	t.Helper()
	for _, token := range m.revoked {
		if m.site.works(t, token) {
			t.Error("an access token of a revoked grant works")
		}
	}
	for client, tokens := range m.heads {
		for i, token := range tokens {
			answer := answered(t)(m.site.refresh(client, token, nil))
			if answer.status != http.StatusOK {
				t.Fatalf("the refresh token of %s ended: %s", client, answer)
			}
			tokens[i] = answer.text("refresh_token")
		}
	}
}

// TestProcessMoves moves the real binary from its file to PostgreSQL and back while it is
// used, each time with a restart afterwards.
func TestProcessMoves(t *testing.T) {
	dsn := databases.Database(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dsn"), []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	p := launch(t, dir)
	alice := p.person()
	access := p.mustTokens(t, alice, "web").text("access_token")
	keys := answered(t)(send(&http.Client{Transport: p.transport}, http.MethodGet, p.endpoint("jwks"), nil, ""))
	whole := func() {
		t.Helper()
		if !p.works(t, access) {
			t.Error("an access token ended with the move")
		}
		silent, _ := p.authorizeURL("web", url.Values{"prompt": {"none"}})
		if to := answered(t)(send(alice.client, http.MethodGet, silent, nil, "")).location(); to == nil || !to.Query().Has("code") {
			t.Errorf("the session or the consent ended with the move: %v", to)
		}
		if now := answered(t)(send(&http.Client{Transport: p.transport}, http.MethodGet, p.endpoint("jwks"), nil, "")); !bytes.Equal(now.body, keys.body) {
			t.Errorf("the keys are others:\n%s\n%s", keys.body, now.body)
		}
	}

	m := p.movers(t)
	time.Sleep(200 * time.Millisecond)
	out, errs, code := p.command(t, "move", "--to-postgres-file", "dsn", "--to-secret-file", "doorward.db.key")
	if code != 0 || !strings.Contains(out, "checksum") || !strings.Contains(out, "postgres_file: dsn") || !strings.Contains(out, "secret_files: [doorward.db.key]") {
		t.Fatalf("move: exit code %d\n%s%s", code, out, errs)
	}
	t.Log(out)
	time.Sleep(200 * time.Millisecond)
	m.rest(t)
	m.hold(t)
	whole()
	p.kill()
	if _, errs, code := p.command(t, "serve"); code != 1 || !strings.Contains(errs, "it was moved to the database") {
		t.Errorf("with the old configuration: exit code %d\n%s", code, errs)
	}

	t.Setenv("DOORWARD_STORE_POSTGRES_FILE", filepath.Join(dir, "dsn"))
	t.Setenv("DOORWARD_SECRET_FILES", filepath.Join(dir, "doorward.db.key"))
	p.run(t)
	m.hold(t)
	whole()
	m = p.movers(t)
	out, errs, code = p.command(t, "move", "--to-store", "doorward.db", "--json")
	var moved struct{ Records, Copied int }
	if err := json.Unmarshal([]byte(out), &moved); err != nil || code != 0 || moved.Copied == 0 || moved.Records == 0 {
		t.Fatalf("move back: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	t.Log(out)
	m.rest(t)
	m.hold(t)
	p.kill()
	if _, errs, code := p.command(t, "serve"); code != 1 || !strings.Contains(errs, "it was moved to") {
		t.Errorf("with the configuration for PostgreSQL: exit code %d\n%s", code, errs)
	}
	t.Setenv("DOORWARD_STORE_POSTGRES_FILE", "")
	t.Setenv("DOORWARD_SECRET_FILES", "")
	p.run(t)
	m.hold(t)
	whole()
	if out, errs, code := p.command(t, "check"); code != 0 {
		t.Errorf("check: exit code %d\n%s%s", code, out, errs)
	}
}

// TestProcessKilledWhileItMoves kills the server at any moment of a move. Afterwards the
// store has one home, and has lost nothing.
func TestProcessKilledWhileItMoves(t *testing.T) {
	dsn := databases.Database(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"dsn": dsn, "secret": wrapping} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("DOORWARD_SECRET_FILES", filepath.Join(dir, "secret"))
	places := [][2]string{{"", "--to-postgres-file=dsn"}, {filepath.Join(dir, "dsn"), "--to-store=doorward.db"}}
	at := func(place int) { t.Setenv("DOORWARD_STORE_POSTGRES_FILE", places[place][0]) }
	home, went := 0, 0
	p := launch(t, dir)
	token := p.mustTokens(t, p.person(), "strict").text("refresh_token")
	for range rounds(12) {
		done := make(chan string, 1)
		go func() {
			_, errs, code := p.command(t, "move", places[home][1])
			done <- fmt.Sprint(code, " ", errs)
		}()
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		p.kill()
		said := <-done

		// A start says where the store is; what is neither is finished by the same command.
		if _, errs, code := p.command(t, "user", "list"); code != 0 {
			if !strings.Contains(errs, "it was moved to") {
				t.Fatalf("after %q: %s", said, errs)
			}
			if _, errs, code := p.command(t, "move", places[home][1]); code != 0 && !strings.Contains(errs, "already") {
				t.Fatalf("after %q, moved again: %s", said, errs)
			}
			home, went = 1-home, went+1
			at(home)
		}
		p.run(t)
		answer := answered(t)(p.refresh("strict", token, nil))
		if answer.status != http.StatusOK {
			t.Fatalf("after %q: %s", said, answer)
		}
		token = answer.text("refresh_token")
	}
	t.Logf("%d of the moves had been decided", went)
}
