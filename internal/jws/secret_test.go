package jws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func keyed(header, payload, secret string) string {
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestVerifySecret: one of the secrets, long enough and by the one algorithm, and
// nothing else. RFC 7518 §3.2, RFC 8725 §3.1, RFC 8725 §3.5
func TestVerifySecret(t *testing.T) {
	long, short := strings.Repeat("s", MinSecret), strings.Repeat("s", MinSecret-1)
	token := keyed(`{"alg":"HS256"}`, `{"iss":"a"}`, long)
	h, payload, err := VerifySecret(token, []byte("another secret that is long enough to be one"), []byte(long))
	if err != nil || h.Algorithm != HS256 || string(payload) != `{"iss":"a"}` {
		t.Errorf("the right secret: %v %q %v", h, payload, err)
	}
	for name, c := range map[string]struct {
		token  string
		secret string
		want   error
	}{
		"another secret":    {token, strings.Repeat("t", MinSecret), ErrSignature},
		"no secret":         {keyed(`{"alg":"HS256"}`, `{}`, ""), "", ErrSignature},
		"a short secret":    {keyed(`{"alg":"HS256"}`, `{}`, short), short, ErrSignature},
		"another algorithm": {keyed(`{"alg":"HS512"}`, `{}`, long), long, ErrAlgorithm},
		"no algorithm":      {keyed(`{"alg":"none"}`, `{}`, long), long, ErrAlgorithm},
		"of a key":          {keyed(`{"alg":"RS256","kid":"k"}`, `{}`, long), long, ErrAlgorithm},
		"a changed payload": {strings.Replace(token, ".", ".eyJh", 1), long, ErrSignature},
		"critical headers":  {keyed(`{"alg":"HS256","crit":["x"],"x":1}`, `{}`, long), long, ErrForm},
	} {
		if _, _, err := VerifySecret(c.token, []byte(c.secret)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, _, err := VerifySecret(token); !errors.Is(err, ErrSignature) {
		t.Errorf("without secrets: %v", err)
	}
}
