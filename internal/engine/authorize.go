package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/redirect"
	"github.com/doorward/doorward/storage"
)

// Authorization is an authorize request that was checked.
type Authorization struct {
	Client       *storage.Client
	Params       url.Values // the request as it came, to be kept with the interaction and checked again
	RedirectURI  string     // valid and registered; "" when it isn't: then no redirect must happen
	ResponseMode string     // query, form_post, query.jwt or form_post.jwt
	State        string
	Scopes       []string // asked for, or the client's defaults
	Audience     []string
	Nonce        string
	Prompt       []string
	MaxAge       *time.Duration // nil: not asked; 0: now
	ACRValues    []string
	LoginHint    string
	UILocales    []string
	Display      string
	Hint         *Hint // of id_token_hint, nil if none

	DPoPKey string // the thumbprint of the key that the code is bound to, "" for none. RFC 9449 §10

	Asked        storage.AskedClaims // by the parameter claims
	EssentialACR []string            // one of these the sign-in must have; empty: any

	Pushed string // the key of the pushed request that it is, "" for any other
	Object string // the name of the request object that it came as, "" for any other

	Device *Device // what a device asks for that has no browser, nil otherwise: then there is no RedirectURI and nothing of the OpenID request

	request fosite.AuthorizeRequester // as fosite has checked it; nil once it was used
	checked time.Time                 // when it was
}

// Response modes. OAuth 2.0 Multiple Response Type Encoding Practices §2.1, Form
// Post Response Mode, JARM §2.3
const (
	modeQuery    = "query"
	modeFormPost = "form_post"
	modeJWT      = "jwt" // query.jwt
	signedMode   = ".jwt"
)

// ResponseModes are the ways in which an answer can be given.
func ResponseModes() []string {
	return []string{modeQuery, modeFormPost, modeQuery + signedMode, modeFormPost + signedMode, modeJWT}
}

// CheckAuthorize checks an authorize request before anybody is shown a page. When
// the error is not nil and the Authorization has a RedirectURI, the error is to be
// sent there. The Authorization is never nil. RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.2
func (e *Engine) CheckAuthorize(ctx context.Context, params url.Values) (*Authorization, *Error) {
	return e.check(ctx, params, fromBrowser)
}

// ResumeAuthorize checks the Params of an Authorization again, which were kept with an
// interaction: those of a pushed request are not looked up any more, since it may have
// expired while the person was busy. Never give it what came from a browser.
func (e *Engine) ResumeAuthorize(ctx context.Context, params url.Values) (*Authorization, *Error) {
	return e.check(ctx, params, fromInteraction)
}

func (e *Engine) check(ctx context.Context, params url.Values, from origin) (*Authorization, *Error) {
	a := &Authorization{Params: params, ResponseMode: modeQuery}
	err := e.guarded(ctx, "authorize", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			request, err := e.checkAuthorize(ctx, a, from)
			a.request, a.checked = request, e.store.Now()
			return err
		})
	})
	return a, failure(err)
}

// atOnce is how long a request that was checked need not be checked again: clients are
// remembered for longer.
const atOnce = time.Second

// checkAgain checks a request that was checked before the person was asked, because the
// client may have changed while they were busy. When nobody was asked, and the request is
// none that can be used once, the check of a moment ago does.
func (e *Engine) checkAgain(ctx context.Context, a *Authorization) (*Authorization, fosite.AuthorizeRequester, error) {
	if request := a.request; request != nil && a.Pushed == "" && a.Object == "" && e.store.Now().Sub(a.checked) < atOnce {
		a.request = nil // what is granted is noted in it
		return a, request, nil
	}
	fresh := &Authorization{Params: a.Params}
	request, err := e.checkAuthorize(ctx, fresh, fromInteraction)
	return fresh, request, err
}

// checkAuthorize fills in a from its Params. All that fosite checks only when it
// makes the answer is checked here, so that nobody signs in for nothing.
func (e *Engine) checkAuthorize(ctx context.Context, a *Authorization, from origin) (fosite.AuthorizeRequester, error) {
	*a = Authorization{Params: a.Params, ResponseMode: modeQuery}
	form, twice := parameters(a.Params)
	if err := e.checkClient(ctx, a, form, twice); err != nil {
		return nil, err
	}
	outer := form
	form, err := e.resolve(ctx, a, form, twice, from)
	if err != nil {
		return nil, a.returning(outer, twice, err)
	}
	uri, refusal := redirectURI(a.Client, form, twice)
	if refusal != nil {
		return nil, refusal
	}
	a.RedirectURI, a.State = uri, stateOf(form, twice)
	for _, check := range []func() error{
		func() error { return orNil(a.readMode(form, twice)) },
		func() error { return orNil(e.mustPush(a, from)) },
		func() error { return orNil(e.mustSign(a)) },
		func() error { return orNil(checkSize(a.Params)) },
		func() error { return orNil(wellFormed(form, twice)) },
		func() error { return orNil(unsupported(form)) },
		func() error { return orNil(a.readResponse(form)) },
		func() error { return orNil(e.readAccess(a, form)) },
		func() error { return orNil(e.checkChallenge(a.Client, form)) },
		func() error { return orNil(a.readKey(form)) },
		func() error { return orNil(a.readPerson(form, e.prompts())) },
		func() error { return orNil(a.readClaims(form)) },
		func() error { return e.readHint(ctx, a, form) },
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return e.secondOpinion(ctx, a, form)
}

// returning lets the refusal of a request object that can't be opened go back to the
// client, to where an unsigned request with the same parameters would go.
func (a *Authorization) returning(form url.Values, twice []string, err error) error {
	if refusal := (*Error)(nil); form.Get("redirect_uri") != "" && errors.As(err, &refusal) && refusal.Code == codeInvalidRequestObject {
		if uri, mismatch := redirectURI(a.Client, form, twice); mismatch == nil {
			a.RedirectURI, a.State = uri, stateOf(form, twice)
		}
	}
	return err
}

func (e *Engine) checkClient(ctx context.Context, a *Authorization, form url.Values, twice []string) error {
	id := form.Get("client_id")
	switch {
	case slices.Contains(twice, "client_id"):
		return repeated("client_id")
	case id == "":
		return missing("client_id")
	}
	c, err := e.client(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return unknownClient("client_unknown", "There is no client with this client_id.").detail("client_id %s", quote(id))
	case err != nil:
		return err
	case c.Disabled:
		return unknownClient("client_disabled", "This client is disabled.").detail("client_id %s", quote(id)).setting("disabled")
	}
	a.Client = c
	return nil
}

// unknownClient is told to the person on a page, where 401 would ask for a password.
func unknownClient(reason, description string) *Error {
	e := refuse(codeInvalidClient, reason, description)
	e.Status = http.StatusBadRequest
	return e
}

// redirectURI returns where the answer goes. It may be left out only where there is
// no doubt. RFC 6749 §3.1.2.3, OpenID Connect Core §3.1.2.1
func redirectURI(c *storage.Client, form url.Values, twice []string) (string, *Error) {
	sent := form.Get("redirect_uri")
	switch {
	case slices.Contains(twice, "redirect_uri"):
		return "", repeated("redirect_uri")
	case sent == "" && slices.Contains(strings.Split(form.Get("scope"), " "), scopeOpenID):
		return "", missing("redirect_uri").detail("OpenID Connect requests name it; registered: %q", c.RedirectURIs)
	case sent == "" && len(c.RedirectURIs) != 1:
		return "", missing("redirect_uri").detail("the client has %d of them: %q", len(c.RedirectURIs), c.RedirectURIs).setting("redirect_uris")
	case sent == "":
		sent = c.RedirectURIs[0]
	}
	if !redirect.Match(c.RedirectURIs, sent) {
		m := redirect.Explain(c.RedirectURIs, sent)
		return "", refuse(codeInvalidRequest, "redirect_uri_mismatch",
			"The redirect_uri of this request is not registered for this client, so nobody is sent there.").
			detail("received %s; registered %q; the closest is %q: %s", quote(sent), c.RedirectURIs, m.Registered, m.Difference).
			setting("redirect_uris")
	}
	return sent, nil
}

// maxAuthorize bounds an authorize request, in bytes as it is encoded. Anybody may send
// one, and it is stored for as long as the sign-in takes.
const maxAuthorize = 8 << 10

func checkSize(params url.Values) *Error {
	most := 0 // if every byte had to be escaped
	for name, values := range params {
		for _, v := range values {
			most += 3*(len(name)+len(v)) + len("=&")
		}
	}
	if most <= maxAuthorize {
		return nil
	}
	if size := len(params.Encode()); size > maxAuthorize {
		return refuse(codeInvalidRequest, "request_too_large", "The authorize request is too large: at most 8192 bytes are accepted.").
			detail("it has %d bytes", size)
	}
	return nil
}

func repeated(parameter string) *Error {
	return refuse(codeInvalidRequest, "parameter_repeated", "The parameter "+quote(parameter)+" came more than once.")
}

// unsupported refuses what would change the meaning of the request. OpenID Connect
// Core §3.1.2.6
func unsupported(form url.Values) *Error {
	for _, p := range []string{"request_uri", "registration"} {
		if form.Get(p) != "" {
			return refuse(p+"_not_supported", p+"_not_supported",
				"The parameter "+p+" is not supported: send its contents as parameters of their own.")
		}
	}
	return nil
}

// readMode reads how the answer is to be given. It comes first, since errors are answered
// in the same way.
func (a *Authorization) readMode(form url.Values, twice []string) *Error {
	switch mode := form.Get("response_mode"); {
	case mode == "" || mode == modeQuery:
	case slices.Contains(twice, "response_mode"):
		return repeated("response_mode")
	case mode == modeJWT || mode == modeQuery+signedMode:
		a.ResponseMode = modeQuery + signedMode
	case mode != modeFormPost && mode != modeFormPost+signedMode:
		return refuse(codeInvalidRequest, "response_mode_unsupported",
			"The response_mode "+quote(mode)+" is not supported: use "+strings.Join(ResponseModes(), ", ")+".")
	case redirect.KindOf(a.RedirectURI) == redirect.PrivateUse:
		return refuse(codeInvalidRequest, "response_mode_unsupported",
			"The response_mode "+mode+" can not reach an app by its own scheme: use query or query.jwt.")
	default:
		a.ResponseMode = mode
	}
	return nil
}

func (a *Authorization) readResponse(form url.Values) *Error {
	if !a.Client.MayUse(storage.GrantAuthorizationCode) {
		return refuse(codeUnauthorized, "grant_type_not_allowed", "The client is not registered for the grant_type 'authorization_code'.").
			detail("it is registered for %q", a.Client.Grants()).setting("grant_types")
	}
	switch t := form.Get("response_type"); t {
	case "code":
		return nil
	case "":
		return missing("response_type")
	default:
		return refuse(codeUnsupportedType, "response_type_unsupported", "The response_type "+quote(t)+" is not supported: use code.")
	}
}

// readAccess reads what the client asks for.
func (e *Engine) readAccess(a *Authorization, form url.Values) (err *Error) {
	if a.Scopes, err = e.grantable(a.Client, form.Get("scope")); err != nil {
		return err
	}
	if form.Get("redirect_uri") == "" && slices.Contains(a.Scopes, scopeOpenID) { // by default
		return missing("redirect_uri").detail("OpenID Connect requests name it")
	}
	a.Audience, err = e.target(form, e.audiences(a.Client))
	return err
}

// readKey reads the key by which the client will prove that it began the request.
// RFC 9449 §10
func (a *Authorization) readKey(form url.Values) *Error {
	a.DPoPKey = form.Get("dpop_jkt")
	if a.DPoPKey != "" && !jws.IsThumbprint(a.DPoPKey) {
		return refuse(codeInvalidRequest, "dpop_jkt_malformed", "The dpop_jkt is not the SHA-256 thumbprint of a key in base64url: 43 characters without padding.")
	}
	return nil
}

// secondOpinion has fosite check the same, as far as it does: the scope that counts
// is the one that was read, an absent state is a placeholder because fosite wants
// one, and the audience is settled.
func (e *Engine) secondOpinion(ctx context.Context, a *Authorization, form url.Values) (fosite.AuthorizeRequester, error) {
	form.Set("scope", strings.Join(a.Scopes, " "))
	if a.State == "" {
		form.Set("state", "none")
	}
	form.Del("audience")
	form.Del("resource")
	form.Del("response_mode") // read before, and fosite knows fewer
	ctx = context.WithValue(ctx, clientKey{}, &fositeClient{a.Client, a.RedirectURI, a.Audience})
	request, err := e.fosite.NewAuthorizeRequest(ctx, &http.Request{
		Method: http.MethodGet, Header: http.Header{}, URL: &url.URL{}, Form: form, PostForm: url.Values{},
	})
	if err != nil {
		return nil, err
	}
	request.SetRequestedAudience(a.Audience)
	return request, nil
}

// orNil makes a missing refusal a nil error.
func orNil(refusal *Error) error {
	if refusal == nil {
		return nil
	}
	return refusal
}
