package attack

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
)

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func inJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// jwks is the JWK Set of a key.
func jwks(private ed25519.PrivateKey) json.RawMessage {
	return json.RawMessage(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"one","x":"` + encoded(string(private.Public().(ed25519.PublicKey))) + `"}]}`)
}

// sign makes a JWT of a header and claims.
func sign(key ed25519.PrivateKey, head, claims map[string]any) string {
	input := encoded(inJSON(head)) + "." + encoded(inJSON(claims))
	return input + "." + encoded(string(ed25519.Sign(key, []byte(input))))
}

// unsigned makes a JWT with this signature.
func unsigned(head, claims map[string]any, signature string) string {
	return encoded(inJSON(head)) + "." + encoded(inJSON(claims)) + "." + encoded(signature)
}

// hs256 signs with a secret.
func hs256(head, claims map[string]any, secret string) string {
	input := encoded(inJSON(head)) + "." + encoded(inJSON(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + encoded(string(mac.Sum(nil)))
}

// claimsOf reads a part of a JWT: 0 its header, 1 its claims.
func claimsOf(token string, part int) map[string]any {
	parts := strings.Split(token, ".")
	claims := map[string]any{}
	if len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[part]); err == nil {
			_ = json.Unmarshal(text, &claims)
		}
	}
	return claims
}

// with is a copy of claims with these changes, a nil taking one away.
func with(claims map[string]any, changes map[string]any) map[string]any {
	all := maps.Clone(claims)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

func newKey() ed25519.PrivateKey {
	_, private, _ := ed25519.GenerateKey(rand.Reader) // it never fails
	return private
}
