package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Deployment is a server as clients reach it, through every proxy that stands before it.
type Deployment struct {
	// Issuer is what clients are configured with. Required.
	Issuer string

	// ClientID and RedirectURI of a registered client let the walk begin a sign-in, up
	// to the page where a person would be needed. Empty: that part is left out.
	ClientID, RedirectURI string

	// HTTP sends the requests. nil: a client that trusts the system's authorities. Its
	// redirects are not followed, its time-out and cookies are not used.
	HTTP *http.Client
}

// Finding is what one look at a deployment found.
type Finding struct {
	Name    string // what was looked at, as in "metadata"
	Problem string // what came and what clients expect; empty: nothing is wrong
	Remedy  string // which setting to change, of Config or of the proxy
}

// Diagnose walks a deployed server as a client would, and tells what a client would choke
// on: metadata in other places or of another issuer, a proxy that rewrites redirects,
// drops headers or adds its own, keys that can't be cached, cookies that a browser does
// not keep. Each thing that was looked at is one Finding, in the order in which a client
// meets them; the walk ends at a problem that leaves nothing to go on with. It changes
// nothing on the server but for an interaction that it leaves behind when a ClientID is
// given.
func Diagnose(ctx context.Context, d Deployment) []Finding {
	w := &walk{ctx: ctx, issuer: d.Issuer, clientID: d.ClientID, redirectURI: d.RedirectURI, http: &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if d.HTTP != nil {
		w.http.Transport = d.HTTP.Transport
	}
	for _, step := range []func() error{
		w.lookAtIssuer, w.lookAtMetadata, w.lookAtOtherForms, w.lookAtEndpoints, w.lookAtClock, w.lookAtOrigins,
		w.lookAtKeys, w.lookAtPKCE, w.lookAtToken, w.lookAtUserInfo, w.lookAtAuthorize, w.lookAtSignIn,
	} {
		if errors.Is(step(), errNoWay) {
			break
		}
	}
	return w.found
}

// errNoWay ends a walk.
var errNoWay = errors.New("server: there is no way on")

// walk is one Diagnose.
type walk struct {
	ctx                           context.Context //nolint:containedctx // of the one call that it serves
	issuer, clientID, redirectURI string
	http                          *http.Client

	root     *url.URL // of the issuer
	metadata told
	answered *reply // to the first request
	found    []Finding
}

// told is what a walk needs of the metadata.
type told struct {
	Issuer        string   `json:"issuer"`
	Authorize     string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	UserInfo      string   `json:"userinfo_endpoint"`
	JWKS          string   `json:"jwks_uri"`
	PKCE          []string `json:"code_challenge_methods_supported"`
	NamesIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
	RequirePushed bool     `json:"require_pushed_authorization_requests"`
	RequireSigned bool     `json:"require_signed_request_object"`
}

func (w *walk) fine(name string) error {
	w.found = append(w.found, Finding{Name: name})
	return nil
}

// wrong notes a problem after which the walk can go on.
func (w *walk) wrong(name, remedy, format string, args ...any) error {
	w.found = append(w.found, Finding{Name: name, Problem: fmt.Sprintf(format, args...), Remedy: remedy})
	return nil
}

// stuck notes a problem that leaves nothing to go on with.
func (w *walk) stuck(name, remedy, format string, args ...any) error {
	_ = w.wrong(name, remedy, format, args...) // always nil
	return errNoWay
}

// maxWalked bounds what is read of an answer.
const maxWalked = 1 << 20

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// media is the media type of the answer, without parameters.
func (r *reply) media() string {
	media, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// send sends a request; a form makes it a POST.
func (w *walk) send(method, address string, header http.Header, form url.Values) (*reply, error) {
	request, err := http.NewRequestWithContext(w.ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxWalked))
	if err != nil {
		return nil, err
	}
	return &reply{status: response.StatusCode, header: response.Header, body: body}, nil
}

func (w *walk) get(address string) (*reply, error) {
	return w.send(http.MethodGet, address, nil, nil)
}

// came tells of an answer that is not the one that was wanted.
func came(address string, r *reply) string {
	at := ""
	if to := r.header.Get("Location"); to != "" {
		at = " to " + to
	}
	return fmt.Sprintf("%s answers %d%s (%s)", address, r.status, at, r.media())
}

// oauthError is the error code of a JSON answer and the reason that its error_uri leads to.
func oauthError(r *reply) (code, reason string) {
	var body struct {
		Error string `json:"error"`
		URI   string `json:"error_uri"`
	}
	if json.Unmarshal(r.body, &body) != nil {
		return "", ""
	}
	_, reason, _ = strings.Cut(body.URI, "#")
	return body.Error, reason
}
