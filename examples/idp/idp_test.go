package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buffer is an output that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a server that was started by its command line.
type running struct {
	t        *testing.T
	issuer   string
	out, log *buffer
	signals  chan os.Signal
	ended    chan int
}

// start runs the program until it is ready; it is stopped at the end of the test.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, out: &buffer{}, log: &buffer{}, signals: make(chan os.Signal, 2), ended: make(chan int, 1)}
	ready := filepath.Join(t.TempDir(), "ready")
	go func() {
		r.ended <- run(context.Background(), streams{strings.NewReader(""), r.out, r.log}, r.signals, append(args, "--ready-file", ready))
	}()
	for range 2400 {
		if body, err := os.ReadFile(ready); err == nil {
			r.issuer = strings.TrimSpace(string(body))
			t.Cleanup(func() { r.stop() })
			return r
		}
		select {
		case code := <-r.ended:
			t.Fatalf("it ended with %d:\n%s", code, r.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("it was never ready:\n%s", r.log)
	return nil
}

// stop sends SIGTERM and returns the exit code.
func (r *running) stop() int {
	r.t.Helper()
	select {
	case r.signals <- syscall.SIGTERM:
	default:
	}
	select {
	case code := <-r.ended:
		r.ended <- code
		return code
	case <-time.After(2 * time.Minute):
		r.t.Errorf("it does not stop:\n%s", r.log)
		return -1
	}
}

// printed returns what stands behind a label of the frame.
func (r *running) printed(label string) string {
	r.t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(label) + ` +(\S+)`).FindStringSubmatch(r.out.String())
	if found == nil {
		r.t.Fatalf("%s was not printed:\n%s", label, r.out)
	}
	return found[1]
}

// invoke runs a command to its end.
func invoke(in string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), streams{strings.NewReader(in), &o, &e}, nil, args)
	return code, o.String(), e.String()
}

// must runs a command that has to go well.
func must(t *testing.T, in string, args ...string) string {
	t.Helper()
	code, out, errs := invoke(in, args...)
	if code != exitOK {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

// mustFail runs a command that has to fail and to say so.
func mustFail(t *testing.T, code int, text string, args ...string) {
	t.Helper()
	got, _, errs := invoke("", args...)
	if got != code || !strings.Contains(errs, text) {
		t.Errorf("%s: exit code %d, want %d; it says\n%s\nwithout %q", strings.Join(args, " "), got, code, errs, text)
	}
}

func TestTheWholeJob(t *testing.T) {
	store := filepath.Join(t.TempDir(), "x.db")
	r := start(t, "--listen", "localhost:0", "--store", store)
	if !strings.HasPrefix(r.issuer, "http://localhost:") || !strings.Contains(r.out.String(), "ready "+r.issuer+"\n") {
		t.Fatalf("the issuer %q does not follow the port:\n%s", r.issuer, r.out)
	}
	b := newBrowser(t)
	b.get(r.issuer+"/").sees("identity provider", "Demo application", "Your account", "Discovery document")
	b.signIn(r.issuer, r.printed("Username"), r.printed("Password"))
	b.sees("Hello, Demo User", "The sign-in is complete", "demo@example.com", "how the person signed in", "Userinfo", "Refresh token")
	b.post(r.issuer+"/demo/refresh").sees("The tokens were refreshed", "became", "ID token: a new one came and was verified", "demo@example.com")
	b.post(r.issuer + "/demo/userinfo").sees("Userinfo was asked again")
	b.get(r.issuer + "/demo").sees("Hello, Demo User") // a reload asks for nothing twice
	b.post(r.issuer+"/demo/logout").sees("You are signed out", "the provider ended your session", "The refresh token from before is refused: invalid_grant")
	b.get(r.issuer + "/demo").sees("Sign in with").submit().sees("Username") // the provider asks again

	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if got := newBrowser(t).get(r.issuer + path).body; got != want {
			t.Errorf("%s says %q", path, got)
		}
	}
	if icon := newBrowser(t).get(r.issuer + "/favicon.ico"); !strings.HasPrefix(icon.body, "<svg") || !strings.Contains(b.body, `rel="icon" href="`+icon.at.Path) {
		t.Errorf("the icon at %s is %q; the page is %s", icon.at, icon.body, b.body)
	}
	secrets := regexp.MustCompile(`[?&](code|state)=|dw[a-z]_\S{20}|` + regexp.QuoteMeta(r.printed("Password")) + "|" + regexp.QuoteMeta(r.printed("client_secret")))
	if found := secrets.FindString(r.log.String()); found != "" {
		t.Errorf("the log holds %q:\n%s", found, r.log)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, r.log)
	}
	if !strings.Contains(r.log.String(), "everything is stored and closed") {
		t.Errorf("it ended without a word:\n%s", r.log)
	}
}

// RFC 9207 §2.4, OpenID Connect Core §3.1.3
func TestTheDemoRefusesWhatItDidNotAskFor(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	b := newBrowser(t)
	b.get(r.issuer + "/demo/callback?code=x&state=y").sees("This sign-in began elsewhere")
	state := b.begin(r.issuer)
	b.get(r.issuer + "/demo/callback?code=x&state=another&iss=" + r.issuer).sees("This sign-in is over")
	if b.code != http.StatusBadRequest {
		t.Errorf("an unknown state is answered with %d", b.code)
	}
	b.get(r.issuer + "/demo/callback?code=x&state=" + state).sees("The answer is not from the provider")
	b.get(r.issuer + "/demo/callback?code=x&iss=" + r.issuer + "&state=" + state).sees("This sign-in is over") // once
	state = b.begin(r.issuer)
	b.get(r.issuer + "/demo/callback?code=wrong&iss=" + r.issuer + "&state=" + state).sees("The sign-in could not be completed")
	if b.code != http.StatusBadRequest {
		t.Errorf("a wrong code is answered with %d", b.code)
	}
	// Denied on the consent page.
	b.get(r.issuer+"/demo").submit().submit("username", r.printed("Username"), "password", r.printed("Password")).submit("decision", "deny")
	b.sees("You are not signed in", "access_denied")
	// Buttons pressed by another site.
	req, err := http.NewRequest(http.MethodPost, r.issuer+"/demo/refresh", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if b.read(b.http.Do(req)); b.code != http.StatusForbidden {
		t.Errorf("another site's button is answered with %d", b.code)
	}
}

func TestCommandsWorkWhileTheServerRunsAndWhenItDoesNot(t *testing.T) {
	store := filepath.Join(t.TempDir(), "x.db")
	at := []string{"--store", store}
	with := func(args ...string) []string { return append(args, at...) }
	mustFail(t, exitFailed, "there is no database", with("user", "list")...)
	r := start(t, "--listen", "localhost:0", "--store", store)

	if out := must(t, "", with("client", "list")...); !strings.Contains(out, "demo") {
		t.Errorf("the demo's client is not listed:\n%s", out)
	}
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	parse(t, must(t, "", with("client", "add", "backup", "--grant-type", "client_credentials", "--scope", "profile", "--default-scope", "profile", "--json")...), &client)
	if token := clientToken(t, r.issuer, client.ID, client.Secret); token == "" {
		t.Error("a client that was added while the server runs gets no token")
	}
	parse(t, must(t, "", with("client", "rotate-secret", "backup", "--keep", "0", "--json")...), &client)
	if clientToken(t, r.issuer, client.ID, client.Secret) == "" {
		t.Error("the new secret does not work")
	}
	must(t, "alices password\n", with("user", "add", "alice", "--name", "Alice", "--claim", "team=blue", "--password-stdin")...)
	b := newBrowser(t).signIn(r.issuer, "alice", "alices password").sees("Hello, Alice", "team", "blue")
	must(t, "", with("user", "disable", "alice")...)
	b.until(r.issuer+"/demo", "You were signed out").sees("The refresh token from before is refused: invalid_grant")
	must(t, "", with("user", "enable", "alice")...)
	b.post(r.issuer + "/demo/login").sees("Username") // what has ended stays so
	b = newBrowser(t)
	b.get(r.issuer+"/demo").submit().submit("username", "alice", "password", "alices password").sees("Hello, Alice") // consent is remembered
	must(t, "another password\n", with("user", "reset-password", "alice", "--password-stdin")...)
	b.until(r.issuer+"/demo", "You were signed out").sees("The refresh token from before is refused: invalid_grant")
	b.post(r.issuer + "/demo/login").sees("Username") // the session at the provider has ended too
	must(t, "", with("user", "disable", "alice")...)
	mustFail(t, exitFailed, "the server that runs on", with("user", "list", "--issuer", "https://other.example")...)
	mustFail(t, exitFailed, `there is no such user: "nobody"`, with("user", "disable", "nobody")...)
	mustFail(t, exitFailed, "redirect_uris[0]", with("client", "add", "bad", "--redirect-uri", "http://bad.example/cb")...)
	mustFail(t, exitUsage, "no password came on standard input", with("user", "add", "bob", "--password-stdin")...)
	// The demo goes on when its client's secret was rotated.
	must(t, "", with("client", "rotate-secret", "demo", "--keep", "0")...)
	newBrowser(t).signIn(r.issuer, r.printed("Username"), r.printed("Password")).sees("Hello, Demo User")

	r.stop()
	if _, err := os.Stat(store + ".sock"); err == nil {
		t.Error("the socket stayed behind")
	}
	// Without a server the same commands open the file, and find the issuer there.
	if out := must(t, "", with("user", "list")...); !strings.Contains(out, "alice") || !strings.Contains(out, "disabled") {
		t.Errorf("without the server there is\n%s", out)
	}
	must(t, "", with("user", "enable", "alice")...)
	must(t, "", with("client", "remove", "backup")...)
	mustFail(t, exitFailed, `there is no client "backup"`, with("client", "show", "backup")...)
}

func TestASecondStartKeepsWhatTheFirstMade(t *testing.T) {
	store := filepath.Join(t.TempDir(), "x.db")
	issuer := "http://" + freeAddress(t)
	first := start(t, "--issuer", issuer, "--store", store)
	password := first.printed("Password")
	first.stop()
	second := start(t, "--issuer", issuer, "--store", store)
	if strings.Contains(second.out.String(), "client_secret") || !strings.Contains(second.out.String(), "user reset-password demo") {
		t.Errorf("the second start prints\n%s", second.out)
	}
	newBrowser(t).signIn(issuer, "demo", password).sees("Hello, Demo User")

	// A third on the same file and port is told both at once, and the second goes on.
	began := time.Now()
	code, _, errs := invoke("", "--issuer", issuer, "--store", store)
	if code != exitFailed || time.Since(began) > 30*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
	for _, text := range []string{"another program uses", "--listen", store, "process "} {
		if !strings.Contains(errs, text) {
			t.Errorf("%q is not in\n%s", text, errs)
		}
	}
	if newBrowser(t).get(issuer+"/readyz").body != "ready\n" {
		t.Error("the running server suffered")
	}
}

func TestAFailedStartMakesNothing(t *testing.T) {
	folder := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustFail(t, exitFailed, "idp can't start", "--listen", l.Addr().String(), "--store", filepath.Join(folder, "x.db"))
	wrong := []string{"--issuer", "https://id.example.com/", "--store", filepath.Join(folder, "x.db"), "--listen"}
	mustFail(t, exitFailed, "ends in a slash", append(wrong, "localhost:0")...)
	mustFail(t, exitFailed, "ends in a slash", append(wrong, l.Addr().String())...) // both reasons at once
	mustFail(t, exitFailed, "another program uses", append(wrong, l.Addr().String())...)
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	empty := filepath.Join(folder, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, exitFailed, empty, "--listen", "localhost:0", "--store", empty)
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "idp.yaml")
	file, environment, flag := "http://"+freeAddress(t), "http://"+freeAddress(t), "http://"+freeAddress(t)
	if err := os.WriteFile(config, []byte("issuer: "+file+"\nstore: {path: x.db}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, environment, want string }{
		{"", "", file}, {"", environment, environment}, {flag, environment, flag},
	} {
		t.Setenv("DOORWARD_ISSUER", c.environment)
		args := []string{"--config", config}
		if c.flag != "" {
			args = append(args, "--issuer", c.flag)
		}
		r := start(t, args...)
		var metadata struct{ Issuer string }
		parse(t, newBrowser(t).get(r.issuer+"/.well-known/openid-configuration").body, &metadata)
		if metadata.Issuer != c.want || r.issuer != c.want {
			t.Errorf("flag %q, environment %q: the issuer is %s, want %s", c.flag, c.environment, metadata.Issuer, c.want)
		}
		if newBrowser(t).get(r.issuer+"/demo").code != http.StatusNotFound {
			t.Error("with a configuration file the demo is on by itself")
		}
		r.stop()
	}
}

func TestConfigCheck(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "idp.yaml")
	if err := os.WriteFile(config, []byte("issuer: http://id.example.com/\nlisen: x\nclients:\n- client_id: web\n  scope: openid nonsense\nkeys: {algorithms: [HS256], data_rotation: 1h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := invoke("", "config", "check", config)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	// What the file's form and what the server finds, in the order of the lines.
	at := 0
	for _, text := range []string{
		":1: issuer: ", "https://id.example.com", ":2: lisen: ", `:4: clients[0] "web": `, `:5: clients[0] "web": scope: `, ":6: keys.algorithms[0]: ", ":6: keys.data_rotation: ",
	} {
		i := strings.Index(errs[at:], text)
		if i < 0 {
			t.Fatalf("%q is not there, or not in its place:\n%s", text, errs)
		}
		at += i
	}
	if out := must(t, "", "config", "check", "example.yaml"); !strings.HasPrefix(out, "OK") {
		t.Errorf("the example: %s", out)
	}
	mustFail(t, exitUsage, "which file?", "config", "check")
	mustFail(t, exitUsage, "unknown flag", "--nonsense")
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("the check left %v, %v", left, err)
	}
	// A start tells the same.
	mustFail(t, exitFailed, `:5: clients[0] "web": scope: `, "--config", config)
}

// The issuer may have a path; everything then stands under it.
func TestAnIssuerWithAPath(t *testing.T) {
	address := freeAddress(t)
	issuer := "http://" + address + "/auth"
	r := start(t, "--issuer", issuer, "--listen", address, "--store", filepath.Join(t.TempDir(), "x.db"))
	b := newBrowser(t)
	b.get(issuer).sees("identity provider")
	b.signIn(issuer, r.printed("Username"), r.printed("Password")).sees("Hello, Demo User")
	b.post(issuer + "/demo/logout").sees("the provider ended your session")
	style := regexp.MustCompile(`<link rel="stylesheet" href="([^"]+)"`).FindAllStringSubmatch(b.body, -1)
	if len(style) != 2 {
		t.Fatalf("stylesheets: %v", style)
	}
	for _, s := range style {
		if newBrowser(t).get("http://"+address+s[1]).code != http.StatusOK {
			t.Errorf("the stylesheet %s is not there", s[1])
		}
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	// A request that is never finished holds the server.
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.issuer, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const begun = "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
	if _, err := io.WriteString(conn, begun); err != nil {
		t.Fatal(err)
	}
	// It is asked for the rest when it is under way. RFC 9110 §10.1.1
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("the server says %q, %v", line, err)
	}
	r.signals <- syscall.SIGTERM
	select {
	case code := <-r.ended:
		t.Fatalf("it did not wait for the request: %d", code)
	case <-time.After(300 * time.Millisecond):
	}
	r.signals <- syscall.SIGINT
	select {
	case code := <-r.ended:
		if code != exitForced {
			t.Errorf("exit code %d", code)
		}
		r.ended <- code
	case <-time.After(time.Minute):
		t.Fatal("the second signal does not end it")
	}
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
}

func clientToken(t *testing.T, issuer, id, secret string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/oauth/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(id, secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b := newBrowser(t)
	b.read(b.http.Do(req))
	var answer struct {
		Token string `json:"access_token"`
	}
	parse(t, b.body, &answer)
	return answer.Token
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeAddress returns an address on which nothing listens. Its port lies below those that
// systems give out by themselves, or somebody else might get it before the server starts.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
