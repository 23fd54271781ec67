package main

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"sync"

	"github.com/gorilla/mux"
	"golang.org/x/oauth2"
)

const clientID = "demo"

// client is an application that people sign in to: it sends them to the provider
// and shows what came back. It knows nothing of the provider but its address.
type client struct {
	issuer string
	oauth  oauth2.Config

	mu        sync.Mutex
	verifiers map[string]string // by state, for sign-ins under way
}

func newClient(issuer string) *client {
	return &client{
		issuer: issuer, verifiers: map[string]string{},
		oauth: oauth2.Config{
			ClientID: clientID, RedirectURL: issuer + "/demo/callback", Scopes: []string{"openid", "profile", "email"},
			Endpoint: oauth2.Endpoint{
				AuthURL: issuer + "/oauth/authorize", TokenURL: issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
			},
		},
	}
}

func (c *client) mount(r *mux.Router) {
	r.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { c.show(w, "") })
	r.HandleFunc("/demo/start", c.start)
	r.HandleFunc("/demo/callback", c.callback)
	r.HandleFunc("/demo/page.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		_, _ = w.Write(style)
	})
	r.HandleFunc("/demo/login.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(loginScript)
	})
}

//go:embed page.css
var style []byte

var demo = template.Must(template.New("demo").Parse(`<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The demo application</title><link rel="stylesheet" href="/demo/page.css">
<main><h1>The demo application</h1>
{{with .}}<p>You are signed in. The provider says of you:</p><pre>{{.}}</pre><a class="button" href="/demo/start">Sign in again</a>
{{else}}<p>It keeps no accounts: the provider knows who you are.</p><a class="button" href="/demo/start">Sign in</a>{{end}}
</main></html>`))

func (c *client) show(w http.ResponseWriter, told string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = demo.Execute(w, told) // the browser is gone
}

func (c *client) start(w http.ResponseWriter, r *http.Request) {
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	c.mu.Lock()
	c.verifiers[state] = verifier
	c.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "demo_state", Value: state, Path: "/demo/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, c.oauth.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)
}

func (c *client) callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	c.mu.Lock()
	verifier, known := c.verifiers[state]
	delete(c.verifiers, state)
	c.mu.Unlock()
	// The cookie shows that this browser began the sign-in. RFC 6749 §10.12
	cookie, err := r.Cookie("demo_state")
	if err != nil || !known || cookie.Value != state {
		http.Error(w, "This sign-in was not begun here. Please go back and start again.", http.StatusBadRequest)
		return
	}
	if refused := r.FormValue("error"); refused != "" {
		http.Error(w, "The provider answered: "+refused+". "+r.FormValue("error_description"), http.StatusForbidden)
		return
	}
	tokens, err := c.oauth.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		http.Error(w, "The code could not be exchanged: "+err.Error(), http.StatusBadGateway)
		return
	}
	resp, err := c.oauth.Client(r.Context(), tokens).Get(c.issuer + "/oauth/userinfo")
	if err != nil {
		http.Error(w, "The provider could not be asked: "+err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	var claims map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&claims); err != nil {
		http.Error(w, "The provider's answer could not be read: "+err.Error(), http.StatusBadGateway)
		return
	}
	text, err := json.MarshalIndent(claims, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	c.show(w, string(text))
}
