package jws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/doorward/doorward/internal/jws"
)

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs a header of the attacker's choice with k, so that nothing but the
// header is wrong.
func forge(t testing.TB, k jws.Key, header string) string {
	t.Helper()
	input := encode(header) + "." + encode(`{"sub":"mallory"}`)
	digest := sha256.Sum256([]byte(input))
	var (
		signature []byte
		err       error
	)
	switch key := k.Signer.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(input))
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, key, digest[:])
		check(t, e)
		signature = make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	}
	check(t, err)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// RFC 7515 §4, §4.1.3, §5.2, RFC 8725 §3.1, §3.10, §3.12
func TestHeaderAttacks(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		k := generate(t, alg)
		jwk, err := jws.PublicJWK(k)
		check(t, err)
		start := fmt.Sprintf(`"alg":%q,"kid":%q`, alg, k.ID)
		if _, _, err := jws.Verify(forge(t, k, `{ `+start+` , "typ" : "JWT","x5t":"abc","x":[{}]}`), ring(k)); err != nil {
			t.Fatalf("%s: the plain forgery must verify, else these tests prove nothing: %v", alg, err)
		}
		for name, c := range map[string]struct {
			header string
			want   error
		}{
			"jwk":                  {`{` + start + `,"jwk":` + string(jwk) + `}`, jws.ErrForm},
			"jku":                  {`{` + start + `,"jku":"https://evil.example/keys"}`, jws.ErrForm},
			"x5u":                  {`{` + start + `,"x5u":"https://evil.example/cert"}`, jws.ErrForm},
			"x5c":                  {`{` + start + `,"x5c":["MIIB"]}`, jws.ErrForm},
			"crit":                 {`{` + start + `,"crit":["exp"],"exp":1}`, jws.ErrForm},
			"empty crit":           {`{` + start + `,"crit":[]}`, jws.ErrForm},
			"b64":                  {`{` + start + `,"crit":["b64"],"b64":false}`, jws.ErrForm},
			"b64 without crit":     {`{` + start + `,"b64":false}`, jws.ErrForm},
			"zip":                  {`{` + start + `,"zip":"DEF"}`, jws.ErrForm},
			"no kid":               {fmt.Sprintf(`{"alg":%q}`, alg), jws.ErrForm},
			"empty kid":            {fmt.Sprintf(`{"alg":%q,"kid":""}`, alg), jws.ErrForm},
			"kid in capitals":      {fmt.Sprintf(`{"alg":%q,"KID":%q}`, alg, k.ID), jws.ErrForm},
			"kid no string":        {fmt.Sprintf(`{"alg":%q,"kid":7}`, alg), jws.ErrForm},
			"null kid":             {fmt.Sprintf(`{"alg":%q,"kid":null}`, alg), jws.ErrForm},
			"huge kid":             {fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, strings.Repeat("k", 256)), jws.ErrForm},
			"kid with line break":  {fmt.Sprintf(`{"alg":%q,"kid":"a\nb"}`, alg), jws.ErrForm},
			"kid is a path":        {fmt.Sprintf(`{"alg":%q,"kid":"../../dev/null"}`, alg), jws.ErrUnknownKey},
			"kid is SQL":           {fmt.Sprintf(`{"alg":%q,"kid":"x' OR 1=1 --"}`, alg), jws.ErrUnknownKey},
			"no alg":               {fmt.Sprintf(`{"kid":%q}`, k.ID), jws.ErrForm},
			"alg none":             {fmt.Sprintf(`{"alg":"none","kid":%q}`, k.ID), jws.ErrAlgorithm},
			"alg NoNe":             {fmt.Sprintf(`{"alg":"NoNe","kid":%q}`, k.ID), jws.ErrAlgorithm},
			"alg HS256":            {fmt.Sprintf(`{"alg":"HS256","kid":%q}`, k.ID), jws.ErrAlgorithm},
			"alg in lower case":    {fmt.Sprintf(`{"alg":%q,"kid":%q}`, strings.ToLower(alg), k.ID), jws.ErrAlgorithm},
			"alg RS384":            {fmt.Sprintf(`{"alg":"RS384","kid":%q}`, k.ID), jws.ErrAlgorithm},
			"alg twice":            {`{"alg":"none",` + start + `}`, jws.ErrForm},
			"alg twice, escaped":   {`{` + start + `,"\u0061lg":"none"}`, jws.ErrForm},
			"kid twice":            {`{` + start + `,"kid":"x"}`, jws.ErrForm},
			"typ no string":        {`{` + start + `,"typ":["JWT"]}`, jws.ErrForm},
			"header no object":     {`["` + alg + `"]`, jws.ErrForm},
			"header null":          {`null`, jws.ErrForm},
			"header with a tail":   {`{` + start + `}{}`, jws.ErrForm},
			"header cut":           {`{` + start, jws.ErrForm},
			"header not UTF-8":     {`{` + start + `,"x":"` + "\xff" + `"}`, jws.ErrForm},
			"header that encrypts": {`{` + start + `,"enc":"A128GCM"}`, jws.ErrForm},
		} {
			if _, payload, err := jws.Verify(forge(t, k, c.header), ring(k)); !errors.Is(err, c.want) || payload != nil {
				t.Errorf("%s, %s: %v, want %v", alg, name, err, c.want)
			}
		}
	}
}

// The oldest confusion: the public key taken for a shared secret. RFC 8725 §2.1
func TestPublicKeyIsNoSecret(t *testing.T) {
	k := generate(t, jws.RS256)
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	check(t, err)
	input := encode(fmt.Sprintf(`{"alg":"HS256","kid":%q}`, k.ID)) + "." + encode(`{"sub":"mallory"}`)
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(input))
	if _, _, err := jws.Verify(input+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), ring(k)); !errors.Is(err, jws.ErrAlgorithm) {
		t.Errorf("%v, want %v", err, jws.ErrAlgorithm)
	}
}

// The key decides the algorithm, also when the header names another allowed one. RFC 8725 §3.1
func TestAlgorithmIsTheKeys(t *testing.T) {
	for _, signs := range jws.Algorithms() {
		for _, says := range jws.Algorithms() {
			k := generate(t, signs)
			token := forge(t, k, fmt.Sprintf(`{"alg":%q,"kid":%q}`, says, k.ID))
			h, _, err := jws.Verify(token, ring(k))
			if says != signs && !errors.Is(err, jws.ErrAlgorithm) || says == signs && err != nil {
				t.Errorf("%s key, token says %s: %v", signs, says, err)
			}
			if h.KeyID != k.ID {
				t.Error("the header is not returned for the log")
			}
		}
	}
}

// RFC 7515 §5.2, §7.1
func TestTamperedTokens(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		k, other := generate(t, alg), generate(t, alg)
		token := sign(t, k)
		parts := strings.Split(token, ".")
		stranger := other
		stranger.ID = k.ID
		for name, c := range map[string]struct {
			token string
			want  error
		}{
			"wrong key":             {sign(t, stranger), jws.ErrSignature},
			"unknown key":           {sign(t, other), jws.ErrUnknownKey},
			"other payload":         {parts[0] + "." + encode(`{"sub":"mallory"}`) + "." + parts[2], jws.ErrSignature},
			"other header":          {encode(fmt.Sprintf(`{"kid":%q,"alg":%q}`, k.ID, alg)) + "." + parts[1] + "." + parts[2], jws.ErrSignature},
			"signature of another":  {parts[0] + "." + parts[1] + "." + strings.Split(sign(t, stranger), ".")[2], jws.ErrSignature},
			"signature of zeros":    {parts[0] + "." + parts[1] + "." + encode(strings.Repeat("\x00", 64)), jws.ErrSignature},
			"short signature":       {parts[0] + "." + parts[1] + "." + encode("x"), jws.ErrSignature},
			"no signature":          {parts[0] + "." + parts[1] + ".", jws.ErrForm},
			"no payload":            {parts[0] + ".." + parts[2], jws.ErrForm},
			"two parts":             {parts[0] + "." + parts[1], jws.ErrForm},
			"four parts":            {token + ".x", jws.ErrForm},
			"five parts, encrypted": {encode(`{"alg":"RSA-OAEP","enc":"A128GCM","zip":"DEF"}`) + ".a.b.c.d", jws.ErrForm},
			"empty":                 {"", jws.ErrForm},
			"dots":                  {"..", jws.ErrForm},
			"many dots":             {strings.Repeat(".", 16<<10), jws.ErrForm},
			"line break":            {parts[0] + "." + parts[1] + "\n." + parts[2], jws.ErrForm},
			"space":                 {" " + token, jws.ErrForm},
			"padding":               {parts[0] + "." + parts[1] + "." + parts[2] + "==", jws.ErrForm},
			"standard alphabet":     {parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 43), jws.ErrForm},
			"JSON form":             {fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]), jws.ErrForm},
			"oversize":              {parts[0] + "." + strings.Repeat("A", 16<<10) + "." + parts[2], jws.ErrForm},
		} {
			if _, payload, err := jws.Verify(c.token, ring(k)); !errors.Is(err, c.want) || payload != nil {
				t.Errorf("%s, %s: %v, want %v", alg, name, err, c.want)
			}
		}
		if _, _, err := jws.Verify(token, ring(k)); err != nil {
			t.Errorf("%s: the untouched token: %v", alg, err)
		}
	}
}

// Each token has one spelling: changing any one character must break it, also where
// the change falls into bits that base64 does not use. RFC 7515 §7.1
func TestTokensHaveOneSpelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, alg := range jws.Algorithms() {
		k := generate(t, alg)
		token := sign(t, k)
		for i := range token {
			if token[i] == '.' {
				continue
			}
			next := alphabet[(strings.IndexByte(alphabet, token[i])+1)%len(alphabet)]
			if _, _, err := jws.Verify(token[:i]+string(next)+token[i+1:], ring(k)); err == nil {
				t.Errorf("%s: character %d of %d can be changed", alg, i, len(token))
			}
		}
	}
}

func TestLargestToken(t *testing.T) {
	k := generate(t, jws.EdDSA)
	for size, want := range map[int]error{8000: nil, 16000: jws.ErrForm} {
		token, err := jws.Sign(k, "JWT", claims{"x": strings.Repeat("x", size)})
		check(t, err)
		if _, _, err := jws.Verify(token, ring(k)); !errors.Is(err, want) {
			t.Errorf("a token of %d bytes: %v, want %v", len(token), err, want)
		}
	}
}

// RFC 7515 §4.1.9, RFC 8725 §3.11
func TestHasType(t *testing.T) {
	for _, c := range []struct {
		typ, want string
		same      bool
	}{
		{"at+jwt", "at+jwt", true}, {"application/at+jwt", "at+jwt", true}, {"AT+JWT", "at+jwt", true},
		{"at+jwt", "application/at+jwt", true},
		{"JWT", "at+jwt", false}, {"", "at+jwt", false}, {"", "", false}, {"at+jwt2", "at+jwt", false},
	} {
		if got := (jws.Header{Type: c.typ}).HasType(c.want); got != c.same {
			t.Errorf("%q is %q: %v", c.typ, c.want, got)
		}
	}
}

// The callback must be asked about nothing that has a bad form: it may go to a
// database or a network.
func TestKeysAreSoughtOnlyForGoodForms(t *testing.T) {
	k := generate(t, jws.EdDSA)
	for _, token := range []string{"", "a.b.c", forge(t, k, `{"alg":"none","kid":"x"}`), forge(t, k, `{"alg":"EdDSA"}`)} {
		_, _, err := jws.Verify(token, func(string) (string, crypto.PublicKey, bool) {
			t.Errorf("asked for the key of %.20q", token)
			return "", nil, false
		})
		if err == nil {
			t.Errorf("%.20q verified", token)
		}
	}
}

func FuzzVerify(f *testing.F) {
	var keys []jws.Key
	tokens := map[string]bool{}
	for _, alg := range jws.Algorithms() {
		k := generate(f, alg)
		keys = append(keys, k)
		token := sign(f, k)
		tokens[token] = true
		f.Add(token)
		f.Add(token + "A")
		f.Add(forge(f, k, `{"alg":"none","kid":"`+k.ID+`"}`)[:len(token)/2])
	}
	f.Add("e30.e30.AA")
	f.Add(`{"protected":"e30","payload":"e30","signature":"AA"}`)
	f.Add(encode(`{"alg":"RS256","kid":"`+keys[0].ID+`","crit":["b64"],"b64":false}`) + ".e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		h, payload, err := jws.Verify(token, ring(keys...))
		if (err == nil) != tokens[token] {
			t.Fatalf("%q: %v", token, err)
		}
		if err != nil && payload != nil {
			t.Fatal("a payload beside an error")
		}
		if err == nil && (h.Type != "JWT" || !json.Valid(payload)) {
			t.Fatalf("%+v %s", h, payload)
		}
		if _, headErr := jws.ReadHeader(token); err == nil && headErr != nil {
			t.Fatal(headErr)
		}
	})
}
