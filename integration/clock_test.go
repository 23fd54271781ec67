package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/doorward/doorward/internal/clock"
	"github.com/doorward/doorward/server"
)

// wrist is the clock of a machine: time passes by it, and it may be wrong.
type wrist struct {
	start time.Time
	lived atomic.Int64 // what passed beside the test's own time
	wrong atomic.Int64
}

func (w *wrist) elapsed() time.Duration { return time.Since(w.start) + time.Duration(w.lived.Load()) }

func (w *wrist) wall() time.Time { return w.start.Add(w.elapsed() + time.Duration(w.wrong.Load())) }

// jumps are by what a clock is wrong all at once.
func jumps() map[string]time.Duration {
	return map[string]time.Duration{
		"an hour ahead": time.Hour, "an hour back": -time.Hour, "a day ahead": 24 * time.Hour, "a day back": -24 * time.Hour,
		"a year ahead": 365 * 24 * time.Hour, "back to 1970": time.Until(time.Unix(60, 0)),
	}
}

// TestClockJumps has the clock of a running server jump, forth and back, also to 1970 and
// to a far future, and somebody set it right again: what had expired stays so, and whoever
// signs in meanwhile gets tokens that work. RFC 6749 §10.4, RFC 9700 §4.14.2
func TestClockJumps(t *testing.T) {
	for _, backend := range []string{"memory", "bolt"} {
		for name, jump := range jumps() {
			t.Run(backend+", "+name, func(t *testing.T) {
				machine := &wrist{start: time.Now()}
				w := start(t, plan{backend: backend, configure: func(c *server.Config) {
					c.Clock = clock.Steady(machine.start.Round(0), machine.wall, machine.elapsed)
				}})
				alice := w.person()
				old := w.mustTokens(t, alice, "own").text("access_token")
				machine.lived.Store(int64(2 * time.Hour))
				if w.works(t, old) {
					t.Fatal("an access token lives longer than two hours")
				}
				young := w.mustTokens(t, alice, "own").text("access_token")
				code, verifier := w.mustCode(t, alice, "own")
				machine.wrong.Store(int64(jump))
				if w.works(t, old) {
					t.Error("an expired token is alive again")
				}
				if back := jump < 0; w.works(t, young) != back {
					t.Errorf("a token of a moment ago works: %v", !back)
				}
				if answer := answered(t)(w.exchange("own", code, verifier, nil)); (answer.status == http.StatusOK) != (jump < 0) {
					t.Errorf("a code from before the jump: %s", answer)
				}
				meanwhile := w.person()
				w.mustTokens(t, meanwhile, "own")
				if !signedIn(t, w.site, meanwhile) {
					t.Error("a session is born expired")
				}
				signsInAndRefreshes(t, w)
				machine.wrong.Store(0)
				if w.works(t, old) {
					t.Error("an expired token is alive once the clock is right again")
				}
				if signedIn(t, w.site, meanwhile) != (jump < 0) {
					t.Errorf("who signed in meanwhile is signed in: %v", jump > 0)
				}
				if w.mustTokens(t, meanwhile, "own"); !signedIn(t, w.site, meanwhile) {
					t.Error("who signed in meanwhile can't again")
				}
				if answer := answered(t)(w.exchange("own", code, verifier, nil)); answer.status == http.StatusOK && jump < 0 {
					t.Error("a code works twice")
				}
				signsInAndRefreshes(t, w)
			})
		}
	}
}

// signsInAndRefreshes is what must work whatever the clock says.
func signsInAndRefreshes(t *testing.T, w *world) {
	t.Helper()
	fresh := w.mustTokens(t, w.person(), "own")
	if !w.works(t, fresh.text("access_token")) {
		t.Error("a token is born expired")
	}
	next := answered(t)(w.refresh("own", fresh.text("refresh_token"), nil))
	if next.status != http.StatusOK || !w.works(t, next.text("access_token")) {
		t.Errorf("a refresh: %s", next)
	}
	if err := w.server.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: w.transport})
	for range 2 { // the keys from before the maintenance and after
		if _, err := oidc.NewRemoteKeySet(ctx, w.endpoint("jwks")).VerifySignature(ctx, fresh.text("id_token")); err != nil {
			t.Error(err)
		}
		fresh = w.mustTokens(t, w.person(), "own")
	}
}

// signedIn says whether a person signs in without being asked, and wants the client told
// that they have to where not. OpenID Connect Core §3.1.2.6
func signedIn(t *testing.T, s *site, who *person) bool {
	t.Helper()
	silent, _ := s.authorizeURL("own", url.Values{"prompt": {"none"}})
	to := answered(t)(send(who.client, http.MethodGet, silent, nil, "")).location()
	if to == nil || !to.Query().Has("code") && to.Query().Get("error") != "login_required" {
		t.Errorf("the client is told %v", to)
		return false
	}
	return to.Query().Has("code")
}

// TestStartWithTheClockBehind starts the real binary on a file that was written under a
// clock that was a day ahead: it says so in one sentence, and serves when its operator
// accepts that. Nothing that was issued then is lost. RFC 6749 §10.4
func TestStartWithTheClockBehind(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	ahead, err := newWorld(plan{backend: "bolt", dir: dir, issuer: "http://" + address, ahead: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	alice := ahead.person()
	tokens := ahead.mustTokens(t, alice, "own")
	if err := ahead.backend.Close(); err != nil {
		t.Fatal(err)
	}
	config := household(t, dir, "http://"+address)
	p := &process{dir: dir, args: []string{"--config", config, "--listen", address}, site: ahead.site}
	p.transport = newTransport()
	t.Cleanup(p.kill)
	out, errs, code := p.command(t, "serve", "--listen", address)
	if code != 1 || out != "" || strings.Count(errs, "\n  - ") != 1 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	for _, word := range []string{"the last commit was at", "set the clock right", "AcceptClock", "until it has caught up"} {
		if !strings.Contains(errs, word) {
			t.Errorf("it does not say %q: %s", word, errs)
		}
	}
	alter(t, config, func(file map[string]any) { file["insecure"] = map[string]bool{"accept_clock": true} })
	p.run(t)
	if !strings.Contains(p.output.String(), "the clock is behind the last commit and was accepted") {
		t.Errorf("it accepts the clock without a word:\n%s", p.output.String())
	}
	if !p.works(t, tokens.text("access_token")) {
		t.Error("an access token of the file is lost")
	}
	if next := answered(t)(p.refresh("own", tokens.text("refresh_token"), nil)); next.status != http.StatusOK {
		t.Errorf("a refresh token of the file is lost: %s", next)
	}
	alice.client.Transport = p.transport
	if signedIn(t, p.site, alice) {
		t.Error("a sign-in of tomorrow counts as one of now")
	}
	if fresh := p.mustTokens(t, alice, "own"); !p.works(t, fresh.text("access_token")) || !signedIn(t, p.site, alice) {
		t.Error("a token is born expired, or a session is")
	}
}

// alter changes a configuration file that household wrote.
func alter(t *testing.T, path string, change func(file map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := map[string]any{}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	change(file)
	if text, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRestartWhileTheClockCatchesUp restarts a file after its clock was put right: refused
// until the clock has caught up with the last commit to within a minute, then as ever; a
// file that was accepted before is still judged by the latest commit it has seen. RFC 6749
// §10.4
func TestRestartWhileTheClockCatchesUp(t *testing.T) {
	dir := t.TempDir()
	again := func(ahead time.Duration, accept bool) (*world, error) {
		return newWorld(plan{backend: "bolt", dir: dir, ahead: ahead, configure: func(c *server.Config) { c.Insecure.AcceptClock = accept }})
	}
	var old string
	for _, step := range []struct {
		name    string
		ahead   time.Duration
		accept  bool
		refused bool
	}{
		{"at first, a day ahead", 24 * time.Hour, false, false},
		{"put right", 0, false, true},
		{"accepted", 0, true, false},
		{"accepted no more", time.Hour, false, true},
		{"nearly there", 24*time.Hour - 30*time.Second, false, false},
		{"past the life of the token", 26 * time.Hour, false, false},
	} {
		w, err := again(step.ahead, step.accept)
		if refused := err != nil; refused != step.refused || refused && !strings.Contains(err.Error(), "set the clock right") {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.refused {
			continue
		}
		if old == "" {
			old = w.mustTokens(t, w.person(), "own").text("access_token")
		}
		if over := step.ahead > 25*time.Hour; w.works(t, old) == over {
			t.Errorf("%s: the first token works: %v", step.name, over)
		}
		signsInAndRefreshes(t, w)
		if err := w.backend.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
