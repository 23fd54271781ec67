package handlers

import (
	"net/http"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

// words is the language in which a person is spoken to: what the client said of them,
// which an interaction remembers, then what their browser asks for.
func (h *Handlers) words(r *http.Request) *pages.Language {
	named := exchangeOf(r.Context()).locales
	return h.pages.Language(named[:min(len(named), mostLocales)], strings.Join(r.Header.Values("Accept-Language"), ","))
}

// mostLocales is how many languages of a request are looked at.
const mostLocales = 10

// locales are the languages that a request names. OpenID Connect Core §3.1.2.1
func locales(uiLocales string) []string {
	list := strings.Fields(uiLocales)
	return list[:min(len(list), mostLocales)]
}

// waitWords says how long to wait, never less than it is.
func waitWords(l *pages.Language, seconds, minutes string, wait time.Duration) string {
	n := max(1, int((wait+time.Second-1)/time.Second))
	if n > 120 {
		return l.Say(minutes, "n", (n+59)/60)
	}
	return l.Say(seconds, "n", n)
}

// explained are the errors that a page has words of its own for, by their reason; the
// others are told by whose fault they are.
var explained = map[string][3]string{ // title, message, advice
	"client_unknown":                    {"error.client.title", "error.client", "error.request.advice"},
	"client_disabled":                   {"error.client.title", "error.client", "error.request.advice"},
	"redirect_uri_mismatch":             {"error.redirect.title", "error.redirect", "error.request.advice"},
	"redirect_uri_scheme":               {"error.redirect.title", "error.redirect", "error.request.advice"},
	"cross_site_post":                   {"error.cross_site.title", "error.cross_site", "error.cross_site.advice"},
	"device_request_expired":            {"error.device.title", "error.device.expired", "error.device.advice"},
	"device_request_answered":           {"error.device.title", "error.device.answered", "error.device.advice"},
	"device_request_foreign":            {"error.device.title", "error.device.foreign", "error.device.advice"},
	"post_logout_redirect_uri_mismatch": {"error.redirect.title", "error.redirect", "error.request.advice"},
}

// errorPage puts an error in words for the person who meets it. What the application's
// developer should know stands apart, in English, as it does in the log.
func (h *Handlers) errorPage(r *http.Request, e *engine.Error) pages.Error {
	l := h.words(r)
	page := pages.Error{Help: h.engine.ErrorURI(e), RequestID: exchangeOf(r.Context()).id}
	say := func(title, message, advice string) {
		page.Title, page.Message, page.Advice = l.Say(title), l.Say(message), l.Say(advice)
	}
	status := statusOf(e)
	if own, ok := explained[e.Reason]; ok {
		say(own[0], own[1], own[2])
		page.Problem = e.Description
		return page
	}
	switch {
	case e.Reason == "wrong_host":
		opened, right, _ := h.hosts(r)
		page.Title = l.Say("error.host.title")
		page.Message = l.Say("error.host", "opened", opened, "right", right)
		page.Advice = l.Say("error.host.advice", "right", right)
	case e.Reason == "foreign_browser":
		say("error.foreign.title", "error.foreign", "error.foreign.cookies")
		if opened, right, ok := h.hosts(r); !ok {
			page.Message = l.Say("error.host", "opened", opened, "right", right)
			page.Advice = l.Say("error.host.advice", "right", right)
		}
	case status == http.StatusServiceUnavailable:
		say("error.unavailable.title", "error.unavailable", "error.unavailable.advice")
	case status >= http.StatusInternalServerError:
		say("error.server.title", "error.server", "error.server.advice")
	case status == http.StatusTooManyRequests:
		say("error.wait.title", "error.wait", "error.wait.advice")
	default:
		say("error.request.title", "error.request", "error.request.advice")
		page.Problem = e.Description
	}
	return page
}
