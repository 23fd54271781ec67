package handlers

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
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
