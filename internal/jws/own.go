package jws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxOwn is how long a token with its own key may be, in bytes: it comes in a header,
// and an RSA key of 8192 bits with its signature takes half of this.
const maxOwn = 8 << 10

// VerifyOwn checks a compact JWS that brings in its header (jwk) the public key that
// verifies it, and returns the payload and the thumbprint of the key. It proves that
// the sender holds the private key and nothing of who that is: whoever calls must
// compare the thumbprint with one that was told before.
//
// A private or symmetric key is refused, and all that Verify refuses beside jwk. The
// errors are ErrForm, ErrAlgorithm, ErrKey and ErrSignature; with the last the header
// is returned too. RFC 7515 §4.1.3, RFC 7638
func VerifyOwn(token string) (h Header, payload []byte, thumbprint string, err error) {
	if len(token) > maxOwn {
		return h, nil, "", fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrForm, len(token), maxOwn)
	}
	raw, err := split(token)
	if err != nil {
		return h, nil, "", err
	}
	fields, err := members(raw[0])
	if err != nil {
		return h, nil, "", noObject(err)
	}
	jwk, ok := fields["jwk"]
	if !ok {
		return h, nil, "", fmt.Errorf("%w: the header has no jwk", ErrForm)
	}
	delete(fields, "jwk")
	if h, err = parseHeader(fields, false, Verifiable()); err != nil {
		return Header{}, nil, "", err
	}
	key, err := parseJWK(jwk)
	switch {
	case errors.Is(err, ErrKey) || errors.Is(err, ErrAlgorithm):
		return Header{}, nil, "", err
	case err != nil:
		return Header{}, nil, "", fmt.Errorf("%w: the jwk: %v", ErrKey, err)
	case key.public == nil || key.alg != "" && key.alg != h.Algorithm || !slices.Contains(key.algorithms(), h.Algorithm):
		return Header{}, nil, "", fmt.Errorf("%w: the jwk does not verify %s", ErrKey, h.Algorithm)
	}
	if payload, err = verify(token, key.public); err != nil {
		return h, nil, "", err
	}
	thumbprint, err = Thumbprint(key.public)
	return h, payload, thumbprint, err
}

// IsThumbprint says whether s has the form of a SHA-256 thumbprint, which is also that
// of any SHA-256 in base64url: 43 characters that stand for 32 bytes in one way only.
func IsThumbprint(s string) bool {
	raw, err := decode(s)
	return err == nil && len(raw) == 32 && !strings.Contains(s, "=")
}
