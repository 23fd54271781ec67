package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// deviceWorld is a world with a television.
func deviceWorld(t *testing.T, o options) *world {
	t.Helper()
	w := newWorld(t, o)
	w.clients["tv"] = &storage.Client{
		ID: "tv", Name: "Notes TV", Scope: "openid notes offline_access", TokenEndpointAuthMethod: "none",
		GrantTypes: []string{storage.GrantDeviceCode, storage.GrantRefreshToken},
	}
	w.mux.HandleFunc("/oauth/device_authorization", w.route((*Handlers).DeviceAuthorization))
	w.mux.HandleFunc("/oauth/device", w.route((*Handlers).Device))
	return w
}

// codes are what a device got.
type codes struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

func (w *world) television() codes {
	w.t.Helper()
	b := w.browser()
	form := url.Values{"client_id": {"tv"}, "scope": {"openid notes offline_access"}}
	r, err := http.NewRequest(http.MethodPost, w.url+"/oauth/device_authorization", strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "NotesTV/2 \u202e<b>")
	answer := b.send(r)
	answer.shows(w.t, 200)
	var c codes
	if err := json.Unmarshal([]byte(answer.body), &c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// poll returns the error that a device gets, or "" with its tokens.
func (w *world) poll(c codes) string {
	w.t.Helper()
	answer := w.browser().post("/oauth/token", url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {c.DeviceCode}, "client_id": {"tv"}})
	var told struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(answer.body), &told); err != nil || (told.Error == "") != (answer.StatusCode == http.StatusOK) {
		w.t.Fatalf("%s: %s", answer.Status, answer.body)
	}
	return told.Error
}

func typed(code string) url.Values { return url.Values{"user_code": {code}} }

// RFC 8628 §3.1, §3.2
func TestDeviceAuthorizationAnswers(t *testing.T) {
	w := deviceWorld(t, options{})
	c := w.television()
	if c.URI != w.url+"/oauth/device" || c.Complete != c.URI+"?user_code="+c.UserCode || c.ExpiresIn != 600 || c.Interval != 5 {
		t.Errorf("the device got %+v", c)
	}
	b := w.browser()
	b.get("/oauth/device_authorization").shows(t, 405)
	b.post("/oauth/device_authorization", url.Values{"client_id": {"notes"}, "scope": {"openid"}}).shows(t, 400, "unauthorized_client")
	b.post("/oauth/device_authorization", url.Values{"client_id": {"tv"}, "scope": {"profile"}}).shows(t, 400, "invalid_scope")
	b.post("/oauth/device_authorization", url.Values{"scope": {"openid"}}).shows(t, 401, "invalid_client")
	b.post("/oauth/device_authorization?client_id=tv", url.Values{"scope": {"openid"}}).shows(t, 400, "invalid_request")
}

// RFC 8628 §3.3, §3.3.1, §3.5
func TestDeviceIsAllowed(t *testing.T) {
	w := deviceWorld(t, options{})
	c := w.television()
	if got := w.poll(c); got != "authorization_pending" {
		t.Errorf("the device is told %q", got)
	}
	b := w.browser()
	// The link fills in the code and does nothing else, however often it is opened.
	for range 3 {
		b.get(c.Complete).shows(t, 200, `value="`+c.UserCode+`"`, "exactly this code")
	}
	place := b.post("/oauth/device", typed(strings.ToLower(c.UserCode))).to(t)
	b.get(place).to(t) // to the login
	b.get(place).shows(t, 200, "Sign in", "Notes TV")
	b.post(place+"?step=login", alice()).to(t)
	b.get(place).shows(t, 200, "Notes TV", "Read your notes", "while you are away", "127.0.0.1", "NotesTV/2 &lt;b&gt;", "Allow only a device of your own")
	w.advance(6 * time.Second)
	if got := w.poll(c); got != "authorization_pending" {
		t.Errorf("before the answer the device is told %q", got)
	}
	b.post(place+"?step=consent", decide("allow")).to(t)
	for range 2 { // the second as by a double click
		b.get(place).shows(t, 200, "You can go back to your device", "Notes TV")
		b.post(place+"?step=consent", decide("allow")).shows(t, 200, "You can go back to your device")
		b.post(place+"?step=consent", decide("deny")).shows(t, 200, "You can go back to your device")
	}
	if got := w.poll(c); got != "" {
		t.Errorf("the device is told %q", got)
	}
	if got := w.poll(c); got != "invalid_grant" {
		t.Errorf("a second time the device is told %q", got)
	}
	b.post("/oauth/device", typed(c.UserCode)).shows(t, 422, "not known, or it is no longer valid")

	// Who is signed in is asked nevertheless, and for every device anew.
	c = w.television()
	place = b.post("/oauth/device", typed(c.UserCode)).to(t)
	b.get(place).to(t)
	b.get(place).shows(t, 200, "Signed in as", "alice", "Allow only a device of your own")
	if got := w.poll(c); got != "authorization_pending" {
		t.Errorf("the device is told %q", got)
	}
	b.post(place+"?step=consent", decide("deny")).to(t)
	b.get(place).shows(t, 200, "The device was not connected")
	if got := w.poll(c); got != "access_denied" {
		t.Errorf("the device is told %q", got)
	}
}

// A first-party client and a consent hook that allows everything do not get around the
// page: who sends a link would be let in. RFC 8628 §5.4
func TestDeviceIsAlwaysAskedFor(t *testing.T) {
	called := false
	w := deviceWorld(t, options{consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		called = true
		in.Allow(rw, r)
	})})
	w.clients["tv"].FirstParty = true
	b := w.browser()
	b.signIn("alice")
	c := w.television()
	place := b.post("/oauth/device", typed(c.UserCode)).to(t)
	b.get(place).to(t)
	b.get(place).shows(t, 200, "The request came from")
	// Nor is signing in here and now an answer.
	fresh := w.browser()
	d := w.television()
	place = fresh.post("/oauth/device", typed(d.UserCode)).to(t)
	fresh.get(place).to(t)
	fresh.post(place+"?step=login", alice()).to(t)
	fresh.get(place).shows(t, 200, "The request came from")
	if called || w.poll(c) != "authorization_pending" || w.poll(d) != "authorization_pending" {
		t.Error("the device was allowed without a page")
	}
}

// A login that declines, as the built-in page can, tells the device.
func TestDeviceIsDeniedAtLogin(t *testing.T) {
	w := deviceWorld(t, options{})
	c, b := w.television(), w.browser()
	place := b.post("/oauth/device", typed(c.UserCode)).to(t)
	b.get(place).to(t)
	b.post(place+"?step=login", decide("deny")).to(t)
	b.get(place).shows(t, 200, "The device was not connected")
	if got := w.poll(c); got != "access_denied" {
		t.Errorf("the device is told %q", got)
	}
}

func TestDeviceLoginSeesTheDevice(t *testing.T) {
	var seen *Interaction
	subject := Subject{ID: "sub-alice"}
	w := deviceWorld(t, options{login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		seen = in
		in.Accept(rw, r, subject)
	})})
	b := w.browser()
	c := w.television()
	place := b.post("/oauth/device", typed(c.UserCode)).to(t)
	b.get(place).to(t)
	subject.ID = "" // a fault of the hook is no answer of the person
	b.get(place).shows(t, 500)
	subject.ID = "sub-alice"
	b.get(place).to(t)
	b.get(place).shows(t, 200, "The request came from")
	if seen == nil || seen.Device == nil || seen.Device.Address != "127.0.0.1" || seen.Client.Host != "another device" {
		t.Errorf("the login sees %+v", seen)
	}
}

func TestDeviceCodeIsBoundToTheBrowser(t *testing.T) {
	w := deviceWorld(t, options{})
	c, b, other := w.television(), w.browser(), w.browser()
	place := b.post("/oauth/device", typed(c.UserCode)).to(t)
	other.post("/oauth/device", typed(c.UserCode)).shows(t, 422, "not known")
	other.get(place).shows(t, 403, "another browser")
	other.post(place+"?step=consent", decide("allow")).shows(t, 403)
	// In its own browser it can be typed again, after the page was closed.
	again := b.post("/oauth/device", typed(c.UserCode)).to(t)
	if again == place {
		t.Error("typing the code again leads to the same page")
	}
	b.get(again).to(t)
	b.post(again+"?step=login", alice()).to(t)
	b.post(again+"?step=consent", decide("allow")).to(t)
	// The page that was left open is not asked any more.
	b.get(place).shows(t, 400, "answered already")
}

func TestDeviceFormFromElsewhere(t *testing.T) {
	w := deviceWorld(t, options{})
	c, b := w.television(), w.browser()
	r, err := http.NewRequest(http.MethodPost, w.url+"/oauth/device", strings.NewReader(typed(c.UserCode).Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://evil.example")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	b.send(r).shows(t, 403, "another site")
	b.post("/oauth/device", url.Values{}).shows(t, 422, "Enter the code")
	b.get("/oauth/device?user_code=%3Cscript%3E"+strings.Repeat("x", 90)).shows(t, 200, "&lt;script&gt;xxxxxxxxxxx…")
	if got := w.poll(c); got != "authorization_pending" {
		t.Errorf("the device is told %q", got)
	}
}

func TestDeviceExpiresAtThePage(t *testing.T) {
	w := deviceWorld(t, options{})
	c, b := w.television(), w.browser()
	b.signIn("alice")
	place := b.post("/oauth/device", typed(c.UserCode)).to(t)
	b.get(place).to(t)
	w.advance(10 * time.Minute)
	b.get(place).shows(t, 400, "The code has expired")
	b.post(place+"?step=consent", decide("allow")).shows(t, 400, "The code has expired")
	if got := w.poll(c); got != "expired_token" {
		t.Errorf("the device is told %q", got)
	}
}

// Guessing ends, for a while, and for nobody else. RFC 8628 §5.1
func TestDeviceGuessing(t *testing.T) {
	w := deviceWorld(t, options{})
	c, b, stranger := w.television(), w.browser(), w.browser()
	b.signIn("alice")
	for range codesOfPerson + 1 { // what is right counts for nothing
		b.post("/oauth/device", typed(c.UserCode)).to(t)
	}
	for n := range codesOfPerson {
		b.post("/oauth/device", typed(fmt.Sprintf("BBBB-BBB%c", 'B'+n%2))).shows(t, 422, "not known")
	}
	slowed := b.post("/oauth/device", typed(c.UserCode))
	slowed.shows(t, 429, "too many wrong codes")
	if slowed.Header.Get("Retry-After") != "900" || !strings.Contains(w.logged(), "user_code_slowed") {
		t.Error("neither the answer nor the log tells how long it is")
	}
	w.open(options{}) // as another process
	b.post("/oauth/device", typed(c.UserCode)).shows(t, 429, "too many wrong codes")
	for range codesOfAddress {
		stranger.post("/oauth/device", typed("BBBB-BBBB")).shows(t, 422)
	}
	stranger.post("/oauth/device", typed("BBBB-BBBB")).shows(t, 429)
	w.advance(guessWindow)
	b.post("/oauth/device", typed(w.television().UserCode)).to(t)
	stranger.post("/oauth/device", typed(w.television().UserCode)).to(t)
}

// Many guesses at the same moment are not more than one after another.
func TestDeviceGuessingAtOnce(t *testing.T) {
	w := deviceWorld(t, options{})
	var told sync.Map
	var done sync.WaitGroup
	for n := range 2 * codesOfAddress {
		done.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/oauth/device", strings.NewReader(typed("BBBB-BBBB").Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			out := httptest.NewRecorder()
			w.h.Device(out, r)
			told.Store(n, out.Code)
		})
	}
	done.Wait()
	judged := 0
	told.Range(func(_, status any) bool {
		if status == http.StatusUnprocessableEntity {
			judged++
		}
		return true
	})
	if judged != codesOfAddress {
		t.Errorf("%d guesses were judged", judged)
	}
}

// With a session of the host's own the device is signed in by it, and the code is
// tried as the person who is signed in.
func TestDeviceWithTheHostsSession(t *testing.T) {
	w := deviceWorld(t, options{login: ExistingSession{
		CurrentUser: func(r *http.Request) (Subject, error) {
			return Subject{ID: "sub-carol", SessionID: "host-session"}, nil
		},
		LoginURL: "/login",
	}})
	c, b := w.television(), w.browser()
	place := b.post("/oauth/device", typed(c.UserCode)).to(t)
	b.get(place).to(t)
	b.get(place).shows(t, 200, "sub-carol")
	b.post(place+"?step=consent", decide("allow")).to(t)
	if got := w.poll(c); got != "" {
		t.Errorf("the device is told %q", got)
	}
}
