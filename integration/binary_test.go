package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// built is the real binary, made once for all tests that need it.
var built struct {
	sync.Once
	dir, path string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	databases.Stop()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// binary returns the path of the single binary of examples/idp.
func binary(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "doorward-idp-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "idp")
		out, err := exec.Command("go", "build", "-o", built.path, "../examples/idp").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build ../examples/idp: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// process is a running binary.
type process struct {
	*site
	args   []string
	dir    string
	cmd    *exec.Cmd
	output lockedBuffer
	exited chan struct{}
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// forget drops what was written, which a thousand starts make long.
func (b *lockedBuffer) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Reset()
}

// household is a configuration file with the people and clients of world_test.go.
func household(t testing.TB, dir, issuer string) string {
	t.Helper()
	type user struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Name     string `json:"name"`
		Email    string `json:"email"`
	}
	type client struct {
		storage.Client
		Secret string `json:"client_secret,omitempty"`
	}
	file := map[string]any{
		"issuer": issuer, "store": map[string]any{"path": "doorward.db"}, "default_audience": "https://api.test",
		"scopes": []map[string]string{{"name": "notes:read", "description": "Read your notes"}, {"name": "notes:write", "description": "Write notes"}},
		"keys":   map[string]any{"algorithms": []string{"ES256"}},
	}
	var users []user
	for name, password := range people {
		users = append(users, user{name, password, strings.ToUpper(name[:1]) + name[1:], name + "@people.test"})
	}
	var clients []client
	for _, c := range cast() {
		secret := string(c.Secret)
		c.Insecure = storage.InsecureClient{}
		clients = append(clients, client{c, secret})
	}
	file["users"], file["clients"] = users, clients
	text, err := json.MarshalIndent(file, "", "  ") // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "idp.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// launch starts the binary in a folder and waits until it answers.
func launch(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	address := freeAddress(t)
	p := &process{dir: dir, site: &site{issuer: "http://" + address, clients: map[string]*storage.Client{}, transport: newTransport()}}
	for _, c := range cast() {
		p.clients[c.ID] = &c
	}
	if args == nil {
		args = []string{"--config", household(t, dir, p.issuer)}
	}
	p.args = append(args, "--listen", address)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.output.String()
			t.Logf("the binary wrote:\n%s", text[max(0, len(text)-4000):])
		}
	})
	p.run(t)
	return p
}

func newTransport() http.RoundTripper {
	return &http.Transport{MaxIdleConnsPerHost: 64, ResponseHeaderTimeout: ample}
}

// await waits until something is so.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(ample); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", ample, what)
		}
	}
}

// ample is how long something may take that takes a moment on a machine which does
// nothing else. It ends a test that would hang; it proves nothing.
const ample = 2 * time.Minute

// run starts the process, at first and again after a crash.
func (p *process) run(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(binary(t), p.args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, &p.output, &p.output
	said := len(p.output.String())
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := p.cmd, make(chan struct{})
	p.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is seen in what it wrote
	}()
	ctx, cancel := context.WithTimeout(t.Context(), ample)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.issuer+"/readyz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := p.transport.RoundTrip(r); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK && strings.Contains(p.output.String()[said:], "ready "+p.issuer) {
				return
			}
		}
		select {
		case <-exited:
			t.Fatalf("the binary ended at its start:\n%s", p.output.String())
		case <-ctx.Done():
			t.Fatalf("the binary did not answer in %v:\n%s", ample, p.output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kill ends the process at once, as a crash does.
func (p *process) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-p.exited
	if transport, ok := p.transport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
}

// freeAddress is one for a server that is started later, and again after it was killed.
// Its port lies below those that systems give out by themselves: one of them could go to
// somebody else while the server is down.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("localhost:%d", 20_000+rand.IntN(12_000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
