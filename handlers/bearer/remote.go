package bearer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
)

const (
	leeway       = 30 * time.Second // between the clocks of issuer and API; FAPI 2.0 Security Profile §5.3.2.1 allows 60
	defaultCache = 10 * time.Second
	maxCache     = 30 * time.Second
	typeAccess   = "at+jwt"
)

// RemoteConfig says whose tokens are accepted and for what. Issuer and Resource are
// required.
type RemoteConfig struct {
	// Issuer is the authorization server, byte for byte as its metadata have it: an
	// https URL, or http on loopback.
	Issuer string

	// Resource is the audience that a token must name: this API, as the authorization
	// server knows it.
	Resource string

	// ClientID and ClientSecret let the API introspect tokens that are no JWTs, at an
	// authorization server that has registered it. Without them such tokens are
	// refused.
	ClientID     string
	ClientSecret string

	// HTTP makes the requests. It is copied, follows no redirect and gives up after
	// five seconds at most. Nil: a client of its own.
	HTTP *http.Client

	// Cache is how long the answer of an introspection is used again, and with it how
	// long a revoked token still works: at most 30 s. Zero: 10 s. Negative: not at all.
	Cache time.Duration

	// Clock tells the time. Nil: time.Now. Tests move it.
	Clock func() time.Time
}

// LogValue hides the secret.
func (c RemoteConfig) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("resource", c.Resource),
		slog.String("client_id", c.ClientID), slog.String("client_secret", "[redacted]"))
}

// RemoteVerifier verifies the tokens of an authorization server elsewhere. It finds
// the keys and the introspection endpoint by the metadata of the issuer, when the
// first token arrives; it keeps them for an hour at most while the issuer answers,
// and for one more while it does not. It starts no goroutine.
type RemoteVerifier struct {
	issuer, resource string
	now              func() time.Time
	web              *web
	metadata         kept[*document]
	keys             kept[map[string]jws.Key]
	introspection    *introspection // nil without a ClientID
}

// Remote is NewRemote for an issuer whose access tokens are JWTs.
func Remote(issuer, resource string) (*RemoteVerifier, error) {
	return NewRemote(RemoteConfig{Issuer: issuer, Resource: resource})
}

// NewRemote checks the config and makes a verifier. It talks to nobody; an issuer that
// can't be reached shows as ErrUnavailable later. All problems are reported at once.
func NewRemote(c RemoteConfig) (*RemoteVerifier, error) {
	site, err := c.check()
	if err != nil {
		return nil, err
	}
	v := &RemoteVerifier{
		issuer: c.Issuer, resource: c.Resource, now: clockOr(c.Clock), web: newWeb(site, c.HTTP),
	}
	v.metadata.fetch = v.discover
	v.keys.fetch = v.fetchKeys
	if c.ClientID != "" {
		if c.Cache == 0 {
			c.Cache = defaultCache
		}
		v.introspection = newIntrospection(c.ClientID, c.ClientSecret, c.Cache)
	}
	return v, nil
}

func (c RemoteConfig) check() (issuer *url.URL, err error) {
	var found []error
	problem := func(field, value, want string) {
		found = append(found, fmt.Errorf("bearer: RemoteConfig.%s: found %s; write %s", field, value, want))
	}
	issuer, err = url.Parse(c.Issuer)
	if err != nil || !secure(issuer, true) || issuer.RawQuery != "" || issuer.ForceQuery {
		problem("Issuer", fmt.Sprintf("%q", c.Issuer), "the https URL that the metadata of the authorization server have as issuer (http on loopback only)")
	}
	if c.Resource == "" {
		problem("Resource", "nothing", "the audience that tokens for this API name")
	}
	if (c.ClientID == "") != (c.ClientSecret == "") {
		problem("ClientSecret", "one of ClientID and ClientSecret alone", "both, or neither when all tokens are JWTs")
	}
	if c.Cache > maxCache {
		problem("Cache", c.Cache.String(), "at most 30s, for a revoked token works that long")
	}
	return issuer, errors.Join(found...)
}

// Resource returns the audience that a token must name.
func (v *RemoteVerifier) Resource() string { return v.resource }

// Verify implements Verifier. A token of three parts is a JWT and is verified by the
// issuer's keys; any other is introspected.
func (v *RemoteVerifier) Verify(ctx context.Context, token string) (*Token, error) {
	switch {
	case len(token) > maxToken || !b64token(token):
		return nil, invalidf("it does not have the form of a token")
	case strings.Count(token, ".") == 2:
		return v.verifyJWT(ctx, token)
	case v.introspection == nil:
		return nil, invalidf("it is no JWT, and RemoteConfig.ClientID is not set to introspect it")
	}
	return v.introspect(ctx, token)
}

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

func unavailablef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

func clockOr(given func() time.Time) func() time.Time {
	if given == nil {
		return time.Now
	}
	return given
}

// secure says whether a URL may be asked: keys that came in the clear prove nothing.
func secure(u *url.URL, loopback bool) bool {
	if u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// newTransport is that of an API which was given no client. Connections to the issuer
// are few, so that a flood of tokens here is none there.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
		TLSHandshakeTimeout: timeout, ForceAttemptHTTP2: true,
		MaxConnsPerHost: 32, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
	}
}
