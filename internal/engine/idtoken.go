package engine

import (
	"context"

	"github.com/doorward/doorward/internal/jws"
)

const jwtType = "JWT" // typ of what clients verify

// idToken signs who the person is and how they signed in. There is one audience,
// the client, so there is no azp. A refreshed ID token has the times and subject of
// the first and no nonce. OpenID Connect Core §2, §3.1.3.6, §12.2
func (e *Engine) idToken(ctx context.Context, i *issuance, told claims, accessToken string) (string, error) {
	alg := e.algorithm(i.client.IDTokenSignedResponseAlg)
	now, g := e.store.Now(), i.grant
	body := make(map[string]any, len(told.idToken)+11)
	for name, value := range told.idToken {
		body[name] = value
	}
	body["iss"], body["sub"], body["aud"] = e.config.Issuer, g.Told(), i.client.ID
	body["iat"], body["exp"] = now.Unix(), now.Add(e.config.Lifetimes.IDToken).Unix()
	body["at_hash"] = jws.HalfHash(alg, accessToken)
	if !g.AuthTime.IsZero() {
		body["auth_time"] = g.AuthTime.Unix()
	}
	for name, value := range map[string]string{"nonce": i.nonce, "acr": g.ACR, "sid": e.toldSession(i.client, g)} {
		if value != "" {
			body[name] = value
		}
	}
	if len(g.AMR) > 0 {
		body["amr"] = g.AMR
	}
	signed, err := e.config.Keys.Sign(ctx, alg, jwtType, body)
	if err != nil {
		return "", broken("id_token_failed", err).detail("the client wants ID tokens by %s", alg).setting("id_token_signed_response_alg")
	}
	e.warnLarge(ctx, "id_token", i.client.ID, signed)
	return signed, nil
}
