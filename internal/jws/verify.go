package jws

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v3"
)

const (
	maxToken = 16 << 10 // bytes of a token
	maxKeyID = 255      // bytes of a kid
)

// Header is what a token says of itself.
type Header struct {
	KeyID     string // kid
	Algorithm string // alg, by its one name: EdDSA for Ed25519
	Type      string // typ, empty when it has none
}

// HasType says whether the token is of this media type, written with or without
// "application/" and in any case. Each kind of token must be asked for by its type, so
// that none passes for another. RFC 7515 §4.1.9, RFC 8725 §3.11
func (h Header) HasType(typ string) bool {
	return typ != "" && mediaType(h.Type) == mediaType(typ)
}

func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// refusedHeaders are those with which a token would choose its own key or change how
// it is read.
var refusedHeaders = map[string]string{
	"jwk":  "a token can't bring its own key",
	"jku":  "a token can't say where its key is",
	"x5u":  "a token can't say where its key is",
	"x5c":  "a token can't bring its own key",
	"crit": "no critical extension is known here",
	"b64":  "the payload must be in base64url",
	"enc":  "encrypted tokens are not accepted",
	"zip":  "compressed tokens are not accepted",
}

// Verify checks a compact JWS and returns what was signed. keys gives the key with
// an ID and its algorithm; it is called at most once, and may do slow things. The
// algorithm of the header must be that of the key. Claims are not judged.
//
// The errors are ErrForm, ErrUnknownKey, ErrAlgorithm, ErrKey and ErrSignature. With
// any of the last four the header is returned too, for the log.
// RFC 7515 §5.2, RFC 8725 §3.1
func Verify(token string, keys func(kid string) (alg string, public crypto.PublicKey, ok bool)) (Header, []byte, error) {
	h, err := ReadHeader(token)
	if err != nil {
		return Header{}, nil, err
	}
	alg, public, ok := keys(h.KeyID)
	if !ok {
		return h, nil, fmt.Errorf("%w: %.80q", ErrUnknownKey, h.KeyID)
	}
	if h.Algorithm != alg {
		return h, nil, fmt.Errorf("%w: the token says %.40q, key %.80q is for %s", ErrAlgorithm, h.Algorithm, h.KeyID, alg)
	}
	if err := fits(alg, public); err != nil {
		return h, nil, err
	}
	payload, err := verify(token, public)
	return h, payload, err
}

// verify checks the signature of a token whose form was found good.
func verify(token string, public crypto.PublicKey) ([]byte, error) {
	if key, ok := public.(ed25519.PublicKey); ok {
		return verifyEd25519(token, key)
	}
	signed, err := jose.ParseSigned(token)
	if err != nil {
		return nil, fmt.Errorf("%w: it can't be parsed", ErrForm)
	}
	payload, err := signed.Verify(public)
	if err != nil {
		return nil, ErrSignature
	}
	return payload, nil
}

// verifyEd25519 does without go-jose, which knows one name of the algorithm alone.
func verifyEd25519(token string, key ed25519.PublicKey) ([]byte, error) {
	raw, err := split(token)
	if err != nil {
		return nil, err
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, []byte(token[:strings.LastIndexByte(token, '.')]), raw[2]) {
		return nil, ErrSignature
	}
	return raw[1], nil
}

// ReadHeader returns the header of a token whose form Verify accepts. Nothing in it is
// proven: it serves to find the key. The error is ErrForm, or ErrAlgorithm for an
// algorithm that no key here can have, such as none or HS256.
func ReadHeader(token string) (Header, error) { return readHeader(token, true, Verifiable()) }

// readHeader may let a token name no key, for a set that has few.
func readHeader(token string, named bool, algorithms []string) (Header, error) {
	if len(token) > maxToken {
		return Header{}, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrForm, len(token), maxToken)
	}
	raw, err := split(token)
	if err != nil {
		return Header{}, err
	}
	fields, err := members(raw[0])
	if err != nil {
		return Header{}, noObject(err)
	}
	return parseHeader(fields, named, algorithms)
}

func noObject(err error) error {
	return fmt.Errorf("%w: the header is not a JSON object: %v", ErrForm, err)
}

// split decodes the three parts of a token.
func split(token string) (raw [3][]byte, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return raw, fmt.Errorf("%w: it has %d parts, not 3", ErrForm, len(parts))
	}
	for i, part := range parts {
		if raw[i], err = decode(part); err != nil {
			return raw, fmt.Errorf("%w: part %d is not base64url", ErrForm, i+1)
		}
	}
	return raw, nil
}

// payloadOf returns the payload of a token whose form was found good.
func payloadOf(token string) []byte {
	raw, err := decode(strings.Split(token, ".")[1])
	if err != nil {
		return nil
	}
	return raw
}

// decode is strict, so that a token has one spelling only: one that was revoked or
// used can't come back with other trailing bits, padding or line breaks.
func decode(part string) ([]byte, error) {
	if part == "" || strings.ContainsAny(part, "\r\n") { // the decoder passes over line breaks
		return nil, errors.New("no base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(part)
}

func parseHeader(fields map[string]json.RawMessage, named bool, algorithms []string) (Header, error) {
	for name := range fields {
		if why, ok := refusedHeaders[name]; ok {
			return Header{}, fmt.Errorf("%w: the header has %s: %s", ErrForm, name, why)
		}
	}
	var h Header
	for _, f := range []struct {
		name     string
		into     *string
		required bool
	}{{"alg", &h.Algorithm, true}, {"kid", &h.KeyID, named}, {"typ", &h.Type, false}} {
		value, ok := fields[f.name]
		if !ok && !f.required {
			continue
		}
		if !ok || value[0] != '"' || json.Unmarshal(value, f.into) != nil || !printable(*f.into) {
			return Header{}, fmt.Errorf("%w: the header needs %s as a string of 1 to %d printable characters", ErrForm, f.name, maxKeyID)
		}
	}
	if !slices.Contains(algorithms, h.Algorithm) {
		return Header{}, unknownAlgorithm(h.Algorithm, algorithms)
	}
	h.Algorithm = Canonical(h.Algorithm)
	return h, nil
}

func printable(s string) bool {
	return s != "" && len(s) <= maxKeyID && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// members reads a JSON object whose names are unique and compared exactly. Two
// parsers that pick different ones of two names could be told different things.
// RFC 7515 §4, RFC 8725 §3.12
func members(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("no opening brace")
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("a name is missing")
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%.40q stands there twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("a value is missing")
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("no closing brace")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return fields, nil
}
