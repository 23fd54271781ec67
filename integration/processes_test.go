package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/doorward/doorward/internal/pgtest"
	"github.com/doorward/doorward/storage"
)

// onPostgreSQL has every binary that this test runs keep its state in a new database.
func onPostgreSQL(t *testing.T) (dsn string) {
	t.Helper()
	return onServer(t, &databases)
}

// onServer is the same in a database of a server that the test chooses.
func onServer(t *testing.T, server *pgtest.Server) (dsn string) {
	t.Helper()
	dsn = server.Database(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"dsn": dsn, "secret": wrapping} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DOORWARD_STORE_POSTGRES_FILE", filepath.Join(dir, "dsn"))
	t.Setenv("DOORWARD_SECRET_FILES", filepath.Join(dir, "secret"))
	t.Setenv("XDG_RUNTIME_DIR", "")
	return dsn
}

// replica starts one more process of the same provider at an address of its own.
func (p *process) replica(t testing.TB) *process {
	t.Helper()
	address := freeAddress(t)
	transport := newTransport().(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	q := &process{dir: p.dir, site: &site{issuer: p.issuer, clients: p.clients, transport: transport}}
	q.args = append(append([]string{}, p.args[:len(p.args)-1]...), address)
	t.Cleanup(q.kill)
	q.run(t)
	return q
}

// inTurn gives each request to the next process.
type inTurn struct {
	all  []*process
	next atomic.Int64
}

func (p *inTurn) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.all[int(p.next.Add(1))%len(p.all)].transport.RoundTrip(r)
}

// command runs the binary to its end.
func (p *process) command(t testing.TB, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.Command(binary(t), append(args, p.args[:len(p.args)-2]...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// TestProcessesShareADatabase runs the real binary twice on one PostgreSQL database
// behind a proxy that takes turns, kills one of them, and stops both.
func TestProcessesShareADatabase(t *testing.T) {
	onPostgreSQL(t)
	p := launch(t, t.TempDir())
	q := p.replica(t)
	proxy := &inTurn{all: []*process{p, q}}
	both := &site{issuer: p.issuer, clients: p.clients, transport: proxy}
	roundsOfFew(t, both)

	alice := both.person()
	tokens := both.mustTokens(t, alice, "web")
	p.kill()
	if !q.works(t, tokens.text("access_token")) {
		t.Error("an access token ended with the process that issued it")
	}
	proxy.all = []*process{q}
	tokens = answered(t)(both.refresh("web", tokens.text("refresh_token"), nil))
	if tokens.status != http.StatusOK {
		t.Fatalf("a refresh token ended with the process that issued it: %s", tokens)
	}
	p.run(t)
	proxy.all = []*process{p, q}
	silent, _ := both.authorizeURL("own", url.Values{"prompt": {"none"}})
	if to := answered(t)(send(alice.client, http.MethodGet, silent, nil, "")).location(); to == nil || !to.Query().Has("code") {
		t.Errorf("the session ended with a process: %v", to)
	}
	commandsOf(t, p, both)
	if !strings.Contains(q.output.String(), "another replica on this machine has the admin socket") {
		t.Error("the second process took the socket of the first, or had none")
	}

	p.kill()
	q.kill()
	if out, errs, code := p.command(t, "client", "list"); code != 0 || !strings.Contains(out, "backup") {
		t.Errorf("without a server: exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := p.command(t, "check"); code != 0 || !strings.HasPrefix(out, "OK: of the ") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := p.command(t, "stats"); code != 0 || !strings.Contains(out, "tables ") || !strings.Contains(out, "envelope") {
		t.Errorf("stats: exit code %d\n%s%s", code, out, errs)
	}
	if _, errs, code := p.command(t, "compact"); code != 1 || !strings.Contains(errs, "not in a file") {
		t.Errorf("compact: exit code %d\n%s", code, errs)
	}
	for _, text := range []string{p.output.String(), q.output.String()} {
		if strings.Contains(text, wrapping) || strings.Contains(text, "user=postgres") {
			t.Error("the log tells the secret or the DSN")
		}
	}
}

// roundsOfFew races a few codes and refresh tokens.
func roundsOfFew(t *testing.T, s *site) {
	t.Helper()
	alice := s.person()
	for range rounds(20) {
		code, verifier := s.mustCode(t, alice, "strict")
		exchange := func(int) outcome { return asOutcome(s.exchange("strict", code, verifier, nil)) }
		won := sortOut(t, together(parallel, exchange), "invalid_grant")
		if len(won) != 1 {
			t.Fatalf("a code was redeemed %d times", len(won))
		}
		token := s.mustTokens(t, alice, "strict").text("refresh_token") // a replay has ended the grant of the other
		if won = sortOut(t, together(parallel, func(int) outcome { return asOutcome(s.refresh("strict", token, nil)) }), "invalid_grant"); len(won) != 1 {
			t.Fatalf("a refresh token worked %d times", len(won))
		}
	}
}

// commandsOf makes a client by the command line of one process, and uses it at all.
func commandsOf(t *testing.T, p *process, both *site) {
	t.Helper()
	out, errs, code := p.command(t, "client", "add", "backup", "--grant-type", "client_credentials", "--scope", "notes:read", "--default-scope", "notes:read", "--json")
	if code != 0 {
		t.Fatalf("client add: exit code %d\n%s", code, errs)
	}
	if !strings.Contains(p.output.String(), "admin call") {
		t.Error("the command did not reach the server")
	}
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	both.clients["backup"] = &storage.Client{ID: "backup", Secret: storage.Secret(made.Secret)}
	for range 2 {
		if answer := answered(t)(both.post("token", "backup", url.Values{"grant_type": {"client_credentials"}})); answer.status != http.StatusOK {
			t.Errorf("a client that was added is not known by all: %s", answer)
		}
	}
}

// TestProcessSaysWhatAPostgreSQLStoreLacks starts without a secret, with a wrong one, and
// on a database that has served nobody.
func TestProcessSaysWhatAPostgreSQLStoreLacks(t *testing.T) {
	dsn := onPostgreSQL(t)
	p := &process{dir: t.TempDir(), args: []string{"--listen", freeAddress(t)}}
	says := func(want string, args ...string) {
		t.Helper()
		if _, errs, code := p.command(t, args...); code != 1 || !strings.Contains(errs, want) || strings.Contains(errs, dsn) {
			t.Errorf("%v: exit code %d, without %q, or with the DSN:\n%s", args, code, want, errs)
		}
	}
	says("has served nobody yet; start the server first", "user", "list")
	if _, errs, code := p.command(t, "user", "add", "alice"); code != 0 {
		t.Errorf("user add: exit code %d\n%s", code, errs)
	}
	wrong := filepath.Join(p.dir, "wrong")
	if err := os.WriteFile(wrong, []byte(strings.ToLower(wrapping)), 0o600); err != nil {
		t.Fatal(err)
	}
	says("add the secret that this database was made with to store.secret_files", "user", "list", "--secret-file", wrong)
	t.Setenv("DOORWARD_SECRET_FILES", "")
	says("store.secret_files: found no secret for the database", "serve")
	says("can't be reached", "user", "list", "--secret-file", wrong, "--postgres-file", "", "--postgres", "host=/nowhere dbname=x")
}
