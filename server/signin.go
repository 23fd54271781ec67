package server

import (
	"net/http"
	"net/url"
	"strings"
)

// lookAtSignIn begins a sign-in: first one that must be refused, whose answer goes to the
// client, then one that leads to the page of the login. RFC 6749 §4.1, RFC 9207 §2
func (w *walk) lookAtSignIn() error {
	if w.clientID == "" || w.metadata.RequirePushed || w.metadata.RequireSigned {
		return nil
	}
	request := url.Values{
		"client_id": {w.clientID}, "redirect_uri": {w.redirectURI}, "response_type": {"code"}, "scope": {"openid"}, "state": {"diagnose"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, "prompt": {"none"},
	}
	if err := w.lookAtAnswer(request); err != nil {
		return err
	}
	request.Del("prompt")
	return w.lookAtLogin(request)
}

func (w *walk) open(request url.Values) (*reply, error) {
	mark := "?"
	if strings.Contains(w.metadata.Authorize, "?") {
		mark = "&"
	}
	return w.send(http.MethodGet, w.metadata.Authorize+mark+request.Encode(), http.Header{"Accept": {"text/html"}}, nil)
}

func (w *walk) lookAtAnswer(request url.Values) error {
	const name = "answer to the client"
	r, err := w.open(request)
	if err != nil {
		return w.stuck(name, "the proxy", "the authorize request fails: %v", err)
	}
	location := r.header.Get("Location")
	before, query, _ := strings.Cut(location, "?")
	answer, err := url.ParseQuery(query)
	switch {
	case r.status != http.StatusSeeOther || location == "":
		return w.stuck(name, "the ClientID and RedirectURI of this walk, and what is registered of the client", "%s; a refusal should go to %s", came(w.metadata.Authorize, r), w.redirectURI)
	case err != nil || before != strings.SplitN(w.redirectURI, "?", 2)[0]:
		return w.stuck(name, "the proxy: leave the Location header as it is", "the answer goes to %s, not to %s", before, w.redirectURI)
	case answer.Get("iss") != w.issuer || answer.Get("state") != "diagnose":
		return w.wrong(name, "the proxy: leave the Location header as it is", "the answer has iss %q and state %q, clients expect %q and %q", answer.Get("iss"), answer.Get("state"), w.issuer, "diagnose")
	case answer.Get("error") != "login_required":
		return w.wrong(name, "what is registered of the client: error_description says what is wrong", "prompt=none is answered %s: %s", answer.Get("error"), answer.Get("error_description"))
	}
	return w.fine(name)
}

func (w *walk) lookAtLogin(request url.Values) error {
	const name = "sign-in page"
	r, err := w.open(request)
	if err != nil {
		return w.wrong(name, "the proxy", "the authorize request fails: %v", err)
	}
	origin := w.root.Scheme + "://" + w.root.Host
	location := r.header.Get("Location")
	to, err := url.Parse(location)
	switch {
	case r.status != http.StatusSeeOther || err != nil || location == "":
		return w.wrong(name, "the proxy, or the server's log", "%s; clients expect to be led to a page", came(w.metadata.Authorize, r))
	case to.IsAbs() && !strings.HasPrefix(location, origin+"/"):
		return w.wrong(name, "the proxy: leave the Location header as it is", "people are led to %s, which is not on %s: their browser has no cookie there", location, origin)
	}
	cookies := (&http.Response{Header: r.header}).Cookies()
	if len(cookies) == 0 {
		return w.wrong(name, "the proxy: let Set-Cookie through", "the browser gets no cookie, so nobody could finish a sign-in")
	}
	for _, c := range cookies {
		switch secure := w.root.Scheme == "https"; {
		case secure && (!c.Secure || !strings.HasPrefix(c.Name, "__Host-")):
			return w.wrong(name, "the proxy: leave Set-Cookie as it is", "the cookie %s is not Secure, or was renamed", c.Name)
		case c.Path != "/" || c.Domain != "" || !c.HttpOnly:
			return w.wrong(name, "the proxy: leave Path, Domain and HttpOnly of cookies as they are", "the cookie %s has Path %q, Domain %q, HttpOnly %v", c.Name, c.Path, c.Domain, c.HttpOnly)
		case c.SameSite != http.SameSiteLaxMode:
			return w.wrong(name, "the proxy: leave SameSite of cookies as it is", "the cookie %s is not SameSite=Lax, so it is lost on the way back from another site", c.Name)
		}
	}
	page, err := w.send(http.MethodGet, w.root.ResolveReference(to).String(), http.Header{"Accept": {"text/html"}, "Cookie": {written(cookies)}}, nil)
	switch {
	case err != nil:
		return w.wrong(name, "the proxy", "%s can't be read: %v", location, err)
	case page.status/100 == 3 || page.status == http.StatusOK && page.media() == "text/html":
		return w.fine(name) // a page of the server's, or the way to the host's own login
	}
	return w.wrong(name, "the proxy: forward cookies to the server, and all paths below the issuer", "%s; a page to sign in on was expected", came(location, page))
}

// written is the Cookie header with these cookies.
func written(cookies []*http.Cookie) string {
	var pairs []string
	for _, c := range cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}
