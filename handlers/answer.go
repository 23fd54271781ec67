package handlers

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

// deliver writes an outcome: the session's cookie, and where the browser goes.
func (h *Handlers) deliver(w http.ResponseWriter, r *http.Request, o outcome, clientID string) *engine.Error {
	if o.Session != "" {
		h.keepSession(w, o.Session, o.Life)
	}
	for _, c := range o.Cookies {
		if c.Value == "" {
			h.cookies.drop(w, c.Name)
			continue
		}
		http.SetCookie(w, h.cookies.cookie(c.Name, c.Value, c.Life))
	}
	if o.Answer == nil {
		redirect(w, o.Place)
		return nil
	}
	return h.answerClient(w, r, o.Answer, clientID)
}

// neverOpened are schemes that run or read something in the browser.
var neverOpened = []string{"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source", ""}

// answerClient sends an answer to the client's redirect URI.
func (h *Handlers) answerClient(w http.ResponseWriter, r *http.Request, a *engine.Answer, clientID string) *engine.Error {
	u, err := url.Parse(a.RedirectURI)
	if err != nil || slices.Contains(neverOpened, strings.ToLower(u.Scheme)) {
		e := badRequest("redirect_uri_scheme", "The redirect URI has a scheme that is never opened.")
		e.Cause, e.Setting = err, "Client.RedirectURIs"
		return e
	}
	failed := a.Params.Has("error")
	a, refusal := h.engine.Signed(r.Context(), a)
	if refusal != nil {
		return refusal
	}
	web := u.Scheme == "https" || u.Scheme == "http"
	x := exchangeOf(r.Context())
	switch {
	case x.script && x.at != "" && (!web || a.ResponseMode == "form_post"):
		redirect(w, h.answerPlace(x.at)) // for the browser itself
	case web && a.ResponseMode == "form_post":
		page := pages.FormPost{Client: h.clientName(r, clientID), URL: template.URL(a.RedirectURI), Script: h.path("assets/" + h.pages.Script())}
		for _, name := range sortedKeys(a.Params) {
			for _, value := range a.Params[name] {
				page.Fields = append(page.Fields, pages.Field{Name: name, Value: value})
			}
		}
		w.Header().Set("Referrer-Policy", "no-referrer") // this form goes elsewhere
		h.show(w, r, http.StatusOK, page)
	case web:
		redirect(w, a.URL())
	default:
		// A browser does not follow a redirect to an app without a gesture, and
		// leaves the person on an empty page. The header tries, the link works.
		w.Header().Set("Refresh", "0; url="+a.URL())
		h.show(w, r, http.StatusOK, pages.Return{
			Client: h.clientName(r, clientID), URL: template.URL(a.URL()), Failed: failed,
		})
	}
	return nil
}

func (h *Handlers) clientName(r *http.Request, id string) string {
	c, err := h.config.Client(r.Context(), id)
	if err != nil {
		return h.words(r).Say("client.unknown")
	}
	return readable(c.DisplayName(), 60)
}
