package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// chain is what one worker received in one grant, and so what must hold of it after
// the crash.
type chain struct {
	client         string
	code, verifier string

	access  []string // every access token that arrived
	refresh []string // every refresh token that arrived, the newest last

	pending  string // what was asked last and never answered: exchange, refresh, revoke
	revoked  bool   // its end was acknowledged
	accessed string // an access token whose end was acknowledged
}

// worker is a person at a browser together with the client they use.
type worker struct {
	*process
	who    *person
	client string
	chains []*chain
}

// TestCrash kills the real binary while clients are busy, again and again over the
// same file, and holds it to what they were told before: every token works, what was
// revoked stays revoked, what was registered and allowed is there, and nothing that
// works once works twice. RFC 6749 §10.5, RFC 9700 §4.14.2
func TestCrash(t *testing.T) { crashes(t, crashRounds(t, 100)) }

// TestCrashOnPostgreSQL is the same with the state in a database that stays up.
func TestCrashOnPostgreSQL(t *testing.T) {
	onPostgreSQL(t)
	crashes(t, crashRounds(t, 15))
}

// crashRounds is how often a process is killed: DOORWARD_CRASHES times when that is set.
func crashRounds(t *testing.T, full int) int {
	t.Helper()
	if testing.Short() {
		full = 5
	}
	return demanded(t, "DOORWARD_CRASHES", full)
}

// demanded is a count that the environment may raise for a long run.
func demanded(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; write a number from 1", name, text)
	}
	return n
}

func crashes(t *testing.T, times int) {
	t.Helper()
	at := socket(t)
	p := launch(t, t.TempDir())
	r := newRegistrar(p, at)
	workers := make([]*worker, 0, 8)
	for _, client := range []string{"own", "strict", "own", "until", "strict", "own", "fixed", "strict"} {
		workers = append(workers, &worker{process: p, who: p.person(), client: client})
	}
	for _, w := range workers {
		if _, _, err := p.code(w.who, w.client, "alice", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.code(r.who, "own", "alice", nil); err != nil {
		t.Fatal(err)
	}
	var found tally
	// A few rounds may miss something by chance; then there are more.
	for round := 0; round < times || round < times+100 && len(found.missing()) > 0; round++ {
		load := time.Duration(20+rand.IntN(180)) * time.Millisecond
		if round%10 == 9 {
			load *= 5 // chains grow long
		}
		oneCrash(t, workers, r, load, &found)
		if t.Failed() {
			t.Logf("after %d crashes", round+1)
			break
		}
	}
	t.Logf("%d crashes: %s", found.crashes, &found)
	if !t.Failed() {
		found.hold(t)
	}
}

func oneCrash(t *testing.T, workers []*worker, r *registrar, load time.Duration, found *tally) {
	t.Helper()
	var stop atomic.Bool
	var busy sync.WaitGroup
	for _, w := range workers {
		w.chains = nil
		busy.Go(func() {
			for !stop.Load() && w.work() {
			}
		})
	}
	r.made = nil
	r.output.forget()
	busy.Go(func() {
		for !stop.Load() && r.work() {
		}
	})
	time.Sleep(load)
	r.kill()
	found.crashes++
	stop.Store(true)
	busy.Wait()
	begin := time.Now()
	r.run(t)
	found.restart = max(found.restart, time.Since(begin))
	for _, w := range workers {
		for _, c := range w.chains {
			w.judge(t, c, found)
		}
		w.judgeSession(t)
	}
	for _, made := range r.made {
		r.judge(t, made, found)
	}
}

// tally is what was looked at after the crashes.
type tally struct {
	crashes int

	grants, access, codes, old, revoked, registered, removed, consents, pending int

	restart time.Duration
}

func (f *tally) String() string {
	return fmt.Sprintf("%d grants, %d access tokens, %d codes and %d old refresh tokens tried again, %d revocations, %d clients registered and %d removed, %d consents, %d requests without an answer; slowest restart %v",
		f.grants, f.access, f.codes, f.old, f.revoked, f.registered, f.removed, f.consents, f.pending, f.restart.Round(time.Millisecond))
}

// missing is what was not met yet, about which nothing is proven then.
func (f *tally) missing() (kinds []string) {
	for what, n := range map[string]int{
		"access tokens": f.access, "codes": f.codes, "old refresh tokens": f.old, "revocations": f.revoked, "requests without an answer": f.pending,
		"registered clients": f.registered, "consents": f.consents,
	} {
		if n == 0 {
			kinds = append(kinds, what)
		}
	}
	return kinds
}

// hold fails a test that met too little.
func (f *tally) hold(t *testing.T) {
	t.Helper()
	for _, what := range f.missing() {
		t.Errorf("no %s were met; the test proves nothing about them", what)
	}
}

// work does one sign-in with all that follows; false when the server is gone.
func (w *worker) work() bool {
	address, verifier := w.authorizeURL(w.client, nil)
	answer, err := send(w.who.client, http.MethodGet, address, nil, "")
	if err != nil || answer.location() == nil {
		return false
	}
	c := &chain{client: w.client, code: answer.location().Query().Get("code"), verifier: verifier}
	w.chains = append(w.chains, c)
	take := func(pending string, answer *reply, err error) bool {
		if err != nil || answer.status != http.StatusOK {
			c.pending = pending
			return false
		}
		if a := answer.text("access_token"); a != "" {
			c.access, c.refresh = append(c.access, a), append(c.refresh, answer.text("refresh_token"))
		}
		return true
	}
	answer, err = w.exchange(c.client, c.code, c.verifier, nil)
	if !take("exchange", answer, err) {
		return false
	}
	for range rand.IntN(4) {
		answer, err = w.refresh(c.client, c.refresh[len(c.refresh)-1], nil)
		if !take("refresh", answer, err) {
			return false
		}
	}
	switch rand.IntN(4) {
	case 0:
		answer, err = w.post("revoke", c.client, url.Values{"token": {c.refresh[len(c.refresh)-1]}})
		if !take("revoke", answer, err) {
			return false
		}
		c.revoked = true
	case 1:
		last := len(c.access) - 1
		answer, err = w.post("revoke", c.client, url.Values{"token": {c.access[last]}})
		if !take("revoke access", answer, err) {
			return false
		}
		c.accessed, c.access = c.access[last], c.access[:last]
	}
	return true
}

// judge holds the server to one grant.
func (w *worker) judge(t testing.TB, c *chain, found *tally) {
	t.Helper()
	found.grants++
	if c.pending != "" {
		found.pending++
	}
	if c.accessed != "" && w.works(t, c.accessed) {
		t.Errorf("an access token whose revocation was acknowledged works after the crash")
	}
	if c.revoked {
		found.revoked++
	}
	for _, a := range c.access {
		found.access++
		switch works := w.works(t, a); {
		case c.revoked && works:
			t.Error("an access token of a grant whose revocation was acknowledged works after the crash")
		case !c.revoked && !works && c.pending != "revoke" && !(c.pending == "revoke access" && a == c.access[len(c.access)-1]):
			t.Errorf("an access token that was received is lost (pending %q)", c.pending)
		}
	}
	if len(c.refresh) == 0 {
		w.judgeUnanswered(t, c)
		return
	}
	if !c.revoked && c.pending != "revoke" {
		w.judgeChain(t, c, found)
	}
	// Last, because a replay by the right client ends the grant.
	found.codes++
	if answer := w.must(t)(w.exchange(c.client, c.code, c.verifier, nil)); answer.status == http.StatusOK {
		t.Error("a code works a second time after the crash")
	}
}

// judgeUnanswered looks at a code whose exchange was not answered: it may have been
// used or not, but it is not used twice.
func (w *worker) judgeUnanswered(t testing.TB, c *chain) {
	t.Helper()
	if c.code == "" {
		return
	}
	first := w.must(t)(w.exchange(c.client, c.code, c.verifier, nil))
	if c.pending == "" && first.status != http.StatusOK {
		t.Errorf("a code that was received is lost: %s", first)
	}
	if first.status == http.StatusOK && !w.works(t, first.text("access_token")) {
		t.Error("a code that survived the crash gave a dead token")
	}
	if second := w.must(t)(w.exchange(c.client, c.code, c.verifier, nil)); second.status == http.StatusOK {
		t.Error("a code whose exchange was cut off works twice")
	}
}

// judgeChain uses the newest refresh token, which must work, and then an older one,
// which must not.
func (w *worker) judgeChain(t testing.TB, c *chain, found *tally) {
	t.Helper()
	newest := c.refresh[len(c.refresh)-1]
	next := w.must(t)(w.refresh(c.client, newest, nil))
	if next.status != http.StatusOK {
		// Under strict a refresh that was carried out and not answered used it up.
		if c.client != "strict" || c.pending != "refresh" {
			t.Errorf("the newest refresh token is lost under %s (pending %q): %s", c.client, c.pending, next)
		}
		return
	}
	if c.client == "fixed" {
		return // it stays the same
	}
	if answer := w.must(t)(w.refresh(c.client, next.text("refresh_token"), nil)); answer.status != http.StatusOK {
		t.Errorf("the successor does not work under %s: %s", c.client, answer)
	}
	found.old++
	if answer := w.must(t)(w.refresh(c.client, c.refresh[0], nil)); answer.status == http.StatusOK {
		t.Errorf("an old refresh token works again after the crash under %s", c.client)
	}
}

// judgeSession holds the person's own session to have survived.
func (w *worker) judgeSession(t testing.TB) {
	t.Helper()
	address, _ := w.authorizeURL(w.client, url.Values{"prompt": {"none"}})
	answer := w.must(t)(send(w.who.client, http.MethodGet, address, nil, ""))
	if to := answer.location(); to == nil || to.Query().Get("code") == "" {
		t.Errorf("a person is signed out by the crash: %s", answer)
	}
}

func (w *worker) must(t testing.TB) func(*reply, error) *reply {
	return func(answer *reply, err error) *reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if answer.status >= http.StatusInternalServerError {
			t.Fatalf("after the crash: %s", answer)
		}
		return answer
	}
}
