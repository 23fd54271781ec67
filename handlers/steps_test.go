package handlers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// deed is a step that wants to be done until it was, for each person.
func deed(name string, needed func(in *Interaction) bool, learn func(s *Subject)) Step {
	return Step{
		Name:   name,
		Needed: func(_ context.Context, in *Interaction) (bool, error) { return needed(in), nil },
		Serve: func(w http.ResponseWriter, r *http.Request, in *Interaction) {
			if r.Method != http.MethodPost {
				_, _ = w.Write([]byte("the page of " + in.Step + " for " + in.Subject.ID + " posts to " + in.Action))
				return
			}
			if r.PostFormValue("decision") == "deny" {
				in.Deny(w, r)
				return
			}
			s := in.Subject
			learn(&s)
			in.Done(w, r, s)
		},
	}
}

func factorAndOrg() []Step {
	return []Step{
		deed("factor", func(in *Interaction) bool { return !slices.Contains(in.Subject.AMR, "otp") }, func(s *Subject) { s.AMR, s.ACR = append(s.AMR, "otp"), "high" }),
		deed("org", func(in *Interaction) bool { return in.Subject.Org == "" }, func(s *Subject) { s.Org = "acme" }),
	}
}

func (b *browser) hasSession() bool {
	u, _ := url.Parse(b.w.url)
	return slices.ContainsFunc(b.client.Jar.Cookies(u), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "_"+sessionCookie) })
}

func TestStepsInTheirOrder(t *testing.T) {
	steps := factorAndOrg()
	w := newWorld(t, options{steps: steps})
	b := w.browser()
	place := b.get(w.authorize("notes")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	if b.hasSession() {
		t.Fatal("there is a session before the second factor")
	}
	// No URL leads past a step, neither of another step nor of the consent.
	for _, other := range []string{"?step=x-org", "?step=consent", "?step=login", "?step=nonsense"} {
		if got := b.post(place+other, decide("allow")).to(t); got != place {
			t.Errorf("a form for %s leads to %s", other, got)
		}
	}
	if got := b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("error") != "login_required" {
		t.Errorf("half of a login answers %v", got)
	}
	b.get(place).shows(t, http.StatusOK, "the page of factor for sub-alice")
	w.open(options{steps: steps}) // the server starts anew
	b.get(place).shows(t, http.StatusOK, "the page of factor for sub-alice")
	w.browser().get(place).shows(t, http.StatusForbidden, "another browser")
	if got := b.post(place+"?step=x-factor", nil).to(t); got != place {
		t.Fatalf("after the first step the browser is sent to %s", got)
	}
	b.post(place+"?step=x-factor", nil).to(t) // a double click
	b.get(place).shows(t, http.StatusOK, "the page of org", "?step=x-org")
	if b.hasSession() {
		t.Fatal("there is a session before the last step")
	}
	b.post(place+"?step=x-org", nil).to(t)
	b.get(place).shows(t, http.StatusOK, "Allow")
	if got := b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb"); got.Get("code") == "" {
		t.Fatalf("the client gets %v", got)
	}
	// What was learned is kept with the session.
	if got := b.get(w.authorize("own")).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("the next request gets %v", got)
	}
	b.post(place+"?step=x-org", nil).shows(t, http.StatusGone, "already been used")
}

func TestAStepOfWhoIsSignedIn(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	b.signIn("alice")
	steps := []Step{deed("org", func(in *Interaction) bool { return in.Subject.Org == "" }, func(s *Subject) { s.Org = "acme" })}
	w.open(options{steps: steps})
	if got := b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("error") != "interaction_required" {
		t.Errorf("with prompt=none the client gets %v", got)
	}
	place := b.get(w.authorize("own")).to(t)
	b.get(place).shows(t, http.StatusOK, "the page of org")
	if got := b.post(place+"?step=x-org", decide("deny")).answer(t, "https://own.example/cb"); got.Get("error") != "access_denied" {
		t.Errorf("after Deny the client gets %v", got)
	}
	place = b.get(w.authorize("own")).to(t)
	before := w.backend.Stats().Commits
	answer := b.post(place+"?step=x-org", nil)
	if answer.answer(t, "https://own.example/cb").Get("code") == "" || !strings.Contains(strings.Join(answer.Header["Set-Cookie"], " "), "_session=") {
		t.Errorf("the step ends with %v, %v: the session's token must be new", answer.to(t), answer.Header["Set-Cookie"])
	}
	if n := w.backend.Stats().Commits - before; n != 1 {
		t.Errorf("the step made %d commits", n)
	}
	b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb")
}

// An acr that is asked for is judged when the last step is taken, and a step can raise it
// for who is signed in already.
func TestAStepRaisesTheACR(t *testing.T) {
	steps := []Step{deed("factor", func(in *Interaction) bool { return len(in.EssentialACR) > 0 && in.Subject.ACR != "high" }, func(s *Subject) { s.ACR = "high" })}
	w := newWorld(t, options{steps: steps})
	b := w.browser()
	b.signIn("alice")
	for _, row := range [][2]string{{"high", ""}, {"higher", "unmet_authentication_requirements"}} {
		acr, want := row[0], row[1]
		place := b.get(w.authorize("own", "claims", `{"id_token":{"acr":{"essential":true,"values":["`+acr+`"]}}}`)).to(t)
		if acr == "higher" { // the session has high already, so only a sign-in could help
			b.get(place).shows(t, http.StatusOK, "Confirm it")
			if got := b.post(place+"?step=login", alice()).to(t); got != place {
				t.Fatalf("the login leads to %s", got)
			}
		}
		b.get(place).shows(t, http.StatusOK, "the page of factor")
		if got := b.post(place+"?step=x-factor", nil).answer(t, "https://own.example/cb"); got.Get("error") != want {
			t.Errorf("for acr %s the client gets %v", acr, got)
		}
	}
}

// What a hook does to its Interaction changes nothing of what was asked for.
func TestAHookCanNotChangeWhatWasAsked(t *testing.T) {
	lower := deed("lower", func(in *Interaction) bool {
		for i := range in.EssentialACR {
			in.EssentialACR[i] = ""
		}
		return false
	}, nil)
	w := newWorld(t, options{steps: []Step{lower}})
	b := w.browser()
	place := b.get(w.authorize("own", "claims", `{"id_token":{"acr":{"essential":true,"values":["high"]}}}`)).to(t)
	if got := b.post(place+"?step=login", alice()).answer(t, "https://own.example/cb"); got.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("the client gets %v", got)
	}
}

// Whoever is revoked between the password and the second factor gets no session.
func TestRevokedBetweenSteps(t *testing.T) {
	w := newWorld(t, options{steps: factorAndOrg()})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	if err := w.h.engine.RevokeSubject(t.Context(), "sub-alice"); err != nil {
		t.Fatal(err)
	}
	if got := b.post(place+"?step=x-factor", nil).to(t); got != place {
		t.Fatalf("the step leads to %s", got)
	}
	b.get(place)
	b.get(place).shows(t, http.StatusOK, "Sign in")
}

func TestAStepForgotten(t *testing.T) {
	w := newWorld(t, options{steps: factorAndOrg()})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	w.open(options{})
	if got := b.get(place).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("after the step was taken away the client gets %v", got)
	}
}

// A step is done once however often its form is sent at the same time.
func TestManyClicksOnAStep(t *testing.T) {
	w := newWorld(t, options{steps: factorAndOrg()[:1]})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() { got[i] = b.post(place+"?step=x-factor", nil).Header.Get("Location") })
	}
	wg.Wait()
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != 1 || !strings.Contains(got[0], "code=") {
		t.Errorf("eight clicks lead to %v", got)
	}
	list, err := w.h.Sessions(t.Context(), "sub-alice")
	if err != nil || len(list) != 1 {
		t.Errorf("eight clicks made %d sessions, %v", len(list), err)
	}
}

// A sign-in that ends with a step ends the session before it, as one without steps does:
// its token is worth nothing any more, and where one person may be signed in, nobody goes
// on as the one before.
func TestASignInWithStepsEndsTheSessionBefore(t *testing.T) {
	for _, several := range []int{1, 3} {
		w := newWorld(t, options{several: several, steps: factorAndOrg()})
		b := w.browser()
		enter := func(name string) {
			t.Helper()
			place := b.get(w.own("prompt", "login")).to(t)
			b.post(place+"?step=login", url.Values{"username": {name}, "password": {"right"}}).to(t)
			b.post(place+"?step=x-factor", nil).to(t)
			b.post(place+"?step=x-org", nil).answer(t, ownCallback)
		}
		count := func(sub string, want int) {
			t.Helper()
			if list, err := w.h.Sessions(t.Context(), sub); err != nil || len(list) != want {
				t.Errorf("with %d accounts %s has %d sessions, not %d, %v", several, sub, len(list), want, err)
			}
		}
		enter("alice")
		enter("bob")
		count("sub-alice", several/3)
		enter("bob")
		count("sub-bob", 1)
		enter("alice")
		count("sub-alice", 1)
		count("sub-bob", several/3)
	}
}
