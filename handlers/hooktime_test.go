package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

// slowHooks wait for their deadline and then say what they would have said, as if they
// did not look at their context.
func slowHooks(slow *bool) options {
	wait := func(ctx context.Context) {
		if *slow {
			<-ctx.Done()
		}
	}
	return options{login: PasswordLogin{Verify: func(ctx context.Context, name, password string) (Subject, error) {
		wait(ctx)
		return verifyAlice(ctx, name, password)
	}}, consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		wait(r.Context())
		in.Allow(rw, r)
	})}
}

// A hook that takes too long is told so by its context, and what it completes after
// that is refused.
func TestHooksHaveADeadline(t *testing.T) {
	var slow bool
	w := newWorld(t, slowHooks(&slow))
	b := w.browser()
	b.signIn("alice")
	place := b.get(w.authorize("notes")).to(t)
	slow, w.h.config.HookTime = true, 20*time.Millisecond
	if got := b.get(place); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the answer is %s %s", got.Status, got.Header.Get("Location"))
	}
	slow, w.h.config.HookTime = false, 0
	if got := b.get(place).answer(t, "https://notes.example/cb"); got.Get("code") == "" {
		t.Errorf("in time the client gets %v", got)
	}
}

// A password that is judged after the deadline signs nobody in, counts for nothing, and
// the answer is the same for right and wrong.
func TestAPasswordThatIsJudgedTooLate(t *testing.T) {
	var slow bool
	w := newWorld(t, slowHooks(&slow))
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	slow, w.h.config.HookTime = true, 20*time.Millisecond
	before := w.backend.Stats().Commits
	var bodies []string
	for _, password := range []string{"right", "wrong"} {
		got := b.post(place+"?step=login", url.Values{"username": {"alice"}, "password": {password}})
		got.shows(t, http.StatusServiceUnavailable, got.Header.Get("X-Request-Id"))
		bodies = append(bodies, strings.ReplaceAll(got.body, got.Header.Get("X-Request-Id"), ""))
		if c := got.Header["Set-Cookie"]; len(c) > 0 {
			t.Errorf("%s: the browser gets cookies: %v", password, c)
		}
	}
	if bodies[0] != bodies[1] {
		t.Errorf("a right password is answered with\n%s\na wrong one with\n%s", bodies[0], bodies[1])
	}
	if n := w.backend.Stats().Commits - before; n != 0 {
		t.Errorf("%d commits were made", n)
	}
	if !strings.Contains(w.logged(), "reason=hook_deadline") || strings.Contains(w.logged(), "wrong_password") {
		t.Errorf("the log says:\n%s", w.logged())
	}
	slow, w.h.config.HookTime = false, 0
	if got := b.post(place+"?step=login", alice()).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("in time the client gets %v", got)
	}
}

// Whoever hangs up is not late, and being late does not depend on it.
func TestHangingUpIsNotBeingLate(t *testing.T) {
	w := newWorld(t, options{})
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	r, err := http.NewRequestWithContext(gone, http.MethodPost, w.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := &Interaction{h: w.h}
	w.h.config.HookTime = time.Hour
	within, cancel := w.h.timed(r, in)
	defer cancel()
	<-within.Context().Done()
	if !errors.Is(within.Context().Err(), context.Canceled) || !in.inTime() {
		t.Errorf("who hung up: %v, in time %v", within.Context().Err(), in.inTime())
	}
	w.h.config.HookTime = time.Nanosecond
	_, cancel = w.h.timed(r, in)
	defer cancel()
	for in.inTime() { // ends when the timer has fired
		runtime.Gosched()
	}
	cancel()
	if in.inTime() {
		t.Error("the time is not over any more")
	}
}

// What else a host answers after the deadline is refused as well.
func TestAnswersOfTheHostThatAreLate(t *testing.T) {
	var slow bool
	wait := func(ctx context.Context) {
		if slow {
			<-ctx.Done()
		}
	}
	w := newWorld(t, options{steps: []Step{{
		Name:   "terms",
		Needed: func(ctx context.Context, _ *Interaction) (bool, error) { wait(ctx); return false, nil },
		Serve:  func(http.ResponseWriter, *http.Request, *Interaction) {},
	}}})
	b := w.browser()
	b.signIn("alice")
	slow, w.h.config.HookTime = true, 20*time.Millisecond
	b.get(w.authorize("own")).shows(t, http.StatusServiceUnavailable)
	slow = false
	w.open(options{login: ExistingSession{LoginURL: "/login", CurrentUser: func(r *http.Request) (Subject, error) {
		wait(r.Context())
		return Subject{ID: "u1", AuthTime: w.h.now()}, nil
	}}})
	if got := b.get(w.authorize("own")).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Fatalf("in time the client gets %v", got)
	}
	slow, w.h.config.HookTime = true, 20*time.Millisecond
	b.get(w.authorize("own")).shows(t, http.StatusServiceUnavailable)
}
