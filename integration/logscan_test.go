package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"
)

// secrets are all values that must be seen by nobody but their owners, by what they are.
type secrets struct {
	mu    sync.Mutex
	known map[string]string
}

func (s *secrets) add(what, value string) {
	if len(value) < 8 {
		return // too short to be told from other text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[value] = what
}

// listener notes every secret that goes over the wire, in either direction.
type listener struct {
	to   http.RoundTripper
	kept *secrets
}

func (l listener) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, c := range r.Cookies() {
		l.kept.add("a cookie", c.Value)
	}
	answer, err := l.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, c := range answer.Cookies() {
		l.kept.add("a cookie", c.Value)
	}
	if to, err := answer.Location(); err == nil {
		l.kept.add("a code", to.Query().Get("code"))
		if _, id, ok := strings.Cut(to.Path, "/interaction/"); ok {
			l.kept.add("an interaction", id)
		}
	}
	return answer, nil
}

// TestNoSecretIsWritten runs every kind of request, good and bad, at the most
// talkative log level, and then looks for every token, code, secret, password,
// verifier and cookie in the log and in the files of the database. RFC 9700 §4.3,
// RFC 6819 §5.1.4.1
func TestNoSecretIsWritten(t *testing.T) {
	dir := t.TempDir()
	w := start(t, plan{backend: "bolt", dir: dir})
	kept := &secrets{known: map[string]string{}}
	for _, c := range w.clients {
		kept.add("the secret of "+c.ID, string(c.Secret))
	}
	for name, password := range people {
		kept.add("the password of "+name, password)
	}
	for _, client := range []string{"web", "spa", "strict", "fixed", "legacy"} {
		flowsOf(t, w, kept, client)
	}
	refusals(t, w, kept)

	text := w.journal.all()
	if bytes.Count(text, []byte("request refused")) < 20 {
		t.Fatalf("the log tells of %d refusals; this test does not see it", bytes.Count(text, []byte("request refused")))
	}
	places := map[string][]byte{"the log": text}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if places[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(places["doorward.db"], []byte("grant")) {
		t.Fatal("there are no grants in doorward.db; this test does not see it")
	}
	kinds := map[string]int{}
	for _, what := range kept.known {
		kinds[what]++
	}
	sought := newTracker(kept.known)
	for place, text := range places {
		for _, found := range sought.in(text) {
			t.Errorf("there is in %s: %s", place, found)
		}
	}
	for _, what := range []string{"a cookie", "a code", "a verifier", "an access token", "a refresh token", "an ID token", "an interaction"} {
		if kinds[what] == 0 {
			t.Errorf("no secret of the kind %q was met; the test proves nothing about it", what)
		}
	}
	t.Logf("%d secrets were looked for: %v", len(kept.known), kinds)
}

// forms are how a secret might be written down.
func forms(value string) map[string]string {
	forms := map[string]string{"": value, " in hexadecimal": hex.EncodeToString([]byte(value)), " in a URL": url.QueryEscape(value)}
	if body := value[strings.IndexByte(value, '_')+1:]; strings.HasPrefix(value, "dw") && len(body) >= 40 {
		forms[" without its prefix"] = body
		if raw, err := base64.RawURLEncoding.DecodeString(body); err == nil {
			forms[" as bytes"] = string(raw[6:]) // the time before them is no secret
		}
	}
	return forms
}

// listening is a person all of whose secrets are noted.
func listening(t *testing.T, w *world, kept *secrets) *person {
	t.Helper()
	p := newPerson(w.issuer, listener{w, kept})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.client.Jar = jar
	return p
}

func (s *secrets) addTokens(r *reply) {
	s.add("an access token", r.text("access_token"))
	s.add("a refresh token", r.text("refresh_token"))
	s.add("an ID token", r.text("id_token"))
}

// flowsOf does with a client all that is good, and what comes of using things twice.
func flowsOf(t *testing.T, w *world, kept *secrets, client string) {
	t.Helper()
	must := func(r *reply, err error) *reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		kept.addTokens(r)
		return r
	}
	alice := listening(t, w, kept)
	for _, wrong := range []string{"a-wrong-password-of-alice", "another-wrong-password"} {
		kept.add("a wrong password", wrong)
		address, _ := w.authorizeURL(client, url.Values{"prompt": {"login"}})
		must(alice.open(address))
		must(alice.submit(url.Values{"username": {"alice"}, "password": {wrong}}))
	}
	code, verifier := w.mustCode(t, alice, client)
	kept.add("a code", code)
	kept.add("a verifier", verifier)
	guess := oauth2.GenerateVerifier()
	kept.add("a verifier", guess)
	must(w.exchange(client, code, guess, nil))
	must(w.exchange("other", code, verifier, nil))
	tokens := must(w.exchange(client, code, verifier, nil))
	refresh := tokens.text("refresh_token")
	next := must(w.refresh(client, refresh, nil))
	must(w.refresh(client, refresh, nil))
	must(w.refresh("other", refresh, nil))
	must(w.post("introspect", client, url.Values{"token": {next.text("access_token")}}))
	must(w.post("introspect", "other", url.Values{"token": {refresh}}))
	must(w.post("userinfo", "", url.Values{"access_token": {next.text("access_token")}}))
	must(send(alice.client, http.MethodGet, w.endpoint("userinfo")+"?access_token="+next.text("access_token"), nil, ""))
	must(w.exchange(client, code, verifier, nil))
	must(w.post("revoke", client, url.Values{"token": {next.text("access_token")}}))
	must(w.post("revoke", client, url.Values{"token": {refresh}}))
	must(send(alice.client, http.MethodGet, w.endpoint("logout")+"?id_token_hint="+tokens.text("id_token"), nil, ""))
}

// refusals sends secrets where they do not belong.
func refusals(t *testing.T, w *world, kept *secrets) {
	t.Helper()
	const wrong = "a-wrong-secret-of-a-client-0123"
	kept.add("a wrong secret", wrong)
	machine := w.clients["machine"]
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	basic := func(secret string) http.Header {
		h := form.Clone()
		h.Set("Authorization", basicHeader("machine", machine.Secret))
		if secret != "" {
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("machine:"+secret)))
		}
		return h
	}
	both := url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {string(machine.Secret)}}
	for _, r := range []struct {
		method, place, body string
		header              http.Header
	}{
		{http.MethodPost, "token", "grant_type=client_credentials", basic(wrong)},
		{http.MethodPost, "token", both.Encode(), basic("")},
		{http.MethodPost, "token?" + both.Encode(), both.Encode(), form},
		{http.MethodGet, "token?" + both.Encode(), "", nil},
		{http.MethodPost, "token", both.Encode() + "&client_secret=" + wrong, form},
		{http.MethodPost, "token", both.Encode(), http.Header{"Content-Type": {"text/plain; x=" + wrong}}},
		{http.MethodPost, "token", "client_id=machine&client_secret=%zz" + wrong, form},
		{http.MethodPost, "revoke", "token=" + wrong, basic(wrong)},
		{http.MethodPost, "introspect", "token=" + wrong, http.Header{"Content-Type": form["Content-Type"], "Authorization": {"Bearer " + wrong}}},
		{http.MethodGet, "userinfo", "", http.Header{"Authorization": {"Bearer " + wrong}}},
		{http.MethodGet, "interaction/dwi_" + wrong, "", nil},
	} {
		answer, err := send(&http.Client{Transport: w}, r.method, w.endpoint(r.place), r.header, r.body)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(answer.body, []byte(wrong)) || bytes.Contains(answer.body, []byte(machine.Secret)) {
			t.Errorf("%s %s: the answer repeats a secret: %s", r.method, r.place, answer)
		}
	}
	w.gate.writes.Store(true)
	if _, err := w.exchange("web", "dwc_"+wrong, oauth2.GenerateVerifier(), nil); err != nil {
		t.Fatal(err)
	}
	w.gate.writes.Store(false)
}
