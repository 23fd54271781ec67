package jws

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
)

// MinSecret is how many bytes a secret for HS256 has at least. RFC 7518 §3.2
const MinSecret = sha256.Size

// VerifySecret checks a compact JWS by HS256 with any of the secrets, of which the token
// names none, and returns what was signed. A secret that is too short verifies nothing.
// Every one is tried, so that time does not tell which it was. The errors are ErrForm,
// ErrAlgorithm and ErrSignature. RFC 7518 §3.2, RFC 8725 §3.5
func VerifySecret(token string, secrets ...[]byte) (Header, []byte, error) {
	h, err := readHeader(token, false, []string{HS256})
	if err != nil {
		return Header{}, nil, err
	}
	at := strings.LastIndexByte(token, '.')
	signature, err := decode(token[at+1:])
	if err != nil {
		return h, nil, fmt.Errorf("%w: the signature is not base64url", ErrForm)
	}
	right := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(token[:at]))
		right = hmac.Equal(mac.Sum(nil), signature) && len(secret) >= MinSecret || right
	}
	if !right {
		return h, nil, ErrSignature
	}
	return h, payloadOf(token), nil
}
