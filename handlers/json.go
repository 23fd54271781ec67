package handlers

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
)

// WantsJSON says whether a request is one of a script: it sends application/json, or
// accepts it and no HTML. An interaction answers such a request in JSON, and so do
// Accept, Done, Allow and Deny: the redirect is {"redirect_to": URL}, a refusal has error
// and error_description as at the token endpoint.
func WantsJSON(r *http.Request) bool {
	if jsonBody(r) {
		return true
	}
	accepted := strings.Join(r.Header.Values("Accept"), ",")
	return strings.Contains(accepted, "application/json") && !strings.Contains(accepted, "text/html")
}

func jsonBody(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

// shownJSON is an interaction as a script is told it. Members are added, never changed.
type shownJSON struct {
	Interaction  string        `json:"interaction"`
	Step         string        `json:"step"`
	Action       string        `json:"action"`            // to post to
	Message      string        `json:"message,omitempty"` // for people: why the last try failed
	Client       clientJSON    `json:"client"`
	Scopes       []scopeJSON   `json:"scopes"`
	Claims       []claimJSON   `json:"claims,omitempty"`
	Account      string        `json:"account,omitempty"`  // who is signed in
	Accounts     []accountJSON `json:"accounts,omitempty"` // to choose from, at the step select
	Prompt       []string      `json:"prompt,omitempty"`
	MaxAge       *int64        `json:"max_age,omitempty"` // seconds
	ACRValues    []string      `json:"acr_values,omitempty"`
	EssentialACR []string      `json:"essential_acr,omitempty"`
	LoginHint    string        `json:"login_hint,omitempty"`
	UILocales    []string      `json:"ui_locales,omitempty"`
	Display      string        `json:"display,omitempty"`
	Device       *deviceJSON   `json:"device,omitempty"`
}

type accountJSON struct {
	Session string `json:"session"` // to be sent as session
	Name    string `json:"name"`
}

type clientJSON struct {
	ID         string `json:"id,omitempty"`
	Name       string `json:"name"`
	URI        string `json:"uri,omitempty"`
	LogoURI    string `json:"logo_uri,omitempty"`
	PolicyURI  string `json:"policy_uri,omitempty"`
	TOSURI     string `json:"tos_uri,omitempty"`
	Host       string `json:"host,omitempty"`
	Local      bool   `json:"local,omitempty"`
	Entered    bool   `json:"entered,omitempty"`
	FirstParty bool   `json:"first_party,omitempty"`
}

type scopeJSON struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Optional    bool   `json:"optional,omitempty"`
}

type claimJSON struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Essential   bool   `json:"essential,omitempty"`
}

type deviceJSON struct {
	Address   string `json:"address,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// WriteJSON answers a script with the interaction: its step, the client, what is asked
// for, and in.Error as message. The server does so itself for a GET; a hook calls it,
// with a status such as 422, when what a script posted was not right.
func (in *Interaction) WriteJSON(w http.ResponseWriter, r *http.Request, status int) {
	shown := shownJSON{
		Interaction: in.ID, Step: in.Step, Action: in.Action,
		Client: clientJSON{
			ID: in.Client.ID, Name: in.Client.Name, URI: in.Client.URI, LogoURI: in.Client.LogoURI, PolicyURI: in.Client.PolicyURI, TOSURI: in.Client.TOSURI,
			Host: in.Client.Host, Local: in.Client.Local, Entered: in.Client.Entered, FirstParty: in.Client.FirstParty,
		},
		Scopes: []scopeJSON{}, Prompt: in.Prompt, ACRValues: in.ACRValues, EssentialACR: in.EssentialACR,
		LoginHint: in.LoginHint, UILocales: in.UILocales, Display: in.Display,
	}
	l := in.h.words(r)
	for _, s := range in.Scopes {
		shown.Scopes = append(shown.Scopes, scopeJSON{s.Name, l.Scope(s.Name, in.h.described(s.Name)), s.Optional})
	}
	for _, c := range in.pageClaims(r) {
		shown.Claims = append(shown.Claims, claimJSON(c))
	}
	for _, p := range in.accounts {
		shown.Accounts = append(shown.Accounts, accountJSON{p.SessionID, p.account()})
	}
	if in.Error != nil {
		shown.Message = in.Error.Error()
	}
	if in.Subject.ID != "" {
		shown.Account = in.Subject.account()
	}
	if in.MaxAge != nil {
		seconds := int64(*in.MaxAge / time.Second)
		shown.MaxAge = &seconds
	}
	if in.Device != nil {
		shown.Device = &deviceJSON{in.Device.Address, in.Device.UserAgent}
	}
	writeJSON(w, status, shown)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil { // strings, numbers and booleans always encode
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n')) // the browser is gone
}

// asJSON turns a redirect into what a script can follow: it may not read where a
// redirect leads.
func (h *Handlers) asJSON(out *response) {
	to := out.header.Get("Location")
	if out.status != http.StatusSeeOther || to == "" {
		return
	}
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		to = h.origin + to
	}
	out.header.Del("Location")
	out.status = 0
	writeJSON(out, http.StatusOK, map[string]string{"redirect_to": to})
}

// answerPlace is where a browser gets an answer for the client that can't be told by a
// URL of the client alone: by a form, or through a page that leads to an app.
func (h *Handlers) answerPlace(id string) string { return h.path("interaction/"+id) + "?" + theAnswer }

const theAnswer = "answer"

// scriptForm reads the JSON that a script posts as the form that it stands for, so that
// every page takes both: strings, numbers and booleans, and lists of strings.
func scriptForm(r *http.Request, body []byte) *engine.Error {
	if r.Method != http.MethodPost || !jsonBody(r) {
		return nil
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return badRequest("malformed_parameters", "The body is not a JSON object.")
	}
	form := url.Values{}
	for name, member := range members {
		switch v := member.(type) {
		case string:
			form.Set(name, v)
		case bool:
			if v {
				form.Set(name, "true") // a box that is ticked
			}
		case float64:
			form.Set(name, fmt.Sprint(v))
		case []any:
			for _, one := range v {
				if s, ok := one.(string); ok {
					form.Add(name, s)
				}
			}
		}
	}
	r.PostForm, r.Form = form, form
	return nil
}

// forgotten says whether a step is one of the host's that it has no more.
func (h *Handlers) forgotten(s step) bool {
	name, extra := s.extra()
	if !extra {
		return false
	}
	for _, st := range h.config.Steps {
		if st.Name == name {
			return false
		}
	}
	return true
}
