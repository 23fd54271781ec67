package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// Many addresses that guess at one account get no more than one address would, and the
// owner signs in all the same where they did before.
func TestManyAddressesGuessAtOneAccount(t *testing.T) {
	w := newWorld(t, options{})
	source := 0
	w.h.config.ClientAddr = func(*http.Request) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(source >> 16), byte(source >> 8), byte(source)})
	}
	form := func(password string) url.Values { return url.Values{"username": {"alice"}, "password": {password}} }
	owner := w.browser()
	owner.signIn("alice")
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	for source = 1; source <= defaultLimit*strangersFactor; source++ {
		b.post(place, form(fmt.Sprint("guess-", source))).shows(t, http.StatusUnprocessableEntity)
	}
	source++
	b.post(place, form("one more")).shows(t, http.StatusUnprocessableEntity)
	for range 3 {
		source++
		b.post(place, form("right")).shows(t, http.StatusTooManyRequests, "Please wait 60 seconds")
	}
	// The owner's browser has turns of its own, which are as few.
	source++
	again := owner.get(w.authorize("own", "prompt", "login")).to(t) + "?step=login"
	owner.post(again, form("right")).answer(t, "https://own.example/cb")
	again = owner.get(w.authorize("own", "prompt", "login")).to(t) + "?step=login"
	owner.post(again, form("mistyped")).shows(t, http.StatusUnprocessableEntity)
	owner.post(again, form("right")).shows(t, http.StatusTooManyRequests)
	w.advance(longestWait)
	owner.post(again, form("right")).answer(t, "https://own.example/cb")
	// Knowing one account says nothing of another, and a mark can't be made up.
	r, err := http.NewRequest(http.MethodGet, w.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	bob := w.store.Lookup("login account", accountKey("bob"))
	r.AddCookie(w.h.cookies.cookie(knownCookie, w.h.knownValue(bob), knownLife))
	if !w.h.knows(r, bob) || w.h.knows(r, w.store.Lookup("login account", accountKey("alice"))) {
		t.Error("the mark of one account counts for another")
	}
	w.advance(guessWindow)
	b.get(w.authorize("own")) // nothing of it lasts
	b.post(b.get(w.authorize("own")).to(t)+"?step=login", form("right")).answer(t, "https://own.example/cb")
}

// One address that sent many wrong passwords is slowed down and never closed: many
// people may stand behind it.
func TestAnAddressIsSlowedDown(t *testing.T) {
	w := newWorld(t, options{})
	known := w.browser()
	known.signIn("bob")
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	wrong := func(name string) page {
		return b.post(place, url.Values{"username": {name}, "password": {"wrong"}})
	}
	for i := range defaultLimit * addressFactor {
		if strings.Contains(w.logged(), "many wrong passwords") {
			t.Fatalf("slowed down after %d", i)
		}
		wrong(fmt.Sprint("user", i)).shows(t, http.StatusUnprocessableEntity)
	}
	slowed := wrong("another")
	slowed.shows(t, http.StatusTooManyRequests, "Please wait 2 seconds")
	if got := slowed.Header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After is %s", got)
	}
	// Who signed in before does not stand back, and takes nobody's turn.
	known.post(known.get(w.authorize("own", "prompt", "login")).to(t)+"?step=login", url.Values{"username": {"bob"}, "password": {"right"}}).answer(t, "https://own.example/cb")
	for range 3 {
		w.advance(time.Second)
		b.post(place, alice()).shows(t, http.StatusTooManyRequests, "Please wait 1 second")
		w.advance(time.Second)
		wrong("another").shows(t, http.StatusUnprocessableEntity)
	}
	// What was told is true, and right passwords take no turn.
	w.advance(addressPace)
	for range 2 {
		one := w.browser()
		one.post(one.get(w.authorize("own")).to(t)+"?step=login", alice()).answer(t, "https://own.example/cb")
	}
	if n := strings.Count(w.logged(), "many wrong passwords"); n != 1 || strings.Contains(w.logged(), "setting=Proxies") {
		t.Errorf("the operator is told %d times:\n%s", n, w.logged())
	}
	w.advance(guessWindow)
	for i := range 2 {
		wrong(fmt.Sprint("later", i)).shows(t, http.StatusUnprocessableEntity)
	}
}

// A clock that was ahead for a while, and is right again, holds nobody up for that long.
func TestAClockThatWasAheadHoldsNobodyUp(t *testing.T) {
	now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, ahead := range []time.Duration{guessWindow / 2, 24 * time.Hour} {
		g, try := newGuesses(), &attempt{turn: "alice"}
		if wait := g.begin(now.Add(ahead), try, 1, 1); wait != 0 {
			t.Fatal(wait)
		}
		g.count(now.Add(ahead), try.address, 1)
		g.end(try)
		if wait := g.begin(now, try, 1, 1); wait != 0 {
			t.Errorf("%v ahead: the address waits for %v", ahead, wait)
		}
	}
	codes := &codeGuesses{}
	if !codes.begin(now.Add(24*time.Hour), "alice", 1) || !codes.begin(now, "alice", 1) || codes.begin(now, "alice", 1) {
		t.Error("a user code waits for the time to come, or none is counted")
	}
}

func TestAProxyThatIsNotListedIsTold(t *testing.T) {
	w := newWorld(t, options{})
	w.h.config.LoginLimit = 1
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	for i := range addressFactor {
		r, err := http.NewRequest(http.MethodPost, w.absolute(place), strings.NewReader(url.Values{"username": {fmt.Sprint("user", i)}, "password": {"wrong"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		b.send(r).shows(t, http.StatusUnprocessableEntity)
	}
	if !strings.Contains(w.logged(), "setting=Proxies") {
		t.Errorf("nothing is said of the proxy:\n%s", w.logged())
	}
}

// Tries that run count, or many at once pass the limit.
func TestParallelGuessesFromOneAddress(t *testing.T) {
	hold, ran := make(chan struct{}), atomic.Int64{}
	w := newWorld(t, options{login: PasswordLogin{Verify: func(context.Context, string, string) (Subject, error) {
		ran.Add(1)
		<-hold
		return Subject{}, ErrWrongPassword
	}}})
	w.h.config.LoginLimit = 1
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	var all sync.WaitGroup
	var refused atomic.Int64
	for i := range 3 * addressFactor {
		all.Go(func() {
			got := b.post(place, url.Values{"username": {fmt.Sprint("user", i)}, "password": {"wrong"}})
			if got.StatusCode == http.StatusTooManyRequests && refused.Add(1) == 2*addressFactor {
				close(hold)
			}
		})
	}
	time.AfterFunc(10*time.Second, func() {
		if refused.Load() < 2*addressFactor {
			close(hold)
		}
	})
	all.Wait()
	if n := ran.Load(); n != addressFactor {
		t.Errorf("%d passwords were tried, %d are the limit", n, addressFactor)
	}
}

// An account with two names has one limit.
func TestAllNamesOfAnAccountCountTogether(t *testing.T) {
	w := newWorld(t, options{login: PasswordLogin{Verify: verifyAlice, Account: func(_ context.Context, username string) (string, error) {
		switch username {
		case "alice@example.com":
			return "Alice", nil
		case "down":
			return "", storage.ErrUnavailable
		}
		return username, nil
	}}})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	for i := range defaultLimit + 1 {
		name := []string{"alice", "alice@example.com"}[i%2]
		b.post(place, url.Values{"username": {name}, "password": {"wrong"}}).shows(t, http.StatusUnprocessableEntity)
	}
	for _, name := range []string{"alice", "alice@example.com"} {
		b.post(place, url.Values{"username": {name}, "password": {"right"}}).shows(t, http.StatusTooManyRequests, `value="`+name+`"`)
	}
	b.post(place, url.Values{"username": {"down"}, "password": {"right"}}).shows(t, http.StatusServiceUnavailable)
}

// Who hangs up while the password is being checked has tried it all the same: over
// HTTP/1.1 the answer can still be read.
func TestGuessesOfWhoHangsUpCount(t *testing.T) {
	hung := make(chan struct{})
	w := newWorld(t, options{login: PasswordLogin{Verify: func(ctx context.Context, _, _ string) (Subject, error) {
		hung <- struct{}{}
		<-ctx.Done()
		return Subject{}, ErrWrongPassword
	}}})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	ctx, hangUp := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.absolute(place), strings.NewReader(url.Values{"username": {"alice"}, "password": {"guess"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	go func() { <-hung; hangUp() }()
	if answer, err := b.client.Do(r); err == nil {
		answer.Body.Close()
		t.Fatal("the client did not hang up")
	}
	account := w.h.store.Lookup("login account", accountKey("alice"))
	for range 6000 { // the handler goes on by itself
		if n, err := w.h.store.Counted(t.Context(), kindFailures, account); err != nil || n == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the guess was not counted")
}

// TestTally: a limit holds for each of many apart, ends with its window, and is told of
// once. WB-54
func TestTally(t *testing.T) {
	var counted tally[app]
	now := time.Unix(1e9, 0)
	alice, bob := app{"alice", "web"}, app{"bob", "web"}
	for range 3 {
		if wait, _ := counted.full(now, time.Hour, alice, 3); wait != 0 {
			t.Fatalf("must wait %s before the limit", wait)
		}
		counted.add(alice, 1)
	}
	now = now.Add(20 * time.Minute)
	wait, first := counted.full(now, time.Hour, alice, 3)
	if _, again := counted.full(now, time.Hour, alice, 3); wait != 40*time.Minute || !first || again {
		t.Errorf("must wait %s, told %v and %v", wait, first, again)
	}
	if wait, _ := counted.full(now, time.Hour, bob, 3); wait != 0 {
		t.Error("another person must wait")
	}
	counted.add(alice, -1)
	if wait, _ := counted.full(now, time.Hour, alice, 3); wait != 0 {
		t.Error("what was taken back counts")
	}
	counted.add(alice, 5)
	if wait, _ := counted.full(now.Add(time.Hour), time.Hour, alice, 3); wait != 0 {
		t.Error("the window does not end")
	}
}
