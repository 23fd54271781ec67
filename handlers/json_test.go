package handlers

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// script sends a request as a page's fetch does.
func (b *browser) script(method, place, body string) (page, map[string]any) {
	b.w.t.Helper()
	r, err := http.NewRequest(method, b.w.absolute(place), strings.NewReader(body))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	answer := b.send(r)
	var told map[string]any
	if err := json.Unmarshal([]byte(answer.body), &told); err != nil {
		b.w.t.Fatalf("%s %s answers %s, no JSON: %s", method, place, answer.Status, answer.body)
	}
	return answer, told
}

func TestJSON(t *testing.T) {
	w := newWorld(t, options{steps: factorAndOrg()[:1]})
	notes := w.clients["notes"]
	notes.ClientURI, notes.LogoURI, notes.PolicyURI, notes.TOSURI = "https://notes.example/", "https://notes.example/logo.png", "https://notes.example/privacy", "https://notes.example/terms"
	b := w.browser()
	place := b.get(w.authorize("notes", "scope", "openid notes", "login_hint", "alice", "ui_locales", "de")).to(t)
	_, told := b.script(http.MethodGet, place, "")
	client, _ := told["client"].(map[string]any)
	if told["step"] != "login" || told["login_hint"] != "alice" || client["name"] != "Notes" || client["host"] != "notes.example" || !strings.HasSuffix(place, told["interaction"].(string)) {
		t.Fatalf("the interaction is told as %v", told)
	}
	for member, want := range map[string]any{"uri": notes.ClientURI, "logo_uri": notes.LogoURI, "policy_uri": notes.PolicyURI, "tos_uri": notes.TOSURI, "entered": true} {
		if client[member] != want {
			t.Errorf("%s of the client is told as %v, want %v", member, client[member], want)
		}
	}
	action := told["action"].(string)
	answer, told := b.script(http.MethodPost, action, `{"username":"alice","password":"wrong"}`)
	if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(told["message"].(string), "Passwort") {
		t.Errorf("a wrong password is answered %s %v", answer.Status, told)
	}
	if answer, told = b.script(http.MethodPost, action, `{`); answer.StatusCode != http.StatusBadRequest || told["error"] != "invalid_request" {
		t.Errorf("half of an object is answered %s %v", answer.Status, told)
	}
	_, told = b.script(http.MethodPost, action, `{"username":"alice","password":"right"}`)
	if told["redirect_to"] != w.url+place {
		t.Fatalf("the login leads to %v", told)
	}
	if _, told = b.script(http.MethodGet, place, ""); told["step"] != "factor" || told["account"] != "alice" {
		t.Fatalf("the step is told as %v", told)
	}
	b.script(http.MethodPost, told["action"].(string), `{}`)
	_, told = b.script(http.MethodGet, place, "")
	if scopes, _ := json.Marshal(told["scopes"]); told["step"] != "consent" || !strings.Contains(string(scopes), "Read your notes") {
		t.Fatalf("the consent is told as %v", told)
	}
	action = told["action"].(string)
	if answer, told = b.script(http.MethodPost, action, `{}`); answer.StatusCode != http.StatusUnprocessableEntity || told["step"] != "consent" {
		t.Errorf("no decision is answered %s %v", answer.Status, told)
	}
	_, told = b.script(http.MethodPost, action, `{"decision":"allow"}`)
	to, _ := told["redirect_to"].(string)
	if !strings.HasPrefix(to, "https://notes.example/cb?") || !strings.Contains(to, "code=") {
		t.Fatalf("the consent leads to %v", told)
	}
	if _, told = b.script(http.MethodPost, action, `{"decision":"allow"}`); told["redirect_to"] != to {
		t.Errorf("a double click leads to %v", told)
	}
	if answer, told = b.script(http.MethodGet, place, ""); answer.StatusCode != http.StatusGone || told["error"] != "invalid_request" || told["error_description"] == nil {
		t.Errorf("what is over is answered %s %v", answer.Status, told)
	}
	if answer, told = w.browser().script(http.MethodGet, place, ""); answer.StatusCode != http.StatusForbidden || told["error"] != "access_denied" {
		t.Errorf("another browser is answered %s %v", answer.Status, told)
	}
	// Started again, by a script too.
	if _, told = b.script(http.MethodPost, place, `{"decision":"restart"}`); !strings.Contains(told["redirect_to"].(string), "code=") {
		t.Errorf("a new start leads to %v", told)
	}
}

func TestAScriptOfAnotherSite(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	r, err := http.NewRequest(http.MethodPost, w.absolute(place+"?step=login"), strings.NewReader(`{"username":"alice","password":"right"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := b.send(r); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, `"error":"invalid_request"`) {
		t.Errorf("another site is answered %s %s", got.Status, got.body)
	}
}

// An answer by a form, or for an app, is fetched by the browser itself.
func TestJSONLeadsToAForm(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own", "response_mode", "form_post")).to(t)
	_, told := b.script(http.MethodPost, place+"?step=login", `{"username":"alice","password":"right"}`)
	to, _ := told["redirect_to"].(string)
	if to != w.url+place+"?answer" {
		t.Fatalf("the login leads to %v", told)
	}
	w.browser().get(to).shows(t, http.StatusForbidden)
	for range 2 { // a reload
		b.get(to).shows(t, http.StatusOK, `action="https://own.example/cb"`, `name="code"`)
	}
	w.advance(repeatLife)
	b.get(to).shows(t, http.StatusGone)
}

func TestElsewhere(t *testing.T) {
	w := newWorld(t, options{steps: factorAndOrg()[:1]})
	w.mux.HandleFunc("/elsewhere", func(rw http.ResponseWriter, r *http.Request) {
		in, err := w.h.Interaction(r)
		switch {
		case errors.Is(err, ErrNoInteraction):
			http.Error(rw, "no sign-in is waiting", http.StatusGone)
		case err != nil:
			http.Error(rw, err.Error(), http.StatusServiceUnavailable)
		case r.URL.Query().Get("do") == "login":
			in.Accept(rw, r, Subject{ID: "sub-alice", AMR: []string{"hwk"}})
		case r.URL.Query().Get("do") == "step":
			s := in.Subject
			s.AMR = append(s.AMR, "otp")
			in.Done(rw, r, s)
		default:
			in.Allow(rw, r)
		}
	})
	for _, script := range []bool{false, true} {
		b := w.browser()
		place := b.get(w.authorize("notes", "prompt", "consent")).to(t)
		at := "/elsewhere?interaction=" + place[strings.LastIndexByte(place, '/')+1:] + "&do="
		send := func(do string) string {
			t.Helper()
			if !script {
				return strings.TrimPrefix(b.post(at+do, nil).to(t), w.url)
			}
			answer, told := b.script(http.MethodPost, at+do, `{}`)
			to, ok := told["redirect_to"].(string)
			if !ok || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s is answered %s %v", do, answer.Status, told)
			}
			return strings.TrimPrefix(to, w.url)
		}
		w.browser().get(at+"login").shows(t, http.StatusGone)
		for _, do := range []string{"login", "login", "consent", "step", "step", "login"} { // also twice, and out of turn
			if got := send(do); got != place {
				t.Fatalf("%s leads to %s", do, got)
			}
		}
		first := send("consent")
		if again := send("consent"); !strings.Contains(first, "code=") || again != first {
			t.Errorf("the consent leads to %s, then to %s", first, again)
		}
		b.get(at+"login").shows(t, http.StatusGone, "no sign-in is waiting")
	}
}
