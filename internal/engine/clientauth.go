package engine

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/internal/redact"
	"github.com/doorward/doorward/storage"
)

// Authentication methods beside storage.AuthMethodNone. RFC 7591 §2
const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
)

// Credentials are what a client presented to prove who it is. RFC 6749 §2.3
type Credentials struct {
	ClientID string
	Secret   storage.Secret
	Method   string // none, client_secret_basic, client_secret_post, private_key_jwt; with none a certificate may prove it

	// Assertion is the client_assertion of private_key_jwt. RFC 7521 §4.2
	Assertion storage.Secret

	// Certificates are what the client has shown in TLS, its own first. RFC 8705 §2
	Certificates []*x509.Certificate
}

// authenticator proves by one method that a request comes from a client. A further
// method is a further one of these in New.
type authenticator interface {
	// authenticate returns nil when the credentials prove that they are c's, and
	// an *Error that says why they do not. A nil c is a client that does not
	// exist: the same work is done, so that time tells nothing. Any other error
	// says that nobody can tell.
	authenticate(ctx context.Context, c *storage.Client, by Credentials) error
}

// noSecret is a public client's method: it names itself, RFC 6749 §3.2.1.
type noSecret struct{}

func (noSecret) authenticate(_ context.Context, c *storage.Client, by Credentials) error {
	switch {
	case c == nil:
		return unproven("client_unknown")
	case c.TokenEndpointAuthMethod == storage.AuthMethodPrivateKey, c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT:
		return unproven("assertion_missing").detail("%s, and no client_assertion came", registration(c)).setting("token_endpoint_auth_method")
	case !c.Public() || by.Secret != "":
		return unproven("client_secret_missing").detail("%s, and no secret came", registration(c)).setting("token_endpoint_auth_method")
	}
	return nil
}

// registration says for the log by which method a client is to prove who it is.
func registration(c *storage.Client) string {
	method := c.TokenEndpointAuthMethod
	if method == "" {
		method = methodBasic + " or " + methodPost
	}
	return "the client " + quote(c.ID) + " is registered for " + clean(method, 80)
}

// presentedSecret is a confidential client's: a secret in the header or the body.
type presentedSecret struct{ secrets *ClientSecrets }

func (p presentedSecret) authenticate(ctx context.Context, c *storage.Client, by Credentials) error {
	switch {
	case c == nil:
		return orError(p.secrets.mismatch(ctx, by.Secret), unproven("client_unknown"))
	case c.Public():
		return orError(p.secrets.mismatch(ctx, by.Secret), unproven("client_secret_unexpected"))
	}
	right, err := p.secrets.matches(ctx, c, by.Secret)
	if err != nil || right {
		return err
	}
	return unproven("client_secret_wrong")
}

// authenticate returns the client that the credentials prove. An unknown client, a
// wrong secret and a missing one are answered alike; only who holds the right
// secret is told about the client's settings.
func (e *Engine) authenticate(ctx context.Context, by Credentials) (*storage.Client, error) {
	if by.ClientID == "" {
		return nil, e.unauthenticated(ctx, by, refuse(codeInvalidClient, "client_id_missing",
			"The request names no client: send client_id, or client credentials."))
	}
	client, err := e.claimed(ctx, &by)
	if err != nil {
		return nil, err
	}
	method := e.methods[by.Method]
	if method == nil {
		return nil, e.unauthenticated(ctx, by, refuse(codeInvalidClient, "client_method_unknown",
			"This way of client authentication is not supported.").detail("method %q", clean(by.Method, 40)))
	}
	err = method.authenticate(ctx, client, by)
	refusal := (*Error)(nil)
	if errors.As(err, &refusal) && refusal.Code == codeInvalidClient && e.store.Reread(ctx) {
		// The secret or the key may be newer than what is remembered of the client.
		if client, err = e.client(ctx, by.ClientID); err == nil {
			err = method.authenticate(ctx, client, by)
		} else if errors.Is(err, storage.ErrNotFound) {
			err = method.authenticate(ctx, nil, by)
		}
		refusal = nil
	}
	switch {
	case errors.As(err, &refusal) && refusal.Code == codeInvalidClient:
		switch {
		case refusal.Detail != "":
		case client != nil:
			refusal.detail("%s and authenticated by %s", registration(client), by.Method)
		default:
			refusal.detail("the client %s authenticated by %s", quote(by.ClientID), by.Method)
		}
		return nil, e.unauthenticated(ctx, by, refusal)
	case err != nil:
		return nil, err
	case client.Disabled && client.Public():
		return nil, e.unauthenticated(ctx, by, refuse(codeInvalidClient, "client_disabled", unauthenticatedText).secret().
			detail("the client %s is disabled", quote(client.ID)).setting("disabled"))
	case client.Disabled:
		return nil, e.unauthenticated(ctx, by, refuse(codeInvalidClient, "client_disabled",
			"The client is disabled.").setting("disabled"))
	}
	if pinned := client.TokenEndpointAuthMethod; pinned != "" && pinned != by.Method {
		return nil, e.unauthenticated(ctx, by, refuse(codeInvalidClient, "client_method_wrong",
			"The client authenticated by "+by.Method+" but is registered for "+clean(pinned, 40)+
				": use that, or change its token_endpoint_auth_method.").setting("token_endpoint_auth_method"))
	}
	return client, nil
}

// claimed returns the client that a request says it is from, nil when there is none. One
// that would be refused is not judged by what is remembered of it.
func (e *Engine) claimed(ctx context.Context, by *Credentials) (*storage.Client, error) {
	for {
		client, err := e.client(ctx, by.ClientID)
		if errors.Is(err, storage.ErrNotFound) {
			client, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		as := *by
		e.byCertificate(client, &as)
		refused := client != nil && (client.Disabled || client.TokenEndpointAuthMethod != "" && client.TokenEndpointAuthMethod != as.Method)
		if !refused || !e.store.Reread(ctx) {
			*by = as
			return client, nil
		}
	}
}

const unauthenticatedText = "Client authentication failed: the client is unknown, its credentials are missing or wrong, or it may not authenticate in this way."

// unauthenticated completes a refusal. Who used the Authorization header gets its
// challenge back, RFC 6749 §5.2.
func (e *Engine) unauthenticated(ctx context.Context, by Credentials, refusal *Error) *Error {
	if by.Method == methodBasic {
		refusal.Challenge = "Basic"
	}
	e.emit(storage.Surviving(ctx), Event{Type: EventAuthFailed, ClientID: printable(redact.Identifier(by.ClientID), 255), Reason: refusal.Reason})
	return refusal
}

// client returns the client of an ID. What can't be a client's ID is never looked
// up: an ID is a key of the store.
func (e *Engine) client(ctx context.Context, id string) (*storage.Client, error) {
	if id == "" || len(id) > 2048 || slices.ContainsFunc([]byte(id), func(c byte) bool { return c < 0x20 || c > 0x7e }) {
		return nil, storage.ErrNotFound
	}
	return e.config.Client(ctx, id)
}

type credentialsKey struct{}

// authenticateForFosite is fosite's client authentication strategy. The credentials
// were taken out of the request before; fosite's own strategy takes them from
// several places at once and calls a failing store an unknown client.
func (e *Engine) authenticateForFosite(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	by, _ := ctx.Value(credentialsKey{}).(Credentials)
	c, err := e.authenticate(ctx, by)
	if err != nil {
		return nil, err
	}
	return &fositeClient{client: c}, nil
}
