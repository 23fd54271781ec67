package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/syscalls"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// TestPowerLoss has clients use a server whose disk notes every write and sync, and then
// cuts the power at many moments: the database is made again without what was not synced
// (or with any part of it), opened, checked, and held to what clients had been told before
// that moment. DOORWARD_POWER_CUTS is how many times. RFC 6749 §10.5, RFC 9700 §4.14.2
func TestPowerLoss(t *testing.T) {
	if os.Getenv(powerMarker) == "" {
		inWatchedChild(t)
		return
	}
	d := &disk{}
	if err := syscalls.Watch(d.judge); err != nil {
		if os.Getenv("DOORWARD_REQUIRE") != "" && !errorsIsForbidden(err) {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	const eachHistory = 100
	images := 60
	if testing.Short() {
		images = 20
	}
	images = demanded(t, "DOORWARD_POWER_CUTS", images)
	seed := uint64(demanded(t, "DOORWARD_SEED", 1+rand.IntN(1<<30)))
	t.Logf("DOORWARD_SEED=%d", seed)
	o := &outage{disk: d, random: rand.New(rand.NewPCG(seed, 0))}
	// A few cuts may miss something by chance; then there is another history.
	for begun := 0; !t.Failed() && (begun < images || begun < images+5*eachHistory && o.lacks()); begun += eachHistory {
		o.history(t, min(eachHistory, images))
	}
	t.Logf("%d power cuts in %d histories of %d writes and %d syncs: %s; sign-outs %d", o.images, o.histories, o.writes, o.syncs, &o.found, o.left)
	if t.Failed() {
		return
	}
	o.found.hold(t)
	if o.left == 0 {
		t.Error("no sign-outs were met; the test proves nothing about them")
	}
}

// lacks says whether there is something that was not met yet.
func (o *outage) lacks() bool { return len(o.found.missing()) > 0 || o.left == 0 }

const powerMarker = "DOORWARD_TEST_WATCHED"

func errorsIsForbidden(err error) bool { return strings.Contains(err.Error(), syscall.EPERM.Error()) }

// inWatchedChild runs the calling test again in a process of its own, since what watches a
// process can't be taken away again.
func inWatchedChild(t *testing.T) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))
	child.Env = append(os.Environ(), powerMarker+"=1")
	out, err := child.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "        ") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip("system calls can't be watched here")
	}
}

// outage is a server that clients use, and what is made of its disk.
type outage struct {
	disk   *disk
	random *rand.Rand
	world  *world
	key    []byte // that opens the database

	pasts  []*past
	joined []*joining
	gone   []*leaving

	found                                  tally
	images, histories, writes, syncs, left int
}

// deed is one request and its answer. sent and done are how many calls the disk had seen
// then; done is 0 while there is no answer.
type deed struct {
	what                  string // code, exchange, refresh, revoke, revoke access
	sent, done            int64
	code, access, refresh string
}

// past is one grant from its beginning.
type past struct {
	w        *worker
	verifier string
	deeds    []deed
}

// asOf is what the client knew of it when the disk had seen so many calls; nil when
// nothing.
func (p *past) asOf(at int64) *chain {
	c := &chain{client: p.w.client, verifier: p.verifier}
	for _, d := range p.deeds {
		if d.sent >= at {
			break
		}
		if d.done == 0 || d.done > at {
			c.pending = d.what
			break
		}
		switch d.what {
		case "code":
			c.code = d.code
		case "exchange", "refresh":
			c.access, c.refresh = append(c.access, d.access), append(c.refresh, d.refresh)
		case "revoke":
			c.revoked = true
		case "revoke access":
			last := len(c.access) - 1
			c.accessed, c.access = c.access[last], c.access[:last]
		}
	}
	if c.code == "" {
		return nil
	}
	return c
}

// near says whether something of it was under way, or had just been answered.
func (p *past) near(at int64) bool {
	const justNow = 40 // calls
	for _, d := range p.deeds {
		if d.sent < at && (d.done == 0 || d.done > at-justNow) {
			return true
		}
	}
	return false
}

// do makes one request of a grant and notes it; false when it was not answered well.
func (o *outage) do(p *past, what string, request func() (*reply, error)) (*reply, bool) {
	p.deeds = append(p.deeds, deed{what: what, sent: o.disk.count.Load()})
	answer, err := request()
	if err != nil || answer.status != http.StatusOK && answer.location() == nil {
		return answer, false
	}
	d := &p.deeds[len(p.deeds)-1]
	d.done = o.disk.count.Load()
	d.access, d.refresh = answer.text("access_token"), answer.text("refresh_token")
	if to := answer.location(); to != nil {
		d.code = to.Query().Get("code")
	}
	return answer, true
}

// live does one sign-in with all that follows, as worker.work does.
func (o *outage) live(w *worker) (*past, bool) {
	address, verifier := w.authorizeURL(w.client, nil)
	p := &past{w: w, verifier: verifier}
	answer, ok := o.do(p, "code", func() (*reply, error) { return send(w.who.client, http.MethodGet, address, nil, "") })
	if !ok {
		return p, false
	}
	answer, ok = o.do(p, "exchange", func() (*reply, error) {
		return w.exchange(w.client, answer.location().Query().Get("code"), verifier, nil)
	})
	for range rand.IntN(4) {
		if ok {
			answer, ok = o.do(p, "refresh", func() (*reply, error) { return w.refresh(w.client, answer.text("refresh_token"), nil) })
		}
	}
	if !ok {
		return p, false
	}
	revoke := func(name string) func() (*reply, error) {
		return func() (*reply, error) { return w.post("revoke", w.client, url.Values{"token": {answer.text(name)}}) }
	}
	switch rand.IntN(4) {
	case 0:
		_, ok = o.do(p, "revoke", revoke("refresh_token"))
	case 1:
		_, ok = o.do(p, "revoke access", revoke("access_token"))
	}
	return p, ok
}

// history has clients busy until the disk has seen enough, and looks at n images.
func (o *outage) history(t *testing.T, n int) {
	t.Helper()
	o.pasts, o.joined, o.gone = nil, nil, nil
	dir := t.TempDir()
	o.world = start(t, plan{backend: "bolt", dir: dir})
	var workers []*worker
	for _, client := range []string{"own", "strict", "own", "until", "strict", "fixed"} {
		w := &worker{process: &process{site: o.world.site}, who: o.world.person(), client: client}
		o.world.mustCode(t, w.who, client)
		workers = append(workers, w)
	}
	admitted := o.world.person()
	o.world.mustCode(t, admitted, "own")
	var err error
	path := filepath.Join(dir, "doorward.db")
	if o.key, err = os.ReadFile(path + ".key"); err != nil {
		t.Fatal(err)
	}
	o.disk.begin(t, path)
	var mu sync.Mutex
	var failed atomic.Bool
	enough := int64(25 * n)
	busy := func() bool { return o.disk.count.Load() < max(enough, 800) && !failed.Load() }
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() {
			for busy() {
				p, ok := o.live(w)
				mu.Lock()
				o.pasts = append(o.pasts, p)
				mu.Unlock()
				if !ok {
					failed.Store(true)
				}
			}
		})
	}
	all.Go(func() {
		for busy() {
			j, ok := o.join(admitted)
			o.joined = append(o.joined, j)
			if !ok {
				failed.Store(true)
			}
		}
	})
	all.Go(func() {
		for busy() {
			l, ok := o.leave()
			o.gone = append(o.gone, l)
			if !ok {
				failed.Store(true)
			}
		}
	})
	all.Wait()
	o.disk.end(t)
	if failed.Load() {
		t.Fatal("a request failed while nothing was wrong")
	}
	o.histories++
	for _, e := range o.disk.events {
		switch e.kind {
		case syscalls.Write:
			o.writes++
		case syscalls.Sync:
			o.syncs++
		}
	}
	o.lies(t)
	for _, c := range o.disk.cuts(o.random, n) {
		o.images++
		if found := o.look(t, o.disk.after(c, o.random), int64(c.at), nil); len(found) > 0 {
			t.Errorf("%v: %s", c, strings.Join(found, "; "))
			o.keep(t, c)
			return
		}
	}
}

// lies has a disk forget what it said was synced, which must be found: else the test would
// prove nothing.
func (o *outage) lies(t *testing.T) {
	t.Helper()
	for _, p := range o.pasts {
		if len(p.deeds) < 2 || p.deeds[1].done == 0 {
			continue
		}
		c := cut{int(p.deeds[1].sent), losses()[0]}
		if found := o.look(t, o.disk.after(c, o.random), p.deeds[1].done, p); len(found) == 0 {
			t.Errorf("a disk that lost an exchange which it had synced is not found out")
		}
		return
	}
	t.Error("no code was exchanged")
}

// keep leaves the image of a violation behind, so that somebody can look at it.
func (o *outage) keep(t *testing.T, c cut) {
	t.Helper()
	dir, err := os.MkdirTemp("", "doorward-power-")
	if err == nil {
		path := filepath.Join(dir, "doorward.db")
		if err = o.disk.after(c, o.random).save(path); err == nil {
			err = os.WriteFile(path+".key", o.key, 0o600)
		}
	}
	t.Logf("a database after such a cut is in %s (%v)", dir, err)
}

// look opens an image and holds it to what was known when the disk had seen so many
// calls. only, if there is one, is all that is looked at.
func (o *outage) look(t *testing.T, p *platter, at int64, only *past) (found []string) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "doorward-power-")
	if err != nil {
		dir = t.TempDir()
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "doorward.db")
	if err := p.save(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".key", o.key, 0o600); err != nil {
		t.Fatal(err)
	}
	then := o.disk.events[min(int(at), len(o.disk.events)-1)].at
	w, err := newWorld(plan{backend: "bolt", dir: dir, ahead: time.Until(then)})
	if err != nil {
		return []string{"it can't be opened: " + err.Error()}
	}
	defer w.backend.Close()
	v := &verdict{TB: t}
	v.hear(func() {
		o.check(v, w)
		o.judge(v, w, at, only)
		o.check(v, w) // what was written on it since is sound as well
	})
	return v.found
}

func (o *outage) check(t testing.TB, w *world) {
	t.Helper()
	if _, err := w.backend.(*bolt.Backend).Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if _, err := w.server.Store().Check(t.Context()); err != nil {
		t.Errorf("check of the seals: %v", err)
	}
}

// judge holds a world to what was near the cut, and to some of what was long before.
func (o *outage) judge(t testing.TB, w *world, at int64, only *past) {
	t.Helper()
	site := &process{site: w.site}
	const sample = 4
	pasts, joined, gone := []*past{only}, []*joining(nil), []*leaving(nil)
	if only == nil {
		pasts, joined, gone = nil, o.joined, o.gone
		for _, p := range o.pasts {
			if p.near(at) || o.random.IntN(len(o.pasts)) < sample {
				pasts = append(pasts, p)
			}
		}
	}
	for _, p := range pasts {
		c := p.asOf(at)
		if c == nil {
			continue
		}
		(&worker{process: site, client: c.client}).judge(t, c, &o.found)
		(&worker{process: site, client: c.client, who: elsewhere(w, p.w.who.client.Jar)}).judgeSession(t)
	}
	for _, j := range joined {
		j.judge(t, site, at, &o.found)
	}
	for _, l := range gone {
		if l.done != 0 && l.done <= at && at-l.done < 200 {
			o.left++
			l.judge(t, w)
		}
	}
}

// elsewhere is a person with the cookies of a browser, at another world.
func elsewhere(w *world, jar http.CookieJar) *person {
	p := w.person()
	p.client.Jar = jar
	return p
}

// joining is a client that registers itself, and a person who allows it something.
type joining struct {
	client                          *storage.Client
	who                             *person
	access                          string
	registered, consented, removing int64
	removed                         int64
}

func (o *outage) join(who *person) (*joining, bool) {
	w := o.world
	j := &joining{who: who}
	body := fmt.Sprintf(`{"redirect_uris":["https://j%d.test/cb"],"scope":"openid profile notes:read"}`, numbered.Add(1))
	made, err := w.registers(http.MethodPost, w.endpoint("register"), "", body)
	if err != nil || made.status != http.StatusCreated {
		return j, false
	}
	j.registered = o.disk.count.Load()
	j.client = &storage.Client{}
	if json.Unmarshal(made.body, j.client) != nil {
		return j, false
	}
	j.client.ID, j.client.Secret = made.text("client_id"), storage.Secret(made.text("client_secret"))
	w.entering.Lock()
	w.clients[j.client.ID] = j.client
	w.entering.Unlock()
	code, verifier, err := w.code(who, j.client.ID, "alice", url.Values{"scope": {"openid profile"}})
	if err != nil {
		return j, false
	}
	j.consented = o.disk.count.Load()
	if numbered.Load()%3 > 0 {
		return j, true
	}
	answer, err := w.exchange(j.client.ID, code, verifier, nil)
	if err != nil || answer.status != http.StatusOK {
		return j, false
	}
	j.access, j.removing = answer.text("access_token"), o.disk.count.Load()
	gone, err := w.registers(http.MethodDelete, made.text("registration_client_uri"), made.text("registration_access_token"), "")
	if err != nil || gone.status != http.StatusNoContent {
		return j, false
	}
	j.removed = o.disk.count.Load()
	return j, true
}

func (j *joining) judge(t testing.TB, at *process, now int64, found *tally) {
	t.Helper()
	if j.registered == 0 || j.registered > now || now-j.registered > 400 {
		return
	}
	at.entering.Lock()
	at.clients[j.client.ID] = j.client
	at.entering.Unlock()
	must := (&worker{process: at}).must(t)
	known := must(at.post("introspect", j.client.ID, url.Values{"token": {"x"}})).status == http.StatusOK
	if j.removed != 0 && j.removed <= now {
		found.removed++
		if known || at.works(t, j.access) {
			t.Errorf("a client whose removal was acknowledged is back")
		}
		return
	}
	if j.removing != 0 && j.removing < now {
		return // it may be gone
	}
	found.registered++
	if !known {
		t.Errorf("a client whose registration was acknowledged is lost")
	}
	if j.consented != 0 && j.consented <= now {
		found.consents++
		silent, _ := at.authorizeURL(j.client.ID, url.Values{"prompt": {"none"}, "scope": {"openid profile"}})
		who := newPerson(at.issuer, at.transport)
		who.client.Jar = j.who.client.Jar
		if to := must(send(who.client, http.MethodGet, silent, nil, "")).location(); to == nil || to.Query().Get("code") == "" {
			t.Errorf("a consent that was acknowledged is lost: %v", to)
		}
	}
}

// leaving is a person who signs in and out again.
type leaving struct {
	home    *url.URL
	cookies []*http.Cookie // of the session that was ended
	done    int64
}

func (o *outage) leave() (*leaving, bool) {
	l, w := &leaving{}, o.world
	who := w.person()
	code, verifier, err := w.code(who, "own", "bob", nil)
	if err != nil {
		return l, false
	}
	tokens, err := w.exchange("own", code, verifier, nil)
	if err != nil || tokens.status != http.StatusOK {
		return l, false
	}
	if l.home, err = url.Parse(w.issuer); err != nil {
		return l, false
	}
	l.cookies = who.client.Jar.Cookies(l.home)
	answer, err := send(who.client, http.MethodGet, w.endpoint("logout")+"?id_token_hint="+tokens.text("id_token"), nil, "")
	if err != nil || answer.status >= http.StatusBadRequest {
		return l, false
	}
	l.done = o.disk.count.Load()
	return l, true
}

func (l *leaving) judge(t testing.TB, w *world) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(l.home, l.cookies)
	silent, _ := w.authorizeURL("own", url.Values{"prompt": {"none"}})
	answer, err := send(elsewhere(w, jar).client, http.MethodGet, silent, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if to := answer.location(); to == nil || to.Query().Get("error") != "login_required" {
		t.Errorf("a session whose end was acknowledged is back: %s", answer)
	}
}

// verdict hears what a test complains of, and keeps it.
type verdict struct {
	testing.TB
	found []string
}

// hear runs a part of a test that may end early.
func (v *verdict) hear(part func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		part()
	}()
	<-done
}

func (v *verdict) Error(args ...any) { v.found = append(v.found, fmt.Sprint(args...)) }

func (v *verdict) Errorf(format string, args ...any) {
	v.found = append(v.found, fmt.Sprintf(format, args...))
}

func (v *verdict) Fatal(args ...any) {
	v.Error(args...)
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.Errorf(format, args...)
	runtime.Goexit()
}
