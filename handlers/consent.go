package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// mustAsk says whether the person has to be asked, and what is granted when they need
// not be. paged tells that a page of this interaction was seen, by signing in on it.
func (h *Handlers) mustAsk(ctx context.Context, a *engine.Authorization, s Subject, paged bool) (ask bool, scopes []string, err error) {
	if slices.Contains(a.Prompt, "consent") || a.Device != nil { // never without a page. RFC 8628 §5.4
		return true, nil, nil
	}
	// Any program on a device can claim to be a public client there, so nobody is
	// sent back to one without noticing. RFC 8252 §8.6
	if a.Client.Public() && onDevice(a.RedirectURI) && !paged {
		return true, nil, nil
	}
	if a.Client.FirstParty {
		return false, a.Scopes, nil
	}
	key := h.store.ConsentKey(s.ID, a.Client.ID)
	app := h.epochs.OfApp(s.ID, a.Client.ID)
	if err := h.store.Load(ctx, h.consents.Ref(key), h.epochs.Ref(app)); err != nil {
		return false, nil, err
	}
	c, err := h.consents.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	epoch, err := h.epochs.At(ctx, app)
	if err != nil {
		return false, nil, err
	}
	if c.Epoch != epoch || c.Shown != known(a.Client) || !covers(c.Audience, a.Audience) || !covers(c.Claims, askedClaims(a)) {
		return true, nil, nil
	}
	switch {
	case covers(c.Scopes, a.Scopes):
		return false, a.Scopes, nil
	case len(c.Asked) > 0 && covers(c.Asked, a.Scopes) && covers(a.Scopes, c.Asked):
		// The same question again, of which the person allowed a part. Any other one,
		// as for what they left out alone, is a new question.
		return false, intersect(a.Scopes, c.Scopes), nil
	}
	return true, nil, nil
}

// intersect returns those of some that are in all, in their order.
func intersect(some, all []string) []string {
	return slices.DeleteFunc(slices.Clone(some), func(s string) bool { return !slices.Contains(all, s) })
}

// remember writes what was allowed, added to what was allowed before.
func (h *Handlers) remember(ctx context.Context, a *engine.Authorization, subject string, scopes []string) error {
	epoch, err := h.epochs.At(ctx, h.epochs.OfApp(subject, a.Client.ID))
	if err != nil {
		return err
	}
	now := h.now()
	c := &storage.Consent{
		Subject: subject, ClientID: a.Client.ID, Scopes: slices.Clone(scopes), Audience: slices.Clone(a.Audience), Claims: askedClaims(a),
		Shown: known(a.Client), Epoch: epoch, GivenAt: now, ExpiresAt: now.Add(h.config.Lifetimes.Consent),
	}
	if !covers(scopes, a.Scopes) {
		c.Asked = slices.Clone(a.Scopes)
	}
	before, err := h.consents.Get(ctx, h.store.ConsentKey(subject, a.Client.ID))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	// What was allowed for one audience must not count for another, so scopes are
	// added up only while the audience is the same.
	if err == nil && before.Epoch == c.Epoch && before.Shown == c.Shown && covers(before.Audience, c.Audience) && covers(c.Audience, before.Audience) {
		for _, s := range before.Scopes {
			if !slices.Contains(c.Scopes, s) && !slices.Contains(c.Asked, s) { // what was left out now is withdrawn
				c.Scopes = append(c.Scopes, s)
			}
		}
		for _, name := range before.Claims {
			if !slices.Contains(c.Claims, name) {
				c.Claims = append(c.Claims, name)
			}
		}
	}
	return h.consents.Put(ctx, c)
}

func covers(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// known is a digest of what a person goes by when they trust a client: its name
// and the hosts it returns to. When it changes, they are asked again.
func known(c *storage.Client) string {
	hosts := make([]string, 0, len(c.RedirectURIs))
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err == nil {
			hosts = append(hosts, u.Scheme+"://"+u.Host)
		}
	}
	slices.Sort(hosts)
	return digest(append([]string{c.DisplayName(), c.Incarnation}, slices.Compact(hosts)...))
}

// shown is a digest of what one consent page shows, so that a decision counts only
// for what was seen.
func shown(a *engine.Authorization) string {
	return digest([]string{known(a.Client), a.RedirectURI, strings.Join(a.Scopes, " "), strings.Join(a.Audience, " "), strings.Join(askedClaims(a), "\n")})
}

func digest(parts []string) string {
	encoded, _ := json.Marshal(parts) // strings always encode
	sum := sha256.Sum256(encoded)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// onDevice says whether an answer goes to a program on the person's own device.
// RFC 8252 §7
func onDevice(redirectURI string) bool {
	u, err := url.Parse(redirectURI)
	return err != nil || u.Scheme != "https" && u.Scheme != "http" || loopback(u.Hostname())
}

// serveConsentPage is the built-in Consent.
func serveConsentPage(w http.ResponseWriter, r *http.Request, in *Interaction) {
	if answered(w, r, in) {
		return
	}
	page := pages.Consent{Form: pages.Form{Action: in.Action}, Client: in.pageClient(r), Account: in.Subject.account()}
	page.Scopes, page.Offline = in.h.pageScopes(r, in.Scopes)
	page.Claims = in.pageClaims(r)
	page.OfflineOptional = page.Offline && in.h.optional("offline_access")
	page.Choice = slices.ContainsFunc(in.Scopes, func(s ScopeView) bool { return s.Optional })
	in.h.show(w, r, http.StatusOK, page)
}

// answered takes the answer of a consent page, if the request brings one, and tells a script
// that brings none where things stand. false: the page is to be shown.
func answered(w http.ResponseWriter, r *http.Request, in *Interaction) bool {
	decision := ""
	if r.Method == http.MethodPost {
		decision = r.PostFormValue("decision")
	}
	switch {
	case decision == "allow":
		in.allowTicked(w, r)
	case decision == "deny":
		in.Deny(w, r)
	case exchangeOf(r.Context()).script:
		in.WriteJSON(w, r, http.StatusUnprocessableEntity)
	default:
		return false
	}
	return true
}

// allowTicked completes the consent with what a person left ticked. A page without boxes,
// as of an overlay, does not say that it has some, and allows all.
func (in *Interaction) allowTicked(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("choice") == "" {
		in.Allow(w, r)
		return
	}
	var left []string
	for _, s := range in.Scopes {
		if !s.Optional || slices.Contains(r.PostForm["scope"], s.Name) {
			left = append(left, s.Name)
		}
	}
	if len(left) == 0 { // nothing is allowed
		in.Deny(w, r)
		return
	}
	in.Allow(w, r, left...)
}

// pageScopes are the scopes in the person's words; offline_access has words of the
// page's own.
func (h *Handlers) pageScopes(r *http.Request, views []ScopeView) (list []pages.Scope, offline bool) {
	l := h.words(r)
	for _, s := range views {
		if s.Name == "offline_access" {
			offline = true
			continue
		}
		list = append(list, pages.Scope{Name: s.Name, Description: l.Scope(s.Name, h.described(s.Name)), Optional: s.Optional})
	}
	return list, offline
}

// described is what the host says of a scope; empty when it says nothing.
func (h *Handlers) described(name string) string {
	for _, s := range h.config.Scopes {
		if s.Name == name {
			return s.Description
		}
	}
	return ""
}

// optional says whether a person may leave a scope out.
func (h *Handlers) optional(name string) bool {
	return slices.ContainsFunc(h.config.Scopes, func(s ScopeView) bool { return s.Name == name && s.Optional })
}

// account is how pages call a person.
func (s Subject) account() string {
	if s.Name != "" {
		return readable(s.Name, 80)
	}
	return readable(s.ID, 80)
}

func (h *Handlers) viewScopes(names []string) []ScopeView {
	english := h.pages.Language(nil, "")
	views := make([]ScopeView, 0, len(names))
	for _, name := range names {
		v := ScopeView{Name: name, Optional: h.optional(name)}
		if words := english.Scope(name, h.described(name)); words != name {
			v.Description = words
		}
		views = append(views, v)
	}
	return views
}

func viewClient(c *storage.Client, redirectURI string) ClientView {
	v := ClientView{
		ID: c.ID, Name: readable(c.DisplayName(), 60), URI: c.ClientURI, LogoURI: c.LogoURI, PolicyURI: c.PolicyURI, TOSURI: c.TOSURI,
		Entered: c.Registered == nil, FirstParty: c.FirstParty, Local: onDevice(redirectURI),
	}
	if v.Name == "" { // nothing was left of it
		v.Name = readable(c.ID, 60)
	}
	if u, err := url.Parse(c.ID); err == nil && c.FromDocument() {
		v.Home = readable(u.Host, 120)
	}
	switch u, err := url.Parse(redirectURI); {
	case err == nil && u.Host != "":
		v.Host = readable(u.Host, 120)
		if u.Scheme == "https" || u.Scheme == "http" {
			v.Origin = u.Scheme + "://" + u.Host
		}
	case err == nil && u.Scheme != "":
		v.Scheme = readable(u.Scheme, 80)
		v.Host = "this device (" + v.Scheme + ")"
	}
	return v
}

func (in *Interaction) pageClient(r *http.Request) pages.Client {
	c := in.Client
	host := c.Host
	if c.Scheme != "" {
		host = in.h.words(r).Say("place.scheme", "scheme", c.Scheme)
	}
	return pages.Client{
		Name: c.Name, URI: c.URI, PolicyURI: c.PolicyURI, TOSURI: c.TOSURI, Host: host, Home: c.Home, Away: c.Home != "" && !c.Local && !strings.EqualFold(c.Home, c.Host),
		Local: c.Local, FirstParty: c.FirstParty,
	}
}

// readable makes a text that a stranger wrote fit for a page: without characters
// that are not seen or that turn the direction of what follows, and not longer
// than most. Unicode Technical Standard #39
func readable(s string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Cs, r), r == unicode.ReplacementChar,
			r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0': // fillers, drawn as nothing
			return -1
		}
		return r
	}, s)
	text := []rune(strings.Join(strings.Fields(clean), " "))
	if len(text) > most {
		return strings.TrimSpace(string(text[:most-1])) + "…"
	}
	return string(text)
}
