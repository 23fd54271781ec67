package bearer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
)

// document is what the API wants to know of its authorization server. RFC 8414 §2
type document struct {
	Issuer            string   `json:"issuer"`
	JWKS              string   `json:"jwks_uri"`
	Introspection     string   `json:"introspection_endpoint"`
	IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`
}

// discover reads the metadata, at the place of RFC 8414, else at that of OpenID
// Connect Discovery. A document of another issuer is refused: whoever could place it
// would choose the keys. RFC 8414 §3.1, §3.3
func (v *RemoteVerifier) discover(ctx context.Context) (*document, time.Duration, error) {
	u, err := url.Parse(v.issuer)
	if err != nil {
		return nil, 0, err
	}
	const oauth, openID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	var failures []error
	for _, address := range []string{origin + oauth + path, origin + path + openID} {
		d, life, err := v.readMetadata(ctx, address)
		if err == nil {
			return d, life, nil
		}
		failures = append(failures, err)
		if unreachable := (*url.Error)(nil); errors.As(err, &unreachable) {
			break
		}
	}
	return nil, 0, fmt.Errorf("read the metadata of the issuer: %w", errors.Join(failures...))
}

func (v *RemoteVerifier) readMetadata(ctx context.Context, address string) (*document, time.Duration, error) {
	body, life, err := v.web.get(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", address, err)
	}
	if d.Issuer != v.issuer {
		return nil, 0, fmt.Errorf("%s is of the issuer %.200q, not %q", address, d.Issuer, v.issuer)
	}
	return &d, life, nil
}

func (v *RemoteVerifier) known(ctx context.Context) (*document, error) {
	return v.metadata.get(ctx, v.now, func(*document) bool { return true })
}

func (v *RemoteVerifier) fetchKeys(ctx context.Context) (map[string]jws.Key, time.Duration, error) {
	d, err := v.known(ctx)
	if err != nil {
		return nil, 0, err
	}
	if d.JWKS == "" {
		return nil, minLife, nil // it signs nothing
	}
	body, life, err := v.web.get(ctx, d.JWKS)
	if err != nil {
		return nil, 0, fmt.Errorf("read the keys of the issuer: %w", err)
	}
	list, err := jws.ReadSet(body)
	if err != nil {
		return nil, 0, fmt.Errorf("read the keys of the issuer: %w", err)
	}
	keys := make(map[string]jws.Key, len(list))
	for _, k := range list {
		keys[k.ID] = k
	}
	return keys, life, nil
}
