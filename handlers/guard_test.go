package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// A person who signs out in one tab while another one is on its way must not be
// signed in again by it.
func TestASessionThatEndedIsNotRevived(t *testing.T) {
	w := newWorld(t, options{})
	ctx := t.Context()
	var session *storage.Session
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	err := w.store.Do(ctx, func(ctx context.Context) (err error) {
		_, session, _, err = w.h.signIn(ctx, r, Subject{ID: "u1", AuthTime: w.now}, present{}, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.h.session(ctx, session.Key)
	if err != nil || p.ID != "u1" {
		t.Fatalf("the session is %+v, %v", p, err)
	}
	if err := w.h.sessions.Delete(ctx, session.Key); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * seenEvery)
	err = w.store.Do(ctx, func(ctx context.Context) error { return w.h.still(ctx, p) })
	if !errors.Is(err, errSignedOut) {
		t.Errorf("the use of a session that ended is noted: %v", err)
	}
	if again, err := w.h.session(ctx, session.Key); err != nil || !again.nobody() {
		t.Errorf("the session is back: %+v, %v", again, err)
	}
}

// Many requests may find at once that the use of a session is to be noted. One does it.
func TestTheUseOfASessionIsNotedOnce(t *testing.T) {
	w := newWorld(t, options{})
	ctx := t.Context()
	var session *storage.Session
	err := w.store.Do(ctx, func(ctx context.Context) (err error) {
		_, session, _, err = w.h.signIn(ctx, httptest.NewRequest(http.MethodGet, "/", nil), Subject{ID: "u1", AuthTime: w.now}, present{}, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(2 * seenEvery)
	p, err := w.h.session(ctx, session.Key)
	if err != nil {
		t.Fatal(err)
	}
	var seen time.Time
	for range 2 { // both have read the session before either wrote
		if err := w.store.Do(ctx, func(ctx context.Context) error { return w.h.still(ctx, p) }); err != nil {
			t.Fatal(err)
		}
		again, err := w.h.session(ctx, session.Key)
		if err != nil || again.session.SeenAt.Equal(session.SeenAt) || !seen.IsZero() && !again.session.SeenAt.Equal(seen) {
			t.Fatalf("seen at %v, then at %v; %v", seen, again.session.SeenAt, err)
		}
		seen = again.session.SeenAt
		w.advance(time.Second)
	}
}

// A consent that is written by a request which is overtaken by a disconnect
// counts for nothing.
func TestConsentOfAnOlderEpoch(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	b.signIn("alice")
	place := b.get(w.authorize("notes")).to(t)
	b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb")
	b.get(w.authorize("notes")).answer(t, "https://notes.example/cb")
	if err := w.h.epochs.Raise(t.Context(), w.h.epochs.OfApp("sub-alice", "notes"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	b.get(b.get(w.authorize("notes")).to(t)).shows(t, http.StatusOK, "Allow")
}

func TestHintSpeaksOfOneSession(t *testing.T) {
	at := func(subject, session string) present {
		return present{Subject: Subject{ID: subject, SessionID: session}}
	}
	for _, c := range []struct {
		hint *engine.Hint
		p    present
		want bool
	}{
		{&engine.Hint{Subject: "a", SessionID: "1"}, at("a", "1"), true},
		{&engine.Hint{Subject: "a", SessionID: "1"}, at("a", "2"), false},
		{&engine.Hint{Subject: "a", SessionID: "1"}, at("b", "1"), false},
		{&engine.Hint{Subject: "a"}, at("a", "2"), true}, // a host without session IDs
		{&engine.Hint{Subject: "a"}, at("b", ""), false},
		{nil, at("a", "1"), false},
	} {
		if got := (&farewell{hint: c.hint}).speaksOf(c.p); got != c.want {
			t.Errorf("hint %+v of %+v: %v", c.hint, c.p, got)
		}
	}
}

// OpenID Connect Discovery §3, RFC 8414 §2
func TestMetadataTellsWhatIsMounted(t *testing.T) {
	w := newWorld(t, options{})
	get := func(at Endpoints) map[string]any {
		serve, err := w.h.Metadata(at, Offer{Scopes: []string{"openid"}, Grants: []string{"urn:x"}})
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		serve(rec, httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil))
		if rec.Header().Get("Access-Control-Allow-Origin") != "*" || rec.Header().Get("ETag") == "" {
			t.Errorf("the headers are %v", rec.Header())
		}
		var doc map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	doc := get(Endpoints{Authorize: "https://id.example/a", Token: "https://id.example/t", Introspect: "https://id.example/i"})
	if doc["issuer"] != w.url || doc["authorization_endpoint"] != "https://id.example/a" || doc["authorization_response_iss_parameter_supported"] != true {
		t.Errorf("the document is %v", doc)
	}
	for _, absent := range []string{"end_session_endpoint", "revocation_endpoint", "revocation_endpoint_auth_methods_supported", "jwks_uri"} {
		if _, ok := doc[absent]; ok {
			t.Errorf("%s is told and not mounted", absent)
		}
	}
	for _, printed := range []string{"request_uri_parameter_supported", "require_request_uri_registration"} {
		if v, ok := doc[printed].(bool); !ok || v {
			t.Errorf("%s is %v; left out it would mean something else", printed, doc[printed])
		}
	}
}

// Revoking a person or a session, by an operator say, ends it in the browser too.
func TestRevokedSessionsEnd(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	silent := func() string {
		return b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb").Get("error")
	}
	b.signIn("alice")
	if got := silent(); got != "" {
		t.Fatalf("after the sign-in: %s", got)
	}
	if err := w.h.engine.RevokeSubject(t.Context(), "sub-alice"); err != nil {
		t.Fatal(err)
	}
	if got := silent(); got != "login_required" {
		t.Errorf("after the person was revoked: %q", got)
	}
	b.signIn("alice")
	sessions, _, err := w.h.sessions.List(t.Context(), storage.IndexSubject, w.store.SubjectKey("sub-alice"), storage.Page{Descending: true})
	if err != nil || len(sessions) == 0 {
		t.Fatalf("the sessions are %v, %v", sessions, err)
	}
	if got := silent(); got != "" {
		t.Fatalf("after a new sign-in: %s", got)
	}
	for _, s := range sessions {
		if err := w.h.engine.RevokeSession(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := silent(); got != "login_required" {
		t.Errorf("after the session was revoked: %q", got)
	}
}

// Who is revoked between the page and the decision consents to nothing: the grant
// would carry the new epochs and outlive the revocation.
func TestARevokedPersonConsentsToNothing(t *testing.T) {
	for name, revoke := range map[string]func(*world, string) error{
		"person":  func(w *world, _ string) error { return w.h.engine.RevokeSubject(t.Context(), "sub-alice") },
		"session": func(w *world, id string) error { return w.h.engine.RevokeSession(t.Context(), id) },
	} {
		t.Run(name, func(t *testing.T) {
			var w *world
			w = newWorld(t, options{consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
				if err := revoke(w, in.Subject.SessionID); err != nil {
					t.Error(err)
				}
				in.Allow(rw, r)
			})})
			b := w.browser()
			b.signIn("alice")
			place := b.get(w.authorize("notes")).to(t)
			if to := b.post(place+"?step=consent", decide("allow")).to(t); to != place {
				t.Errorf("the decision leads to %s", to)
			}
			b.get(b.get(place).to(t)).shows(t, http.StatusOK, "Sign in")
		})
	}
}

// With prompt=none nobody may read in a directory's failure that the person is signed out.
func TestAFailingSilentLoginIsUnavailable(t *testing.T) {
	w := newWorld(t, options{login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		in.Fail(rw, r, errors.New("the directory is down"))
	})})
	if got := w.browser().get(w.authorize("own", "prompt", "none")).answer(t, ownCallback); got.Get("error") != "temporarily_unavailable" {
		t.Errorf("the client gets %v", got)
	}
}

func TestTheLogNamesTheWholeAddress(t *testing.T) {
	w := newWorld(t, options{})
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = "[2001:db8::17]:443"
	w.h.logWrong(r, "wrong_password")
	if !strings.Contains(w.logged(), "address=2001:db8::17") {
		t.Errorf("the log is %s", w.logged())
	}
	if got := w.h.addressOf(r).String(); got != "2001:db8::/64" {
		t.Errorf("what counts as one source is %s", got)
	}
}

// The second of two clicks on Sign out finds nothing left to do: if it wrote the same
// again, many would contend until some are told to come back later.
func TestSigningOutTwiceWritesOnce(t *testing.T) {
	w := newWorld(t, options{})
	ctx := t.Context()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for _, stored := range []bool{false, true} {
		var session *storage.Session
		err := w.store.Do(ctx, func(ctx context.Context) (err error) {
			_, session, _, err = w.h.signIn(ctx, r, Subject{ID: "u1", AuthTime: w.now}, present{}, false)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.h.session(ctx, session.Key)
		if err != nil {
			t.Fatal(err)
		}
		var at *resumed
		if stored {
			rec, id, secret := w.h.newLogout(url.Values{})
			if err := w.h.records.Insert(ctx, rec); err != nil {
				t.Fatal(err)
			}
			at = &resumed{record: rec, id: id, secret: secret}
		}
		var epochs [2]uint64
		for i := range epochs {
			if e := w.h.endLogout(newResponse(), r, at, []present{p}, &farewell{}, true); e != nil {
				t.Fatal(e)
			}
			if epochs[i], err = w.h.epochs.At(ctx, w.h.epochs.OfSession(session.ID)); err != nil {
				t.Fatal(err)
			}
		}
		if epochs[0] == 0 || epochs[0] != epochs[1] {
			t.Errorf("stored %v: the epoch of the session is %d, then %d", stored, epochs[0], epochs[1])
		}
	}
}

// A session middleware of the host may have set its cookie before we set ours.
func TestHeadersOfTheHostStay(t *testing.T) {
	w := newWorld(t, options{})
	rec := httptest.NewRecorder()
	http.SetCookie(rec, &http.Cookie{Name: "host", Value: "1"})
	rec.Header().Set("Vary", "Accept-Encoding")
	r := httptest.NewRequest(http.MethodGet, w.absolute(w.authorize("notes")), nil)
	w.h.Authorize(rec, r)
	if got := rec.Result().Cookies(); len(got) != 2 || got[0].Name != "host" {
		t.Errorf("the cookies are %v", got)
	}
	rec.Header().Del("Set-Cookie")
	r = httptest.NewRequest(http.MethodOptions, w.url+"/oauth/token", nil)
	r.Header.Set("Origin", "https://spa.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	w.h.Token(rec, r)
	if got := rec.Header().Values("Vary"); len(got) != 2 {
		t.Errorf("Vary is %q", got)
	}
}

// Two different clicks at once: whoever is told to be signed out is.
func TestSigningOutBesideStaying(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	b.signIn("alice")
	place := b.get("/oauth/logout").to(t)
	for range 2 { // a double click
		b.post(place+"?step=logout", decide("stay")).shows(t, http.StatusOK, "You are still signed in")
	}
	b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb")
	sessions, _, err := w.h.sessions.List(t.Context(), storage.IndexSubject, w.store.SubjectKey("sub-alice"), storage.Page{})
	if err != nil || len(sessions) != 1 {
		t.Fatalf("the sessions are %v, %v", sessions, err)
	}
	p, err := w.h.session(t.Context(), sessions[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	rec, e := w.h.load(t.Context(), lastElement(place))
	if e != nil {
		t.Fatal(e)
	}
	// This one had read the interaction before the other closed it.
	if e := w.h.endLogout(newResponse(), httptest.NewRequest(http.MethodPost, "/", nil), &resumed{record: rec, id: lastElement(place)}, []present{p}, &farewell{}, true); e != nil {
		t.Fatal(e)
	}
	if p, err := w.h.session(t.Context(), sessions[0].Key); err != nil || !p.nobody() {
		t.Errorf("the session goes on: %+v, %v", p, err)
	}
}
